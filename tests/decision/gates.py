"""Models, gates and what they are judged by."""

from genmint.config import Gate
from genmint.decision.evaluation import Evaluation, GateInput
from genmint.decision.gate import decide_gate

GATE = {
    "thresholds": {
        "elbo": {"min": -30.0, "baseline": "pixel_bernoulli", "margin": 1.0},
        "frechet_digits_cnn": {"max": 50.0, "baseline": "mean_plus_noise", "margin": 2.0},
    },
    "health": {
        "max_nonfinite": 0,
        "max_recoveries": 2,
        "min_active_units": 2,
        "min_coverage": 0.5,
    },
    "memorisation": {
        "max_copied": 0.1,
        "min_copying_z": -3.0,
        "max_near_duplicates": 0.05,
        "min_authenticity": 0.4,
        "max_copy_ratio": 2.0,
    },
    "cost": {
        "max_parameters": 1000,
        "max_megabytes": 1.0,
        "max_train_seconds": 60.0,
        "max_sample_milliseconds": 5.0,
    },
    "champion": {"superior": ("elbo",), "confidence": 0.9},
}


METRICS = {
    "elbo": -20.0,
    "frechet_digits_cnn": 10.0,
    "nonfinite": 0.0,
    "recoveries": 1.0,
    "active_units": 4,
    "coverage": 0.8,
    "copied": 0.02,
    "copying_z": -1.0,
    "near_duplicates": 0.01,
    "authenticity": 0.6,
    "copy_ratio": 1.2,
}


COST = {"parameters": 900, "megabytes": 0.5, "train_seconds": 30.0, "sample_milliseconds": 2.0}


PROTOCOL = {
    "model": "vae",
    "weights": "w" * 64,
    "config": "g" * 64,
    "dataset": "digits",
    "metrics": "m" * 64,
    "items": "i" * 64,
    "resamples": "r" * 64,
    "protocol": {"samples": 64},
    "baselines": {
        "elbo": {"pixel_bernoulli": -40.0},
        "frechet_digits_cnn": {"mean_plus_noise": 60.0},
    },
    "noise_floor": {"elbo": 0.5},
    "unfit": {},
}


VALIDATION = {"dataset": "digits", "passed": 1}


def without(values, key):
    return {name: value for name, value in values.items() if name != key}


def evaluation(
    weights=None,
    config=None,
    metrics=METRICS,
    protocol=PROTOCOL,
    items=None,
    resamples=None,
    cost=COST,
    validation=VALIDATION,
):
    """Each as content, or as a whole source."""

    def source(file, digest, content):
        return content if isinstance(content, GateInput) else GateInput(file, digest * 64, content)

    return Evaluation(
        name="vae",
        dataset="digits",
        weights=source("models/vae/model.safetensors", "w", weights),
        config=source("models/vae/config.json", "g", config),
        metrics=source("metrics/vae.json", "m", metrics),
        protocol=source("metrics/vae.protocol.json", "p", protocol),
        items=source("samples/vae/items.npy", "i", items),
        resamples=source("samples/vae/resamples.json", "r", resamples),
        cost=source("metrics/vae.cost.json", "c", cost),
        validation=source("reports/data/digits.json", "v", validation),
    )


def gate(**changed):
    return Gate.model_validate({**GATE, **changed})


def judge(block=None, **changed):
    return decide_gate(gate() if block is None else block, evaluation(**changed))


def failed(record):
    assert record.passed == (0 if record.failed() else 1)
    assert record.checks_failed == len(record.failed())
    assert record.checks_passed == len(record.checks) - len(record.failed())
    passed = {name: verdict["passed"] for name, verdict in record.verdicts.items()}
    assert passed == {check.name: int(check.passed) for check in record.checks}
    return [check.name for check in record.failed()]
