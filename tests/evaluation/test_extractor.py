import json

import numpy as np
import pytest
import torch

from genmint.common.errors import DataError, GenmintError
from genmint.data.stacking import single_labels
from genmint.evaluation import extractor as module
from genmint.evaluation import extractor_steps
from genmint.evaluation import extractor_training as training
from genmint.evaluation.corruptions import noisy
from genmint.evaluation.extractor import (
    FEATURES,
    Extractor,
    ExtractorInfo,
    accuracy,
    load_extractor,
    save_extractor,
)
from genmint.evaluation.extractor_network import multiplications, residual_network
from genmint.evaluation.extractor_steps import Learner
from genmint.evaluation.extractor_variation import mirror_images_belong
from genmint.metrics.prdc import prdc


def bars(n, seed, shape=(1, 8, 8)):
    """Pictures with a bright bar at the top (class 0), left (1) or in the corner square (2)."""
    rng = np.random.default_rng(seed)
    grids = rng.integers(0, 120, (n, *shape), dtype=np.uint8)
    labels = rng.integers(0, 3, n)
    grids[labels == 0, :, :2, :] += 120
    grids[labels == 1, :, :, :2] += 120
    grids[labels == 2, :, 4:, 4:] += 120
    return torch.from_numpy(grids), torch.from_numpy(labels)


def train(grids, labels, task="labels", classes=3, epochs=12, seed=0, held_out=None, **subject):
    """Train on the first four fifths and validate on the rest, or on the held-out items."""
    most = len(grids) * 4 // 5
    items = training.Examples(grids, labels)
    rows = torch.arange(len(grids))
    held_out = items[rows[most:]] if held_out is None else training.Examples(*held_out)
    about = training.Subject(task, classes, **subject)
    return training.train_extractor(items[rows[:most]], held_out, about, epochs=epochs, seed=seed)


@pytest.fixture(scope="module")
def model():
    return train(*bars(300, 0))


@pytest.fixture
def steps(monkeypatch):
    """The learning rates of all steps."""
    rates = []
    original = Learner.step
    monkeypatch.setattr(Learner, "step", lambda *a: (rates.append(a[3]), original(*a))[1])
    return rates


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 12), (1, 32, 33)])
def test_learns_labels_from_grids_of_any_shape(shape):
    model = train(*bars(200, 0, shape))
    assert accuracy(model, *bars(100, 1, shape), "labels") > 0.9
    assert model.features(bars(5, 2, shape)[0]).shape == (5, FEATURES)


@pytest.mark.parametrize(("task", "classes"), [("rotation", 4), ("order", 2)])
def test_learns_without_labels(task, classes):
    def of_one_class(n, seed):
        grids, labels = bars(n, seed)
        # A bar at the top tells which side is up, one at the left which half comes first.
        return grids[labels == (0 if task == "rotation" else 1)]

    found = train(of_one_class(300, 0), None, task, classes, 20)
    assert accuracy(found, of_one_class(200, 1), None, task) > 0.9


def test_the_same_call_gives_the_same_weights_whatever_came_before(model):
    torch.rand(7)
    before = torch.get_rng_state()
    again = train(*bars(300, 0))
    assert torch.equal(torch.get_rng_state(), before)
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    other = train(*bars(300, 0), seed=1)
    assert not torch.equal(other.head.weight, model.head.weight)


def test_the_number_of_threads_changes_nothing(model):
    threads = torch.get_num_threads()
    torch.set_num_threads(2 if threads == 1 else 1)
    try:
        again = train(*bars(300, 0))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(again.head.weight, model.head.weight)


def test_features_are_scaled_and_of_one_grid_what_they_are_of_many(model, monkeypatch):
    grids, _ = bars(300, 0)
    features = model.features(grids)
    assert features.dtype == np.float64
    assert features.var(axis=0).mean() == pytest.approx(1, rel=0.01)
    monkeypatch.setattr(module, "_PART", 7)
    assert model.features(grids) == pytest.approx(features, abs=1e-5)


def test_probabilities_sum_to_one(model):
    assert model.probabilities(bars(20, 3)[0]).sum(axis=1) == pytest.approx(np.ones(20))


