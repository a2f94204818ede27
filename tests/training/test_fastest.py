"""What `auto` is: the fastest settings, measured once for long training runs, or those by rule."""

import dataclasses
import json

import pytest
import torch

from genmint.common.errors import GenmintError
from genmint.config import parse_model
from genmint.data.views.spec import DataSpec
from genmint.training import fastest as module
from genmint.training import options, speed_records
from genmint.training.fastest import FEWEST_STEPS, Bench, choose, fastest
from genmint.training.options import SpeedOptions, allowed, by_rule, possible
from genmint.training.speed import Timing
from genmint.training.speed_records import machine, record_file, step_settings

CPU = torch.device("cpu")
GRID = DataSpec(dataset="d", kind="image", view="grid", shape=(1, 8, 8))
PLAIN = SpeedOptions("fp32", False, False)
INNERMOST = SpeedOptions("fp32", False, True)
HALF = SpeedOptions("bf16", False, False)
BOTH = SpeedOptions("bf16", False, True)
EAGER = [PLAIN, INNERMOST, HALF, BOTH]
LONG = 100_000


def config(**changes):
    entry = {
        "family": "vae", "dataset": "d", "network": "conv", "hidden": [4], "latent": 2,
        "steps": LONG, "batch_size": 8,
    }  # fmt: skip
    return parse_model({**entry, **changes})


@pytest.fixture(autouse=True)
def processor(monkeypatch):
    """A processor that multiplies bf16, without AMX, on a machine with a compiler."""
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    for name in ("has_compiler", "can_compute"):
        monkeypatch.setattr(options, name, lambda *_: True)
    monkeypatch.setattr("genmint.training.devices.has_compiler", lambda _: True)


@pytest.fixture
def machine_of(monkeypatch, tmp_path):
    """A machine of given speeds in steps per second; what was timed on it, and what was said."""

    class Machine:
        folder = tmp_path / "speed"

        def __init__(self):
            self.timed, self.said, self.speeds, self.start = [], [], {}, 90.0

        def measure(self, config, spec, train, settings, device, timer, **_):
            self.timed.append(list(settings))
            return {
                each: Timing(
                    rate=8 * self.speeds[each],
                    start=self.start if each.compile else 0.1,
                    steps=self.speeds[each],
                )
                for each in settings
            }

        def takes(self, entry, processes=1):
            bench = Bench(
                entry, GRID, CPU, train=lambda: torch.zeros(8, 1, 8, 8), tell=self.said.append
            )
            return fastest(bench, self.folder, processes)

    made = Machine()
    monkeypatch.setattr(module, "measure", made.measure)

    def of(*speeds, **compiled):
        made.speeds = dict(zip(EAGER, speeds, strict=True))
        for each, speed in zip(EAGER, speeds, strict=True):
            factor = compiled.get("compiled", 1.0)
            made.speeds[dataclasses.replace(each, compile=True)] = factor * speed
        return made

    return of


@pytest.mark.parametrize(
    ("speeds", "wanted"),
    [
        ((10, 10, 10, 20), BOTH),
        ((10, 10, 20, 10), HALF),
        ((10, 20, 10, 10), INNERMOST),
        ((20, 10, 10, 10), PLAIN),
        # Within 5 % of each other: what is plainer.
        ((10, 10, 10, 10.4), PLAIN),
        ((10, 10, 10, 10.6), BOTH),
        ((10, 19.5, 10, 20), INNERMOST),
    ],
)
def test_the_fastest_is_taken_and_of_equals_the_plainest(machine_of, speeds, wanted):
    assert machine_of(*speeds).takes(config()) == wanted


def test_what_was_measured_once_is_taken_again(machine_of):
    """Even if the machine is busy with something else the next time."""
    found = machine_of(100, 100, 100, 200)
    assert found.takes(config()) == BOTH
    timed = len(found.timed)
    machine_of(100, 100, 100, 50)
    assert found.takes(config()) == BOTH
    assert found.takes(config(steps=LONG + 50_000)) == BOTH
    assert len(found.timed) == timed
    (path,) = found.folder.iterdir()
    record = json.loads(path.read_text())
    assert record["machine"]["torch"] == torch.__version__
    path.unlink()
    assert found.takes(config()) == PLAIN


