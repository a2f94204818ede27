"""params.yaml has the form in which DVC writes it: changing one key changes one line."""

import shutil
from pathlib import Path

import pytest
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import modify_yaml

from genmint.common.project import Project
from genmint.config.recipe import add_recipe
from genmint.config.yaml_form import as_dvc_writes

ROOT = Path(__file__).parents[2]
RECIPES = sorted(path.stem for path in (ROOT / "config/recipes").glob("*.yaml"))
LONG = "models:\n  m:\n    k: {%s: 1, second: 2.5, %s: %s}  # why\n    next: 1\n"


@pytest.fixture
def project(tmp_path):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "config/recipes", tmp_path / "config/recipes")
    return Project(tmp_path)


def rewritten(path):
    """What DVC writes if it changes nothing; `dvc exp run -S` writes lists in block style too."""
    with modify_yaml(path):
        pass
    apply_overrides(path, [])
    return path.read_text()


@pytest.mark.parametrize(
    ("key", "old", "new"),
    [
        ("datasets.digits.resolution=16", "    resolution: 28 ", "    resolution: 16 "),
        ("datasets.digits.protocol.seed=7", "seed: 1234}", "seed: 7}"),
        ("datasets.notes.near_duplicates=0.9", "near_duplicates: 1.0 ", "near_duplicates: 0.9 "),
        ("models.image-vae.latent=4", "    latent: 16 ", "    latent: 4 "),
        ("models.image-vae.attention=true", "attention: false ", "attention: true "),
        ("models.image-vae.optimiser.lr=0.25", "lr: 2e-3", "lr: 0.25"),
        ("models.audio-rnn.optimiser.lr=0.25", "lr: 8e-3", "lr: 0.25"),
        ("models.image-gan.loss=hinge", "loss: non-saturating ", "loss: hinge "),
        ("gates.image-gan.memorisation.max_copied=0.2", "max_copied: 0.1", "max_copied: 0.2"),
        ("gates.image-vae.thresholds.elbo.min=-20.5", "min: -108.0", "min: -20.5"),
        ("drift.digits.window=50", "window: 100 ", "window: 50 "),
    ],
)
def test_a_change_of_one_key_by_dvc_changes_one_line(project, key, old, new):
    before = project.params.read_text().splitlines()
    apply_overrides(project.params, [key])
    after = project.params.read_text().splitlines()
    pairs = [(b, a) for b, a in zip(before, after, strict=True) if b != a]
    assert len(pairs) == 1
    assert old in pairs[0][0]
    assert new in pairs[0][1]
    assert pairs[0][0].partition("#")[2] == pairs[0][1].partition("#")[2], "the comment stays"


def test_dvc_leaves_the_shipped_file_as_it_is(project):
    shipped = project.params.read_text()
    assert rewritten(project.params) == shipped
    assert as_dvc_writes(shipped) == shipped


@pytest.mark.parametrize("name", RECIPES)
def test_dvc_leaves_an_added_recipe_as_it_is(project, name):
    add_recipe(project, name)
    added = project.params.read_text()
    assert rewritten(project.params) == added


def test_a_recipe_in_another_form_is_added_in_that_of_dvc(project):
    (project.root / "config/recipes/own.yaml").write_text(
        "# In another form\nmodels:\n  # Why\n  own:\n    family: vae\n    dataset: digits\n"
        "    hidden: [32, 16]  # widths\n    kl_warmup: null\n    network: \"mlp\"\n    steps: 5\n"
        "    optimiser: {name: adamw, lr: 8e-3, betas: [0.9, 0.99], schedule: cosine, "
        "clip_norm: 1.0}\n"
    )  # fmt: skip
    add_recipe(project, "own")
    added = project.params.read_text()
    assert "  # Why\n  own:\n" in added
    assert "    hidden:           # widths\n    - 32\n    - 16\n    kl_warmup:\n" in added
    assert "      lr: 8e-3\n      betas:\n      - 0.9\n" in added
    assert rewritten(project.params) == added


@pytest.mark.parametrize("last", ["1234", "-5.0", "[a]", "[a, b]", "{a: 1}", "[]"])
@pytest.mark.parametrize("length", range(30, 48, 2))
def test_a_map_in_braces_is_unfolded_where_dvc_would_break_it(tmp_path, length, last):
    text = as_dvc_writes(LONG % ("a" * length, "last", last))
    assert "# why" in text
    assert not any(line.endswith(" ") for line in text.splitlines())
    assert as_dvc_writes(text) == text
    (tmp_path / "p.yaml").write_text(text)
    with modify_yaml(tmp_path / "p.yaml"):
        pass
    assert (tmp_path / "p.yaml").read_text() == text


def test_an_empty_list_stays_in_brackets():
    text = "models:\n  m:\n    diffaug: []  # none\n    steps: 1\n"
    assert as_dvc_writes(text) == text
