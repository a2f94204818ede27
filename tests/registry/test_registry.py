"""The registry: each set of weights is one version, and an error is never read as "none"."""

import pytest
from mlflow import MlflowClient

from genmint import tracking
from genmint.common.errors import RegistryUnreachableError
from genmint.promotion.key_change import with_key
from genmint.registry import registration
from genmint.registry.championship import Championship
from genmint.registry.registry import Registry


@pytest.fixture
def store(workshop):
    return with_key(Registry.open(workshop.project), ["tiny"])


def register(store, workshop, **changed):
    weights = workshop.make()
    values = {
        "weights": weights,
        "run_id": tracking.recreate_run(workshop.project, "tiny"),
        "tags": {"genmint.gate": "passed"},
        "description": "first",
        "evaluation": {"metrics/tiny.json": workshop.project.metrics("tiny")},
        **changed,
    }
    return registration.register(store, "tiny", workshop.root / "models/tiny", **values)


def test_weights_are_one_version_however_often_they_come(store, workshop):
    first = register(store, workshop)
    assert register(store, workshop).version == first.version == "1"
    assert [version.version for version in store.versions("tiny")] == ["1"]
    assert store.find("tiny", first.weights) == first
    assert store.find("tiny", "0" * 64) is None
    assert store.find("other", first.weights) is None
    assert store.get("tiny", "1") == first
    assert store.get("tiny", "2") is None


def test_what_is_known_of_a_version_is_brought_up_to_date(store, workshop):
    register(store, workshop)
    register(store, workshop, tags={"genmint.gate": "refused"}, description="second")
    (version,) = store.versions("tiny")
    assert (version.tags["genmint.gate"], version.description) == ("refused", "second")


def test_two_that_register_the_same_weights_at_once_end_with_one_version(
    store, workshop, monkeypatch
):
    first = register(store, workshop)
    # The other one looked before the first was there.
    monkeypatch.setattr(Registry, "find", _blind_once(Registry.find))
    second = register(store, workshop)
    assert second.version == first.version
    assert [version.version for version in store.versions("tiny")] == ["1"]


def _blind_once(real):
    seen = []

    def find(self, name, weights):
        seen.append(name)
        return None if len(seen) == 1 else real(self, name, weights)

    return find


def test_versions_come_in_the_order_of_their_numbers(store, workshop):
    register(store, workshop)
    client = MlflowClient(tracking.uri(workshop.project))
    for _ in range(11):
        client.create_model_version("tiny", source="file:///nowhere")
    assert [version.version for version in store.versions("tiny")] == [
        str(number) for number in range(1, 13)
    ]


def test_the_challenger_is_set_and_cleared(store, workshop):
    version = register(store, workshop)
    Championship(store).set_challenger("tiny", version.version)
    assert store.aliases("tiny") == {"challenger": "1"}
    Championship(store).clear_challenger("tiny", "2")
    assert store.aliases("tiny") == {"challenger": "1"}
    Championship(store).clear_challenger("tiny", "1")
    assert store.aliases("tiny") == {}


def test_a_downloaded_version_is_what_was_registered(store, workshop):
    version = register(store, workshop)
    weights, evaluation = store.download(version, workshop.root / "copy")
    original = workshop.root / "models/tiny"
    for name in ("model.safetensors", "config.json"):
        assert (weights / name).read_bytes() == (original / name).read_bytes()
    copied = evaluation / "metrics" / "tiny.json"
    assert copied.read_bytes() == workshop.project.metrics("tiny").read_bytes()


def test_final_metrics_are_on_the_page_of_the_run_once(store, workshop):
    version = register(store, workshop)
    client = MlflowClient(tracking.uri(workshop.project))
    for value in (-20.0, -20.0):
        store.log_metrics(version.run_id, {"elbo": value}, 1000)
    assert len(client.get_metric_history(version.run_id, "elbo")) == 1


def test_a_store_that_breaks_later_is_an_error_in_every_question(store, workshop):
    register(store, workshop)
    (workshop.root / "mlflow.db").write_bytes(b"no database" * 1000)
    for ask in (
        lambda: store.versions("tiny"),
        lambda: store.find("tiny", "0" * 64),
        lambda: store.get("tiny", "1"),
        lambda: store.aliases("tiny"),
        lambda: Championship(store).finish_moves("tiny", None),
        lambda: Championship(store).read("tiny", None),
        lambda: Championship(store).entries("tiny"),
        lambda: Championship(store).set_challenger("tiny", "1"),
    ):
        with pytest.raises(RegistryUnreachableError):
            ask()


def test_a_key_that_another_process_made_meanwhile_is_taken(workshop):
    """It opened the registry when there was none, and looks when the other one has registered."""
    early = Registry.open(workshop.project)
    other = with_key(Registry.open(workshop.project), ["tiny"])
    register(other, workshop)
    assert early.key is None
    assert with_key(early, ["tiny"]).key == other.key