@pytest.mark.parametrize(
    "changes",
    [{"seed": 3}, {"beta": 2.0}, {"optimiser": {"lr": 1e-2}}, {"validate_every": 7},
     {"dataset": "other"}, {"sampler": {"name": "gmm"}}, {"ema": 0.9}],
)  # fmt: skip
def test_a_key_that_does_not_change_a_step_does_not_change_the_choice(machine_of, changes):
    found = machine_of(100, 100, 100, 200)
    found.takes(config())
    machine_of(100, 100, 100, 50)
    assert found.takes(config(**changes)) == BOTH


@pytest.mark.parametrize("changes", [{"hidden": [8]}, {"batch_size": 16}, {"latent": 3}])
def test_another_network_is_measured_by_itself(machine_of, changes):
    found = machine_of(100, 100, 100, 200)
    found.takes(config())
    machine_of(100, 100, 100, 50)
    assert found.takes(config(**changes)) == PLAIN
    assert len(list(found.folder.iterdir())) == 2


def test_another_kind_of_machine_is_measured_by_itself(machine_of, monkeypatch):
    found = machine_of(100, 100, 100, 200)
    found.takes(config())
    machine_of(100, 100, 100, 50)
    assert found.takes(config(), processes=2) == PLAIN
    monkeypatch.setattr(torch, "get_num_threads", lambda: 17)
    assert found.takes(config()) == PLAIN
    assert len(list(found.folder.iterdir())) == 3


def test_a_short_run_is_never_measured(machine_of):
    found = machine_of(1, 1, 1, 9)
    short = config(steps=FEWEST_STEPS - 1)
    assert found.takes(short) == by_rule(short, CPU)
    assert found.timed == []
    assert not found.folder.exists()


def test_only_a_run_of_twenty_times_its_length_pays_for_a_measurement(machine_of):
    """Four settings of a second and 8 steps of 10 ms: 4.32 s, and 86.4 s are 8,640 steps."""
    found = machine_of(100, 300, 100, 200)
    short, long = config(steps=8639), config(steps=8641)
    assert found.takes(short) == by_rule(short, CPU) == BOTH
    assert found.timed == [[PLAIN]]
    assert found.said == []
    # The probe is recorded, so that the next run decides alike on a machine that seems slower.
    machine_of(1, 3, 1, 2)
    assert found.takes(short) == BOTH
    assert found.takes(long) == INNERMOST
    assert found.timed == [[PLAIN], EAGER]
    assert found.said == ["4 settings are timed once, to take the fastest"]
    # What a longer run measured is not used by a shorter one, whose weights would change.
    assert found.takes(short) == BOTH


def test_compilation_is_timed_for_half_an_hour_and_taken_if_it_repays_its_start(machine_of):
    """1,800 s at 100 steps a second; 90 s of compilation."""
    found = machine_of(100, 50, 50, 50, compiled=2.0)
    assert found.takes(config(steps=179_000)) == PLAIN
    assert found.takes(config(steps=181_000)) == dataclasses.replace(PLAIN, compile=True)
    assert found.timed[-1] == [PLAIN, dataclasses.replace(PLAIN, compile=True)]
    assert found.takes(config(steps=179_000)) == PLAIN


def test_compilation_that_does_not_repay_its_start_is_not_taken(machine_of):
    found = machine_of(100, 50, 50, 50, compiled=1.1)
    found.start = 100.0
    # 1,810 s eager; 1,645 s and 100 s of compilation.
    assert found.takes(config(steps=181_000)) == PLAIN
    assert found.takes(config(steps=1_000_000)) == dataclasses.replace(PLAIN, compile=True)


def test_compilation_is_compared_with_what_is_measured_beside_it(machine_of):
    """The machine is half as fast when compilation is timed; it counts as 1.5 times as fast."""
    found = machine_of(100, 50, 50, 50)
    found.takes(config(steps=100_000))
    machine_of(50, 25, 25, 25, compiled=1.5)
    assert found.takes(config(steps=1_000_000)) == dataclasses.replace(PLAIN, compile=True)
    (path,) = found.folder.iterdir()
    timed = {
        (t["precision"], t["channels_last"], t["compile"]): t["steps_per_second"]
        for t in json.loads(path.read_text())["timed"]
    }
    assert timed["fp32", False, False] == 100
    assert timed["fp32", False, True] == pytest.approx(150)


