"""`genmint calibrate`: bounds from real training runs, written only where that was agreed to."""

import json
import statistics

import pytest
from tests.promotion.test_seed_spread import words  # noqa: F401 - a fixture

from genmint import cli
from genmint.common.errors import ConfigError, GenmintError
from genmint.common.files import sha256_file, write_json
from genmint.config import RNNConfig, VAEConfig
from genmint.decision.comparison import Spread, block_hash
from genmint.promotion import calibration
from genmint.stages import evaluate, train

PARAMS = """\
datasets:
  words:
    path: data/sources/words.yaml
    kind: text
    protocol: {samples: 4, sample_length: 32, resamples: 3}
models:
  tiny: {family: rnn, dataset: words, cell: tanh, hidden: 4, embedding: 4, bptt: 8, batch_size: 2,
         steps: 60, validate_every: 20, seed: 3, optimiser: {lr: 0.05}}
gates:
  tiny:
    thresholds:
      # why I want it
      bits_per_character: {max: 20.0}  # bits
    champion: {superior: [bits_per_character]}
"""


@pytest.fixture
def trained(words, monkeypatch):
    """A project with one trained and measured model of text."""
    (words.root / "params.yaml").write_text(PARAMS)
    train.train_apart(
        words.project, "tiny", words.params.models["tiny"], words.project.model("tiny")
    )
    evaluate.run(words.project, words.params, "tiny")
    monkeypatch.chdir(words.root)
    (words.root / "dvc.yaml").touch()
    return words


def calibrate(workshop):
    return calibration.calibrate(workshop.project, workshop.params, "tiny")


def reached(workshop):
    return json.loads(workshop.project.metrics("tiny").read_text())["bits_per_character"]


def kept(workshop):
    return list((workshop.project.state / "calibrate" / "tiny").iterdir())


def text(workshop):
    return (workshop.root / "params.yaml").read_text()


def without(monkeypatch):
    def refuse(*_):
        raise AssertionError("no training run was due")

    monkeypatch.setattr(calibration, "measure_seed", refuse)


def test_the_bound_lies_between_the_run_and_one_of_a_tenth_of_the_steps(trained):
    before = sha256_file(trained.project.model("tiny") / "model.safetensors")
    (one,) = calibrate(trained).proposals
    (path,) = kept(trained)
    short = json.loads(path.read_text())["values"]["bits_per_character"]
    assert reached(trained) < one.value < short
    assert (one.metric, one.key, one.before) == ("bits_per_character", "max", 20.0)
    assert one.evidence == f"{reached(trained):.4g} after 60 steps, {short:.4g} after 6"
    assert sha256_file(trained.project.model("tiny") / "model.safetensors") == before


def test_the_short_run_is_trained_once_for_equal_settings(trained, monkeypatch):
    first = calibrate(trained)
    without(monkeypatch)
    assert calibrate(trained) == first
    trained.edit("{max: 20.0}", "{max: 19.0}")
    assert calibrate(trained).proposals[0].before == 19.0
    write_json(kept(trained)[0], [])
    kept(trained)[0].unlink()
    with pytest.raises(AssertionError, match="no training run was due"):
        calibrate(trained)


def test_a_diff_is_shown_and_nothing_is_written_without_agreement(trained, capsys):
    before = text(trained)
    assert cli.run(["calibrate", "tiny"]) == 0
    printed = capsys.readouterr().out
    assert text(trained) == before
    assert "-      bits_per_character: {max: 20.0}  # bits" in printed
    assert "+      # calibrated: " in printed
    assert "nothing was written; --yes writes it" in printed


def test_agreed_the_bound_is_written_with_its_evidence_and_nothing_else(trained, capsys):
    before = text(trained)
    assert cli.run(["calibrate", "tiny", "--yes"]) == 0
    assert "wrote params.yaml; next: dvc repro gate@tiny" in capsys.readouterr().out
    gone = [line for line in before.splitlines() if line not in text(trained).splitlines()]
    assert gone == ["      bits_per_character: {max: 20.0}  # bits"]
    assert "      # why I want it\n      # calibrated: " in text(trained)
    value = trained.params.gates["tiny"].thresholds["bits_per_character"].max
    assert reached(trained) < value < 20
    # Calibrated again, there is nothing to do.
    written = text(trained)
    assert cli.run(["calibrate", "tiny", "--yes"]) == 0
    assert "tiny: no bound to change" in capsys.readouterr().out
    assert text(trained) == written


