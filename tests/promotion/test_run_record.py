"""What a promotion shows on the pages of MLflow: of the run, and of the version."""

import json

import pytest
from tests.promotion.promoted import client, one, versions

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
