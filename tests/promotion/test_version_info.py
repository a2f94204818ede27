"""A version's description says what was asked and found, in the room that a registry has."""

from genmint.decision.comparison import ChampionComparison, Comparison, Contrast
from genmint.decision.gate_record import Check, Record
from genmint.decision.trivial_baselines import NoBetter
from genmint.promotion.version_card import Page
from genmint.promotion.version_info import alias_meaning, compared, description, refusals_in_a_row
from genmint.registry.registry import Version

WEIGHTS = "a" * 64


def record(checks):
    failed = sum(not check.passed for check in checks)
    return Record(
        model="image-vae",
        passed=int(not failed),
        checks_passed=len(checks) - failed,
        checks_failed=failed,
        verdicts={},
        mode="enforce",
        checks=tuple(checks),
        evidence=(),
    )


def check(name, *, passed=True, reason="is at least 1"):
    return Check(name=name, value=1.0, low=0.9, high=1.1, bound=1.0, passed=passed, reason=reason)


def ruling():
    found = Contrast(
        metric="elbo",
        aim="superior",
        challenger=-19.0,
        champion=-20.0,
        difference=1.0,
        low=0.75,
        high=1.25,
        bound=0.5,
        passed=True,
        reason="better by 1",
    )
    unknown = Contrast(metric="confident", aim="non-inferior", reason="is missing")
    test = Comparison(better=True, confidence=0.9, contrasts=(found,))
    second = Comparison(better=False, confidence=0.9, contrasts=(found, unknown))
    return ChampionComparison(champion="3", test=test, confirmation=second)


def versions(*gates):
    """Versions 1, 2, … with what their gates said."""
    tags = [{"genmint.gate": said} if said else {} for said in gates]
    return [
        Version("tiny", str(number), "", said, "", None, "")
        for number, said in enumerate(tags, start=1)
    ]


def test_refusals_count_up_to_the_latest_version_that_passed():
    assert refusals_in_a_row([]) == 0
    assert refusals_in_a_row(versions("refused", "passed")) == 0
    assert refusals_in_a_row(versions("refused", "passed", "refused", "refused")) == 2
    # Numbers are texts in the registry, and 10 comes after 9.
    ten = versions(*["passed"] * 8, "passed", "refused")
    assert refusals_in_a_row(sorted(ten, key=lambda version: version.version)) == 1
    # One that was made by hand and has no gate was not refused.
    assert refusals_in_a_row(versions("refused", "", "refused")) == 1


def test_all_is_shown_where_there_is_room():
    text = description(record([check("one"), check("two")]), WEIGHTS, ruling())
    assert "| `one` | 1 | 0.9 … 1.1 | 1 | passed | is at least 1 |" in text
    assert "| `two` |" in text
    assert "`aaaaaaaaaaaa`" in text
    assert compared(ruling()) in text
    assert "genmint sample image-vae/VERSION" in text


def test_a_comparison_shows_both_splits_with_limits_and_bounds():
    text = compared(ruling())
    assert "**Against champion version 3: not better** (one-sided limits at 90%)" in text
    row = "| `elbo` | superior | -19 | -20 | 1 | 0.75 … 1.25 | 0.5 | passed |"
    assert f"| test {row}" in text
    assert f"| confirmation {row}" in text
    assert "| confirmation | `confident` | non-inferior | – | – | – | – | – | **failed** |" in text
    assert ruling().reason in text


def test_without_a_champion_there_is_no_comparison():
    assert "Against" not in description(record([check("one")]), WEIGHTS, None)


def test_what_passed_is_left_out_where_there_is_no_room():
    checks = [check(f"check.{number}", reason="long " * 12) for number in range(80)]
    refused = check("the.reason", passed=False, reason="is not at least 2")
    text = description(record([*checks, refused]), WEIGHTS, ruling())
    assert len(text) <= 5000
    assert "**failed** | is not at least 2" in text
    assert "check.1" not in text
    assert "The checks that passed are in the gate record" in text
    assert compared(ruling()) in text


def test_a_description_never_outgrows_the_column():
    checks = [check(f"c.{number}", passed=False, reason="long " * 30) for number in range(80)]
    text = description(record(checks), WEIGHTS, ruling())
    assert len(text) == 5000
    assert text.endswith("…")


def page(**changed):
    given = {
        "version": "4",
        "samples": ("samples/step-800.png",),
        "artifacts": "#/experiments/1/runs/r/artifacts",
        "metrics": {"elbo": -19.0, "elbo_stderr": 0.25, "recall": 0.5},
        "champion": "3",
        "champion_metrics": {"elbo": -20.0},
    }
    return Page(**given | changed)