def test_training_ends_when_validation_stops_improving(steps):
    grids, labels = bars(200, 0)
    # Labels that cannot be predicted: the loss rises as soon as the training items are memorised.
    held_out = bars(100, 1)[0], torch.randint(0, 3, (100,), generator=torch.Generator())
    train(grids, labels, epochs=100, held_out=held_out)
    assert len(steps) < 100 * 10 / 3
    # The rate falls to the end: 0 would be the step after the last.
    assert steps[-1] < 0.1 * max(steps)
    assert steps[-3] > steps[-2] > steps[-1] > 0


def test_the_weights_of_the_smallest_validation_loss_are_kept(monkeypatch):
    losses = iter([3.0, 1.0, 2.0, 2.0])
    seen = []

    def validate(learner, grids, labels):
        seen.append({n: v.clone() for n, v in learner.average.state_dict().items()})
        return next(losses), 0.5

    monkeypatch.setattr(Learner, "validate", validate)
    kept = train(*bars(200, 0), epochs=4).state_dict()
    assert len(seen) == 4
    assert torch.equal(kept["head.weight"], seen[1]["head.weight"])
    assert not torch.equal(kept["head.weight"], seen[3]["head.weight"])


def test_training_is_no_longer_than_epochs(steps):
    train(*bars(200, 0), epochs=3)
    assert len(steps) == 3 * 160 // 16


def test_large_sets_stop_after_a_fixed_amount_of_computation(monkeypatch, steps):
    model = train(*bars(20, 0), epochs=1)
    cost = multiplications(model.body, 1, 8, 8)
    monkeypatch.setattr(training, "_BUDGET", 200 * cost)
    train(*bars(300, 0), epochs=1000)
    assert len(steps) == 1 + 200 // 16


def test_progress_is_reported_after_each_validation():
    lines = []
    items = training.Examples(*bars(160, 0))
    training.train_extractor(
        items, items, training.Subject("labels", 3), epochs=2, seed=0, report=lines.append
    )
    assert [line.partition(":")[0] for line in lines] == [
        "step 10 of at most 20",
        "step 20 of at most 20",
    ]


def test_the_number_of_cores_changes_nothing(monkeypatch):
    results = []
    for cores in (1, 2):
        monkeypatch.setattr(extractor_steps, "share", lambda cores=cores: cores)
        results.append(train(*bars(100, 0, (3, 48, 48)), epochs=1).state_dict())
    for name, value in results[0].items():
        assert torch.equal(value, results[1][name]), name


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 28, 28), (1, 32, 20), (3, 96, 128)])
def test_the_network_fits_the_grids(shape):
    network = residual_network(*shape, FEATURES).eval()
    assert network(torch.zeros(2, *shape)).shape == (2, FEATURES)
    # An item of 96×128 costs 12 times as much as one of 28×28 has more pixels, not 16 times.
    assert multiplications(network, *shape) < 60_000_000


def test_mirror_images_belong_to_photos_and_not_to_letters():
    grids, labels = bars(400, 0)
    # A bar at the left is told from one at the top and a square, mirrored or not.
    assert not mirror_images_belong(grids, torch.where(grids[:, 0, 4, 0] > 120, 1, 0))
    symmetric = torch.cat([grids, grids.flip(3)])
    assert mirror_images_belong(symmetric, torch.cat([labels, labels]))


def test_corrupted_items_are_far_from_real_ones_and_of_no_class(model):
    grids, _ = bars(200, 5)
    spread = float(model.spread)
    severity = torch.ones(200)
    generator = torch.Generator().manual_seed(0)
    noise = noisy(grids.float(), severity, spread, generator).to(torch.uint8)
    real, other = model.features(bars(200, 6)[0]), model.features(noise)
    assert prdc(model.features(grids), real)["precision"] > 0.8
    assert prdc(other, real)["precision"] < 0.2
    assert model.probabilities(noise).max(axis=1).mean() < 0.6


def test_weights_of_an_older_version_are_read(tmp_path):
    old = Extractor((1, 8, 8), 3, network="plain").eval()
    save_extractor(tmp_path, old, info().model_copy(update={"network": "plain"}))
    # Files of older versions do not name the network.
    described = tmp_path / "extractor.json"
    described.write_text(json.dumps({
        key: value for key, value in json.loads(described.read_text()).items() if key != "network"
    }))  # fmt: skip
    grids, _ = bars(10, 4)
    loaded, _ = load_extractor(tmp_path)
    assert loaded.features(grids) == pytest.approx(old.features(grids), abs=1e-4)
    assert loaded.probabilities(grids).sum(axis=1) == pytest.approx(np.ones(10))


