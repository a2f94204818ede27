"""Every candidate is a valid model entry for its data, with a gate that it can have."""

import itertools
import json
import math
from pathlib import Path

import pytest

from genmint.config import AudioDataset, ImageDataset, TextDataset, parse_params
from genmint.models.shared import store
from genmint.proposal.gates import gate_entry
from genmint.proposal.models import LONGEST_SEQUENCE, candidates, fitting_families
from genmint.proposal.sizing import spec_of

DATASETS = {
    "colour": ImageDataset(path="x", kind="image", resolution=32, mode="rgb"),
    "grey": ImageDataset(path="x", kind="image", resolution=28, mode="grey"),
    "tiny": ImageDataset(path="x", kind="image", resolution=8, mode="grey"),
    "large": ImageDataset(path="x", kind="image", resolution=128, mode="rgb"),
    "speech": AudioDataset(path="x", kind="audio", sample_rate=8000, seconds=0.5),
    "short": AudioDataset(path="x", kind="audio", sample_rate=8000, seconds=0.13),
    "text": TextDataset(path="x", kind="text"),
}
CASES = [
    (name, family)
    for name, family in itertools.product(DATASETS, ("rnn", "vae", "gan"))
    if (name != "text" or family == "rnn") and (name, family) != ("large", "rnn")
]


@pytest.mark.parametrize(("name", "family"), CASES)
@pytest.mark.parametrize("items", [50, 100_000])
def test_candidates_and_gates_fit_their_data(name, family, items):
    dataset = DATASETS[name]
    options = candidates(family, dataset, items)
    assert options[-1].passes == 0.0, "the smallest is always taken"
    assert [each.passes for each in options] == sorted(
        (each.passes for each in options), reverse=True
    )
    for candidate in options:
        config = candidate.config("mine", 100)
        gate = gate_entry("mine-x", config, dataset)
        entries = {
            "datasets": {"mine": dataset.model_dump(mode="json")},
            "models": {"mine-x": candidate.entry("mine-x", "mine", 100).values()},
            "gates": {"mine-x": gate.values()},
        }
        # Raises if a gate asks for a metric that the model does not have.
        parse_params(json.dumps(entries), Path("params.yaml"))
    # The smallest network can be built for the data.
    store.build(config, spec_of("mine", dataset, config.view))


def test_few_images_are_trained_with_dropout_and_fewer_passes():
    # 137 of 240 images of 12×12: at 10 passes 7.0 bits per dimension, with dropout 5.8.
    few, many = (candidates("rnn", DATASETS["colour"], items)[0] for items in (137, 1000))
    assert few.config("mine", 100).variational_dropout
    assert few.config("mine", 100).dropout == 0.3
    assert few.most_passes < many.most_passes
    assert many.config("mine", 100).dropout == 0


def bounds(name, family, **how):
    dataset = DATASETS[name]
    config = candidates(family, dataset, 1000, **how)[0].config("mine", 100)
    return gate_entry("m", config, dataset).values()["thresholds"]


def test_bounds_need_no_numbers_of_the_data():
    assert bounds("colour", "rnn") == {"bits_per_dim": {"baseline": "png"}}
    assert bounds("colour", "vae") == {"bits_per_dim": {"baseline": "png"}}
    assert bounds("colour", "gan") == {"frechet_mine_cnn": {"skill": 0.5}}
    assert bounds("grey", "vae", binary=True)["elbo"]["baseline"] == "pixel_bernoulli"
    assert bounds("speech", "rnn")["bits_per_sample"]["baseline"] == "order_1"
    assert bounds("speech", "vae")["bits_per_dim"]["baseline"] == "pixel_histogram"
    assert bounds("text", "rnn")["bits_per_character"]["baseline"] == "trigram"


def test_a_family_that_does_not_fit_has_a_reason():
    def fitting(name):
        dataset = DATASETS[name]
        return fitting_families(dataset, spec_of("mine", dataset, "sequence"))

    assert set(fitting("colour").values()) == {""}
    assert fitting("text") == {
        "rnn": "",
        "vae": "takes grids, and this is text",
        "gan": "takes grids, and this is text",
    }
    length = math.prod((3, 128, 128))
    assert length > LONGEST_SEQUENCE
    assert f"{length:,} symbols one by one" in fitting("large")["rnn"]