def test_the_first_line_names_the_failed_checks_with_their_values():
    failed = [check(f"c.{number}", passed=False, reason="is too low") for number in range(7)]
    text = description(record([check("one"), *failed]), WEIGHTS, None, page())
    first = text.partition("\n")[0]
    assert first.startswith(
        "**Gate: refused** (7 of 8 checks failed, mode enforce): `c.0` 1 is too"
    )
    assert first.endswith("`c.4` 1 is too low; 2 more")
    assert "passed" not in first
    passed = description(record([check("one")]), WEIGHTS, None, page())
    assert passed.startswith("**Gate: passed** (1 of 1 checks, mode enforce)\n")


def test_a_gate_in_dry_run_is_never_a_result():
    passed = record([check("one")]).model_copy(update={"mode": "dry-run"})
    failed = record([check("a", passed=False)]).model_copy(update={"mode": "dry-run"})
    first = [description(each, WEIGHTS, None).partition("\n")[0] for each in (passed, failed)]
    assert first == [
        "**Gate: in dry-run, decides nothing** (1 of 1 checks, mode dry-run)",
        "**Gate: failed in dry-run, decides nothing** (1 of 1 checks failed, mode dry-run): "
        "`a` 1 is at least 1",
    ]


def test_metrics_no_better_than_a_trivial_baseline_are_marked_first_of_all():
    marked = (NoBetter("recall", 0.5, "noise", 0.75, worse=True),)
    text = description(record([check("one")]), WEIGHTS, None, page(no_better=marked))
    line = "**No better than a trivial baseline:** `recall` 0.5 (worse than noise: 0.75)\n"
    assert line in text
    assert "| `recall` **▼ worse than noise: 0.75** | 0.5 | – | – |\n| `elbo` | -19 |" in text
    assert text.index("**Alias:**") < text.index(line) < text.index("**Metrics**")
    assert "trivial baseline" not in description(record([check("one")]), WEIGHTS, None, page())
    many = [NoBetter(f"m{number}", 1.0, "noise", 2.0, worse=True) for number in range(8)]
    text = description(record([check("one")]), WEIGHTS, None, page(no_better=many))
    assert "`m4` 1 (worse than noise: 2); 3 more\n" in text
    checks = [check(f"check.{number}", passed=False, reason="long " * 5) for number in range(60)]
    long = description(record(checks), WEIGHTS, None, page(no_better=many))
    assert len(long) <= 5000
    assert "; 3 more\n" in long


def test_a_page_reads_like_a_model_card():
    """Result, samples, metrics beside the champion's, checks, use; hashes of the evidence last."""
    hashed = check("evidence.weights", reason="is the measured file")
    text = description(record([hashed, check("one")]), WEIGHTS, ruling(), page())
    link = "[step-800.png](#/experiments/1/runs/r/artifacts/samples/step-800.png)"
    metrics = "| `elbo` | -19 | 0.25 | -20 |\n| `recall` | 0.5 | – | – |"
    assert "| metric | value | ± | champion (version 3) |" in text
    order = [
        *("Gate: passed", "version 4, weights", link, compared(ruling()), metrics, "| `one` |"),
        *('genmint.load("image-vae/4")', "genmint sample image-vae/4 ", "| `evidence.weights` |"),
    ]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert "VERSION" not in text


def test_without_a_champion_there_is_no_column_for_one():
    text = description(record([check("one")]), WEIGHTS, None, page(champion=None))
    assert "| `elbo` | -19 | 0.25 |\n" in text
    assert "champion (version" not in text


def test_evidence_that_failed_is_shown_where_there_is_no_room():
    checks = [check(f"check.{number}", reason="long " * 12) for number in range(80)]
    text = description(record([*checks, check("evidence.x", passed=False)]), WEIGHTS, None, page())
    assert "| `evidence.x` | 1 | 0.9 … 1.1 | 1 | **failed** |" in text
    assert len(text) <= 5000


def test_a_description_says_what_moving_an_alias_here_means():
    passed, failed = record([check("a")]), record([check("a", passed=False)])
    dry = failed.model_copy(update={"mode": "dry-run"})
    assert "may be made champion" in alias_meaning(passed)
    assert "is reverted by the next reconcile, and until then" in alias_meaning(failed)
    assert "Only a tag `override`" in alias_meaning(failed)
    assert "once the gate enforces" in alias_meaning(dry)
    for each in (passed, failed, dry):
        assert alias_meaning(each) in description(each, WEIGHTS, None)
    long = record([check(f"c{i}", passed=False, reason="x" * 200) for i in range(60)])
    assert alias_meaning(long) in description(long, WEIGHTS, None)