def test_a_person_at_a_terminal_is_asked(trained, monkeypatch, capsys):
    class Terminal:
        def isatty(self):
            return True

    monkeypatch.setattr("genmint.commands.calibrate.sys.stdin", Terminal())
    answers = iter([False, True])
    monkeypatch.setattr("typer.confirm", lambda _: next(answers))
    before = text(trained)
    assert cli.run(["calibrate", "tiny"]) == 0
    assert text(trained) == before
    assert cli.run(["calibrate", "tiny"]) == 0
    assert text(trained) != before


def test_a_bound_is_not_loosened_unless_that_is_asked_for(trained, capsys):
    trained.edit("{max: 20.0}", "{max: 0.5}")
    before = text(trained)
    assert cli.run(["calibrate", "tiny", "--yes"]) == 0
    printed = capsys.readouterr().out
    assert "would be looser than the present 0.5" in printed
    assert "no bound to change" in printed
    assert text(trained) == before
    assert cli.run(["calibrate", "tiny", "--yes", "--loosen"]) == 0
    assert "looser than before: bits_per_character max 0.5" in capsys.readouterr().out
    assert text(trained) != before


def test_a_bar_without_a_number_gets_one(trained):
    trained.edit("{max: 20.0}", "{baseline: xz}")
    (one,) = calibrate(trained).proposals
    assert (one.key, one.before) == ("max", None)


def test_a_file_that_changed_meanwhile_is_not_overwritten(trained, monkeypatch, capsys):
    real = calibration.measure_seed

    def slowly(*arguments):
        trained.edit("# why I want it", "# another reason")
        return real(*arguments)

    monkeypatch.setattr(calibration, "measure_seed", slowly)
    assert cli.run(["calibrate", "tiny", "--yes"]) == 2
    assert "was changed meanwhile; nothing was written" in capsys.readouterr().err
    assert "calibrated" not in text(trained)


def write_spread(workshop, values, config=None):
    config = config or workshop.params.models["tiny"]
    spread = Spread(
        model="tiny",
        block=block_hash(config),
        seeds=tuple(range(len(values))),
        protocol={},
        values={"bits_per_character": tuple(values)},
        standard_deviation={"bits_per_character": statistics.stdev(values)},
    )
    write_json(workshop.project.spread("tiny"), spread.model_dump(mode="json"))


def test_seeds_of_the_same_entry_count_and_others_do_not(trained):
    alone = calibrate(trained).proposals[0]
    worse = reached(trained) + 0.05
    write_spread(trained, [worse - 0.02, worse - 0.02, worse, worse + 0.02, worse + 0.02])
    seeds = calibrate(trained).proposals[0]
    assert seeds.value > alone.value
    assert f"5 seeds: {worse:.4g} ± 0.02" in seeds.evidence
    config = trained.params.models["tiny"].model_copy(update={"hidden": 5})
    write_spread(trained, [worse] * 5, config)
    assert calibrate(trained).proposals[0] == alone


def test_where_a_tenth_is_as_good_no_bound_is_proposed(trained, capsys):
    calibrate(trained)
    (path,) = kept(trained)
    result = json.loads(path.read_text())
    result["values"]["bits_per_character"] = reached(trained) - 0.1
    write_json(path, result)
    before = text(trained)
    assert cli.run(["calibrate", "tiny", "--yes"]) == 0
    printed = capsys.readouterr().out
    assert "no bound for bits_per_character: a tenth of the steps is as good" in printed
    assert text(trained) == before


