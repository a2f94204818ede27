import numpy as np
import pytest
import torch

from genmint.common.errors import DataError, GenmintError
from genmint.data.stacking import single_labels
from genmint.evaluation import extractor as module
from genmint.evaluation import extractor_training as training
from genmint.evaluation.extractor import (
    FEATURES,
    ExtractorInfo,
    accuracy,
    load_extractor,
    save_extractor,
)


def bars(n, seed, shape=(1, 8, 8)):
    """Pictures with a bright bar at the top (class 0), left (1) or in the corner square (2)."""
    rng = np.random.default_rng(seed)
    grids = rng.integers(0, 120, (n, *shape), dtype=np.uint8)
    labels = rng.integers(0, 3, n)
    grids[labels == 0, :, :2, :] += 120
    grids[labels == 1, :, :, :2] += 120
    grids[labels == 2, :, 4:, 4:] += 120
    return torch.from_numpy(grids), torch.from_numpy(labels)


def train(grids, labels, task="labels", classes=3, epochs=8, seed=0):
    return training.train_extractor(
        grids, labels, classes=classes, task=task, epochs=epochs, seed=seed
    )


@pytest.fixture(scope="module")
def model():
    return train(*bars(300, 0))


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


def test_large_sets_stop_at_the_budget(monkeypatch):
    steps = []
    original = torch.optim.Adam.step
    monkeypatch.setattr(
        torch.optim.Adam, "step", lambda *a, **k: (steps.append(1), original(*a, **k))[1]
    )
    monkeypatch.setattr(training, "_PIXEL_BUDGET", 64 * 640)
    train(*bars(300, 0), epochs=1000)
    assert len(steps) == 10


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
    return training.train_extractor(
        *stacks(200, 0), classes=3, task="labels", epochs=8, seed=0, stacked=True
    )


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
    return ExtractorInfo(name="d_cnn", task="labels", shape=(1, 8, 8), classes=3, accuracy=0.9)


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
