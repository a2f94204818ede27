"""What a promotion shows on the pages of MLflow: of the run, and of the version."""

import json

import pytest
from tests.promotion.promoted import client, one, versions

from genmint import tracking
from genmint.common.dvc_lock import md5_file


@pytest.mark.parametrize(("elbo", "verdict"), [(-25.0, "not better"), (-35.0, "refused")])
def test_the_page_shows_the_champion_beside_it(workshop, elbo, verdict):
    """Also if the gate refused it, and there is no comparison."""
    workshop.make()
    one(workshop)
    workshop.make(seed=1, elbo=elbo)
    assert one(workshop).verdict == verdict
    (version,) = [each for each in versions(workshop) if str(each.version) == "2"]
    assert "champion (version 1)" in version.description
    assert f"| `elbo` | {elbo:g} | 0.1 | -20 |" in version.description
    tags = client(workshop).get_run(version.run_id).data.tags
    assert (tags["genmint.version"], tags["genmint.verdict"]) == ("2", verdict)


def test_a_metric_worse_than_a_trivial_baseline_is_marked_on_the_page(workshop):
    workshop.make(elbo=-45.0)
    assert one(workshop).verdict == "refused"
    (version,) = versions(workshop)
    assert "trivial baseline:** `elbo` -45 (worse than pixel_bernoulli: -40)" in version.description
    assert "| `elbo` **▼ worse than pixel_bernoulli: -40** | -45 |" in version.description


def test_samples_lie_at_the_top_of_a_runs_files_by_their_step(workshop):
    workshop.make()
    (workshop.project.samples("tiny") / "sheet.png").write_bytes(b"a sheet")
    workshop.commit()
    one(workshop)
    (version,) = versions(workshop)
    # The lowest validation loss of its history is that of step 3.
    (stored,) = client(workshop).list_artifacts(version.run_id, "samples")
    assert stored.path == "samples/step-3.png"
    link = f"(#/experiments/1/runs/{version.run_id}/artifacts/samples/step-3.png)"
    assert f"[step-3.png]{link}" in version.description


def test_samples_are_uploaded_only_where_they_are_missing_or_others(workshop, monkeypatch):
    folders = []
    upload = tracking.upload

    def counted(client, run_id, path, folder=""):
        folders.append(folder)
        upload(client, run_id, path, folder)

    def uploads():
        """How many files a promotion uploads to the folder of the samples."""
        folders.clear()
        workshop.commit()
        one(workshop)
        return folders.count("samples")

    monkeypatch.setattr(tracking, "upload", counted)
    sheet = workshop.project.samples("tiny") / "sheet.png"
    workshop.make()
    sheet.write_bytes(b"a sheet")
    assert [uploads(), uploads()] == [1, 0]
    # Of the same size, as the strip of an audio model always is.
    sheet.write_bytes(b"another")
    workshop.edit("min: -30.0", "min: -31.0")
    workshop.gate("tiny")
    assert [uploads(), uploads()] == [1, 0]
    (local,) = (workshop.root / "mlartifacts").rglob("samples/step-3.png")
    assert local.read_bytes() == b"another"
    local.unlink()
    assert [uploads(), uploads()] == [1, 0]
    assert local.read_bytes() == b"another"


def test_a_version_of_an_earlier_genmint_keeps_its_hashes_of_dvc(workshop):
    """A tag that new versions no longer have, since dvc.lock is stored with them."""
    workshop.make()
    one(workshop)
    (version,) = versions(workshop)
    assert "genmint.dvc" not in version.tags
    client(workshop).set_model_version_tag("tiny", "1", "genmint.dvc", "{}")
    one(workshop)
    (version,) = versions(workshop)
    hashes = json.loads(version.tags["genmint.dvc"])
    assert hashes["metrics/tiny.json"] == md5_file(workshop.project.metrics("tiny"))