def test_a_compiler_that_fails_is_said_and_not_used(machine_of, monkeypatch):
    found = machine_of(100, 50, 50, 50, compiled=2.0)
    usual = found.measure

    def measure(config, spec, train, settings, device, timer, **rest):
        if any(each.compile for each in settings):
            raise RuntimeError("CppCompileError: no headers\nmore")
        return usual(config, spec, train, settings, device, timer, **rest)

    monkeypatch.setattr(module, "measure", measure)
    assert found.takes(config(steps=1_000_000)) == PLAIN
    assert found.said[-1] == "compilation failed, and is not used: CppCompileError: no headers"


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"precision": "fp32"}, [PLAIN, INNERMOST]),
        ({"channels_last": True}, [INNERMOST, BOTH]),
        ({"channels_last": False}, [PLAIN, HALF]),
        ({"precision": "bf16", "channels_last": True}, [BOTH]),
    ],
)
def test_only_auto_is_chosen(machine_of, changes, wanted):
    entry = config(compile=False, **changes)
    assert allowed(entry, GRID, CPU) == wanted
    for fast in EAGER:
        found = machine_of(*(20 if each == fast else 10 for each in EAGER))
        assert found.takes(entry) == (fast if fast in wanted else wanted[0])
        for path in found.folder.glob("*"):
            path.unlink()


def test_bf16_needs_a_network_that_it_suits_and_a_device_that_multiplies_it(monkeypatch):
    dense = config(network="mlp", compile=False)
    assert allowed(dense, GRID, CPU) == [PLAIN]
    assert HALF in possible(dense, GRID, CPU)
    assert allowed(config(compile=False), GRID, CPU) == EAGER
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert allowed(config(compile=False), GRID, CPU) == [PLAIN, INNERMOST]
    assert by_rule(config(), CPU) == PLAIN


def test_a_damaged_record_is_named_with_the_remedy(machine_of):
    found = machine_of(100, 100, 100, 200)
    found.takes(config())
    (path,) = found.folder.iterdir()
    for text in ("{", "{}", path.read_text().replace('"timed"', '"times"')):
        path.write_text(text)
        with pytest.raises(GenmintError, match="Delete it: the next training run") as caught:
            found.takes(config())
        assert str(path) in str(caught.value)


def test_nothing_is_measured_to_choose():
    assert choose(config(), GRID, CPU, None) == by_rule(config(), CPU)


def test_a_record_names_what_it_is_of():
    kind = machine(CPU, 2)
    assert kind["processor"]
    assert (kind["threads"], kind["processes"]) == (torch.get_num_threads(), 2)
    settings = step_settings(config(), GRID)
    assert settings["hidden"] == [4]
    assert not {"steps", "seed", "dataset", "optimiser", "beta"} & settings.keys()
    assert record_file(None, config(), GRID, CPU, 1).read() is None


def test_the_processor_is_named_without_proc(monkeypatch, tmp_path):
    monkeypatch.setattr(speed_records, "ROOT", tmp_path)
    assert machine(CPU, 1)["processor"]


def test_real_settings_are_timed_and_no_random_number_is_used(monkeypatch, tmp_path, one_thread):
    monkeypatch.setattr(module, "_SECONDS", 0.05)
    monkeypatch.setattr(module, "_WORTHWHILE", 0.1)
    monkeypatch.setattr(module, "_COMPILATION", 1e9)
    data = torch.randint(0, 256, (40, 1, 8, 8), dtype=torch.uint8)
    before = torch.get_rng_state()
    bench = Bench(config(steps=FEWEST_STEPS), GRID, CPU, train=lambda: data)
    chosen = fastest(bench, tmp_path)
    assert chosen in EAGER
    assert torch.equal(before, torch.get_rng_state())
    (path,) = tmp_path.iterdir()
    record = json.loads(path.read_text())
    assert len(record["timed"]) == 4
    assert fastest(bench, tmp_path) == chosen
    assert json.loads(path.read_text()) == record
