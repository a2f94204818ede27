"""DVC's run-cache ignores keys called size and nfiles at any depth: no parameter may have them."""

from typing import get_args, get_origin

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from genmint.config import BLOCKS, Params
from genmint.config.base import HIDDEN_FROM_DVC


def parts(annotation):
    """Every type that an annotation is made of."""
    yield annotation
    for argument in get_args(annotation):
        yield from parts(argument)


def models(model, seen=None):
    """The model and all models that its fields can hold, recursively."""
    seen = {} if seen is None else seen
    if model not in seen:
        seen[model] = None
        for field in model.model_fields.values():
            for part in parts(field.annotation):
                if isinstance(part, type) and issubclass(part, BaseModel):
                    models(part, seen)
    return list(seen)


def maps(model):
    """Name and key type of each map among the fields of a model."""
    for name, field in model.model_fields.items():
        for part in parts(field.annotation):
            if get_origin(part) is dict:
                yield name, get_args(part)[0]


def test_no_setting_has_a_name_that_dvc_ignores():
    seen = {}
    for root in (Params, *BLOCKS.values()):
        found = models(root, seen)
    assert {"ImageDataset", "Spectrogram", "VAEConfig", "Optimiser", "Bound", "DriftRule"} <= {
        model.__name__ for model in found
    }
    assert [
        f"{model.__name__}.{name}"
        for model in found
        for name, field in model.model_fields.items()
        if HIDDEN_FROM_DVC & {name, field.alias}
    ] == []


@pytest.mark.parametrize("name", sorted(HIDDEN_FROM_DVC))
def test_no_key_that_a_user_chooses_may_have_one(name):
    found = [(model, field, key) for model in models(Params) for field, key in maps(model)]
    assert {"datasets", "models", "gates", "drift", "thresholds"} <= {f for _, f, _ in found}
    for _, _, key in found:
        with pytest.raises(ValidationError, match=f"the name '{name}' cannot be used"):
            TypeAdapter(key).validate_python(name)


def test_these_are_the_names_that_this_dvc_ignores():
    """What DVC leaves out of a run-cache key is what is refused here: no more, no less."""
    from dvc.stage.cache import _get_cache_hash

    def key(**params):
        return _get_cache_hash({"cmd": "c", "params": {"params.yaml": {"datasets.d": params}}})

    for name in HIDDEN_FROM_DVC:
        assert key(**{name: 1}) == key(**{name: 2})
        assert key(inner=[{name: 1}]) == key(inner=[{name: 2}])
    for model in models(Params):
        for name in model.model_fields:
            assert key(**{name: 1}) != key(**{name: 2}), f"{model.__name__}.{name}"