def test_a_skill_is_calibrated_as_a_skill(trained):
    trained.edit("bits_per_character: {max: 20.0}  # bits", "word_distance: {skill: 0.9}")
    calibrate(trained)
    (path,) = kept(trained)
    result = json.loads(path.read_text())
    result["values"]["word_distance"] = 0.8
    write_json(path, result)
    protocol = trained.project.protocol("tiny")
    metrics = json.loads(trained.project.metrics("tiny").read_text())
    metrics |= {"word_distance": 0.2, "word_distance_stderr": 0.001}
    write_json(trained.project.metrics("tiny"), metrics)
    known = json.loads(protocol.read_text()) | {
        "metrics": sha256_file(trained.project.metrics("tiny")),
        "baselines": {"word_distance": {"noise": 0.9}},
        "real": {"word_distance": 0.1},
        "noise_floor": {"word_distance": 0.01},
    }
    write_json(protocol, known)
    (one,) = calibrate(trained).proposals
    # log(0.9 / 0.2) / log 9 is 0.68, log(0.9 / 0.8) / log 9 is 0.05.
    assert (one.key, one.before, one.looser) == ("skill", 0.9, True)
    assert one.value == pytest.approx(0.52, abs=0.01)
    assert one.evidence.endswith("skills 0.68 and 0.05")
    write_json(protocol, {**known, "real": {}})
    assert "word_distance of real data" in calibrate(trained).notes["word_distance"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("gates:\n  tiny:", "gates: {}\nignored:\n  tiny:", "unknown key"),
        ("steps: 60", "steps: 9", "models.tiny.steps is 9: a tenth of it is no training"),
        ("hidden: 4", "hidden: 5", "was made with hidden: 4, and models.tiny has hidden: 5"),
    ],
)
def test_settings_that_do_not_fit_are_one_line(trained, capsys, old, new, message):
    trained.edit(old, new)
    assert cli.run(["calibrate", "tiny"]) in (1, 2)
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1


def test_a_model_without_a_gate_or_a_name_without_a_model_is_one_line(trained, capsys):
    (trained.root / "params.yaml").write_text(PARAMS[: PARAMS.index("gates:")] + "gates: {}\n")
    assert cli.run(["calibrate", "tiny"]) == 2
    assert "params.yaml has no gates.tiny" in capsys.readouterr().err
    assert cli.run(["calibrate", "tinny"]) == 2
    assert "no model 'tinny'; did you mean 'tiny'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda w: w.project.metrics("tiny").unlink(), "no such file, so there is no measured run"),
        (lambda w: w.project.metrics("tiny").write_text("{}"), "is not the measured file"),
        (lambda w: w.project.protocol("tiny").unlink(), "tiny.protocol.json is missing"),
        (lambda w: (w.project.model("tiny") / "model.safetensors").write_text("x"),
         "model.safetensors is not the measured file"),
    ],
)  # fmt: skip
def test_without_a_whole_run_there_is_one_line_with_the_way_out(trained, damage, message):
    damage(trained)
    with pytest.raises(GenmintError, match=r"dvc repro gate@tiny") as caught:
        calibrate(trained)
    assert message in str(caught.value)


@pytest.mark.parametrize("key", ["code", "data", "samples"])
def test_a_run_that_was_measured_otherwise_is_refused(trained, key):
    path = trained.project.protocol("tiny")
    content = json.loads(path.read_text())
    content["protocol"][key] = "other"
    write_json(path, content)
    with pytest.raises(GenmintError, match=f"another {key} than there is now"):
        calibrate(trained)


def test_what_is_counted_in_steps_shrinks_with_them():
    warmups = {"optimiser": {"lr": 0.1, "warmup": 30}, "kl_warmup": {"steps": 500, "cycles": 4}}
    vae = VAEConfig(family="vae", dataset="d", steps=1000, validate_every=50, **warmups)
    short = calibration.short_config("a", vae)
    assert (short.steps, short.validate_every) == (100, 5)
    assert (short.optimiser.warmup, short.kl_warmup.steps) == (3, 50)
    rnn = RNNConfig(family="rnn", dataset="d", steps=19, validate_every=5)
    assert (calibration.short_config("a", rnn).steps, rnn.steps) == (1, 19)
    cycles = VAEConfig(family="vae", dataset="d", steps=20, kl_warmup={"steps": 20, "cycles": 10})
    with pytest.raises(ConfigError, match=r"models\.a with a tenth of its steps: kl_warmup\.steps"):
        calibration.short_config("a", cycles)
