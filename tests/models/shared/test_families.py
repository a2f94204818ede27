"""The tables of families agree, and no caller asks a model which family it is."""

import re
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from genmint.config import BLOCKS, AnyModel, GridConfig, ModelConfig, parse_model
from genmint.data.views.spec import DataSpec
from genmint.models.shared.families import FAMILIES
from genmint.models.shared.family import Family, Likelihoods
from genmint.models.shared.store import build

ROOT = Path(__file__).parents[3]
NAMES = "|".join(family.__name__ for family in FAMILIES.values())
BLOCK_NAMES = "|".join(block.__name__ for block in BLOCKS.values())

# How a caller would ask, and what it should ask instead.
FORBIDDEN = {
    rf"isinstance\([^)]*\b({NAMES}|{BLOCK_NAMES})\b": "a method of Family or of ModelConfig",
    r"\bfamily (==|!=|in|not in)": "a method of ModelConfig",
    r"\bmatch [\w.]*\bfamily\b": "a method of ModelConfig",
    rf"type\([^)]*\) (is|==) ({NAMES}|{BLOCK_NAMES})\b": "a method of Family or of ModelConfig",
    rf"genmint\.models\.({'|'.join(FAMILIES)})\b": "genmint.models.shared",
}
KINDS = ("image", "audio", "text")


# Packages that know the families: the families themselves, their settings, and `genmint new`, which
# proposes settings for the families that it knows; another family needs no change there.
FAMILIAR = ("models", "config", "proposal")


def callers():
    """Source files outside of the packages that know the families."""
    package = ROOT / "src" / "genmint"
    for path in (*package.rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")):
        if not any(package / name in path.parents for name in FAMILIAR):
            yield path


@pytest.mark.parametrize("pattern", FORBIDDEN)
def test_no_caller_asks_a_model_which_family_it_is(pattern):
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in callers()
        for match in re.finditer(pattern, path.read_text())
    ]
    assert found == [], f"ask {FORBIDDEN[pattern]}, so that a new family needs no change there"


def test_what_is_shared_needs_no_family_but_in_the_table():
    shared = ROOT / "src" / "genmint" / "models" / "shared"
    imports = re.compile(rf"^from genmint\.models\.({'|'.join(FAMILIES)})\b", re.MULTILINE)
    found = {path.name for path in shared.glob("*.py") if imports.search(path.read_text())}
    assert found == {"families.py"}


def test_both_tables_have_the_same_families():
    assert list(FAMILIES) == list(BLOCKS)
    for name, model in FAMILIES.items():
        assert issubclass(model, Family)
        assert model.__annotations__.get("config") in (None, BLOCKS[name].__name__)
        assert (ROOT / "src" / "genmint" / "models" / name / "__init__.py").is_file()


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_is_read_as_the_class_that_the_table_has(name):
    block = parse_model({"family": name, "dataset": "d", "steps": 1})
    assert type(block) is BLOCKS[name]
    assert isinstance(block, ModelConfig)
    adapter = TypeAdapter(AnyModel)
    assert adapter.validate_json(adapter.dump_json(block)) == block
    # Files have the fields of all families first.
    assert list(block.model_dump()).index("family") > list(block.model_dump()).index("compile")


@pytest.mark.parametrize("name", BLOCKS)
def test_every_question_has_an_answer(name):
    block = parse_model({"family": name, "dataset": "d", "steps": 1})
    assert block.view == ("grid" if isinstance(block, GridConfig) else "sequence")
    # A step of sequences has a length, one of grids may be augmented.
    assert (block.batching.symbols is None) == (block.view == "grid")
    assert "temperature" in block.drawing
    assert all(isinstance(block.likelihood_metrics(kind), tuple) for kind in KINDS)


def test_a_family_that_says_nothing_has_no_abilities():
    class Plain(Family):
        optimisers = phases = loss = health = validation = sample = None

    plain = Plain()
    plain.config = parse_model({"family": "gan", "dataset": "d", "steps": 1})
    plain.spec = DataSpec(dataset="d", kind="image", view="grid", shape=(1, 4, 4))
    assert plain.as_encoder is plain.as_decoder is plain.as_reader is plain.observation is None
    assert plain.noise_name == "u16"
    assert plain.sampling_arguments(1, {}) == {}
    with pytest.raises(NotImplementedError, match="a gan has no likelihood"):
        plain.likelihoods(None, seed=0, draws=1, batch_size=1)


ABLE = {"vae": {"encoder", "decoder"}, "gan": {"decoder"}, "rnn": set()}


@pytest.mark.parametrize("name", ABLE)
def test_what_a_family_can_do_besides(name, grid, items):
    block = parse_model({"family": name, "dataset": "d", "steps": 1})
    model = build(block, items(16) if name == "rnn" else grid(1, 8, 8))
    abilities = {"encoder": model.as_encoder, "decoder": model.as_decoder}
    abilities["reader"] = model.as_reader
    assert {one for one, found in abilities.items() if found is not None} == ABLE[name]
    assert all(found in (None, model) for found in abilities.values())


def test_an_rnn_reads_only_text(text):
    model = build(parse_model({"family": "rnn", "dataset": "d", "steps": 1}), text)
    assert model.as_reader is model


def test_likelihoods_are_what_the_block_says(grid, items, text):
    import torch

    for name, spec in (("vae", grid(1, 8, 8)), ("rnn", items(16)), ("rnn", text)):
        block = parse_model({"family": name, "dataset": "d", "steps": 1})
        data = torch.zeros((4, *spec.shape) if spec.shape else 9, dtype=torch.uint8)
        found = build(block, spec).likelihoods(data, seed=0, draws=2, batch_size=2)
        assert isinstance(found, Likelihoods)
        assert {*found.means, *found.figures} <= set(block.likelihood_metrics(spec.kind))
        assert all(v.dtype == torch.float64 and v.ndim == 1 for v in found.items.values())
