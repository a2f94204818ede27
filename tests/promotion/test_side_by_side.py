"""Champion and challenger on one sheet, in the registry and in the report."""

import numpy as np
import pytest
from mlflow import MlflowClient

from genmint import tracking
from genmint.evaluation.probe import PROBE, ProbeOutput, write_probe
from genmint.promotion import side_by_side
from genmint.promotion.promote import promote
from genmint.registry.registry import Registry
from genmint.reporting.report import write_report

IDS = tuple(f"dots/20000/z2/{i:03d}" for i in range(6))


def draw(workshop, seed, **changes):
    """A probe set as evaluate leaves it."""
    grids = np.random.default_rng(seed).integers(0, 256, (6, 1, 4, 4), dtype=np.uint8)
    probe = ProbeOutput(**{"ids": IDS, "grids": grids, **changes})
    write_probe(workshop.project.samples("tiny"), probe)
    return probe


def version(workshop, seed, elbo, probe=True):
    workshop.make(seed=seed, elbo=elbo)
    (workshop.project.samples("tiny") / PROBE).unlink(missing_ok=True)
    if probe:
        draw(workshop, seed)
    workshop.commit()
    (outcome,) = promote(workshop.project, workshop.params, ["tiny"])
    return outcome


def sheets_of(workshop, number):
    store = MlflowClient(tracking.uri(workshop.project))
    run_id = store.get_model_version("tiny", number).run_id
    return {item.path for item in store.list_artifacts(run_id, "probe")}


def test_a_challenger_is_stored_beside_the_champion_it_met(workshop):
    version(workshop, 0, -20.0)
    assert sheets_of(workshop, "1") == set()
    assert version(workshop, 1, -25.0).verdict == "not better"
    assert sheets_of(workshop, "2") == {"probe/beside-version-1.png"}
    assert version(workshop, 2, -15.0).verdict == "promoted"
    assert sheets_of(workshop, "3") == {"probe/beside-version-1.png"}
    assert sheets_of(workshop, "1") == set()


def test_every_version_keeps_its_own_probe_set(workshop):
    version(workshop, 0, -20.0)
    version(workshop, 1, -25.0)
    registry = Registry.open(workshop.project)
    kept = [side_by_side.version_probe(registry, registry.get("tiny", n)) for n in ("1", "2")]
    assert kept[0].ids == kept[1].ids == IDS
    assert not np.array_equal(kept[0].grids, kept[1].grids)
    assert np.array_equal(kept[1].grids, side_by_side.local_probe(workshop.project, "tiny").grids)


def test_a_version_without_a_probe_set_is_beside_nobody(workshop):
    version(workshop, 0, -20.0, probe=False)
    assert version(workshop, 1, -15.0).verdict == "promoted"
    assert sheets_of(workshop, "2") == set()


def test_a_damaged_probe_set_is_told_and_stops_no_promotion(workshop, capsys):
    version(workshop, 0, -20.0)
    for path in (workshop.root / "mlartifacts").rglob(PROBE):
        path.write_bytes(b"damaged")
    assert version(workshop, 1, -15.0).verdict == "promoted"
    said = capsys.readouterr().err
    assert f"tiny/1: its {PROBE} is not the one that was registered, and is not used" in said
    assert sheets_of(workshop, "2") == set()


@pytest.mark.parametrize("elbo", [-25.0, -15.0])
def test_the_report_shows_the_champion_beside_what_lies_here(workshop, elbo):
    version(workshop, 0, -20.0)
    page = write_report(workshop.project, workshop.params).read_text()
    assert "<h3>Probe set</h3>" in page
    outcome = version(workshop, 1, elbo)
    page = write_report(workshop.project, workshop.params).read_text()
    beside_champion = "Probe set: files here beside the champion, version 1" in page
    assert beside_champion == (outcome.verdict == "not better")


def test_the_report_says_why_the_champion_cannot_be_shown(workshop):
    version(workshop, 0, -20.0)
    version(workshop, 1, -25.0)
    for path in (workshop.root / "mlartifacts").rglob(PROBE):
        path.write_bytes(b"damaged")
    page = write_report(workshop.project, workshop.params).read_text()
    assert "no comparison with the champion" in page