@pytest.mark.parametrize(
    ("grids", "task", "message"),
    [
        (torch.randint(0, 9, (20, 1, 7, 8), dtype=torch.uint8), "order", "at least 8×8"),
        (torch.randint(0, 9, (20, 1, 8, 9), dtype=torch.uint8), "rotation", "square"),
        (torch.full((20, 1, 8, 8), 3, dtype=torch.uint8), "order", "same colour"),
    ],
)
def test_grids_that_teach_nothing_are_refused(grids, task, message):
    with pytest.raises(DataError, match=message):
        train(grids, None, task, 2)


def stacks(n, seed):
    """Three of the pictures of `bars` as the channels of one, and the class of each."""
    grids, labels = bars(3 * n, seed)
    return grids.reshape(n, 3, 8, 8), labels.reshape(n, 3)


@pytest.fixture(scope="module")
def factored():
    return train(*stacks(200, 0), stacked=True)


def test_of_stacks_every_channel_is_told_by_itself(factored, model):
    grids, labels = stacks(100, 1)
    assert accuracy(factored, grids, labels, "labels") > 0.95
    assert accuracy(factored, grids, labels.roll(1, 1), "labels") < 0.6
    # As many weights as for single pictures.
    assert [p.shape for p in factored.parameters()] == [p.shape for p in model.parameters()]


def test_features_of_a_stack_are_those_of_its_channels_side_by_side(factored):
    grids, _ = stacks(20, 2)
    features = factored.features(grids)
    assert features.shape == (20, 3 * FEATURES)
    turned = factored.features(grids[:, [2, 0, 1]])
    assert turned == pytest.approx(np.roll(features, FEATURES, axis=1), abs=1e-5)
    assert factored.features(stacks(200, 0)[0]).var(axis=0).mean() == pytest.approx(1, rel=0.01)
    assert factored.features(grids[:0]).shape == (0, 3 * FEATURES)


def test_probabilities_of_a_stack_are_products_over_its_channels(factored):
    grids, labels = stacks(50, 3)
    joint = factored.probabilities(grids)
    assert joint.shape == (50, 27)
    assert joint.sum(axis=1) == pytest.approx(np.ones(50))
    likeliest = single_labels(joint.argmax(axis=1), 3, 3)
    answers = factored(grids).argmax(dim=1).reshape(50, 3).numpy()
    np.testing.assert_array_equal(likeliest, answers)
    assert (likeliest == labels.numpy()).mean() > 0.95


def test_a_factored_extractor_comes_back_from_disk(factored, tmp_path):
    about = info().model_copy(update={"shape": (3, 8, 8), "stacked": True})
    save_extractor(tmp_path, factored, about)
    loaded, said = load_extractor(tmp_path)
    assert said == about
    grids, _ = stacks(10, 4)
    assert np.array_equal(loaded.probabilities(grids), factored.probabilities(grids))


def info():
    return ExtractorInfo(
        name="d_cnn", task="labels", shape=(1, 8, 8), classes=3, accuracy=0.9, network="residual"
    )


def test_comes_back_from_disk_as_it_was(model, tmp_path):
    save_extractor(tmp_path, model, info())
    loaded, said = load_extractor(tmp_path)
    assert said == info()
    grids, _ = bars(10, 4)
    assert np.array_equal(loaded.features(grids), model.features(grids))


@pytest.mark.parametrize("damage", ["cut", "other network", "no weights", "no info", "odd info"])
def test_damaged_files_are_refused_with_the_remedy(model, tmp_path, damage):
    folder = tmp_path / "shapes"
    folder.mkdir()
    save_extractor(folder, model, info())
    weights, described = folder / "extractor.safetensors", folder / "extractor.json"
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:100])
    elif damage == "other network":
        described.write_text(described.read_text().replace('"classes": 3', '"classes": 4'))
    elif damage == "no weights":
        weights.unlink()
    elif damage == "no info":
        described.unlink()
    else:
        described.write_text(described.read_text().replace("labels", "guessing"))
    with pytest.raises(GenmintError, match="dvc repro -f reference@shapes"):
        load_extractor(folder)
