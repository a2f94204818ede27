"""Recipes go into params.yaml; every byte that stood there stays."""

import shutil
from pathlib import Path

import pytest

from genmint.common.errors import ConfigError
from genmint.common.project import Project
from genmint.config import load_params
from genmint.config.recipe import add_recipe, list_recipes

ROOT = Path(__file__).parents[2]
RECIPES = sorted(path.stem for path in (ROOT / "config/recipes").glob("*.yaml"))


@pytest.fixture
def project(tmp_path):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(ROOT / "config/recipes", tmp_path / "config/recipes")
    return Project(tmp_path)


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_adds_its_blocks_and_removes_no_line(project, name):
    before = project.params.read_text().splitlines()
    added = add_recipe(project, name)
    after = project.params.read_text().splitlines()
    params = load_params(project.params)
    assert f"models.{name}" in added or any(key.startswith("models.") for key in added)
    for key in added:
        top, block = key.split(".", 1)
        assert block in getattr(params, top)
    left = iter(after)
    assert all(any(line == other for other in left) for line in before), "a line got lost"


def test_all_recipes_fit_beside_each_other(project):
    for name in RECIPES:
        add_recipe(project, name)
    params = load_params(project.params)
    assert set(RECIPES) <= set(params.models) | set(params.datasets)


def test_a_recipes_comments_come_along(project):
    (project.root / "config/recipes" / "own.yaml").write_text(
        "# The first line tells\nmodels:\n  # Why this block\n  own:\n    family: rnn\n"
        "    dataset: python-docs\n    steps: 5  # few\n"
    )
    assert add_recipe(project, "own") == ["models.own"]
    text = project.params.read_text()
    assert "  # Why this block\n  own:\n    family: rnn\n" in text
    assert "    steps: 5  # few\n" in text
    assert "The first line tells" not in text
    assert load_params(project.params).models["own"].steps == 5


def test_twice_is_refused_and_changes_nothing(project):
    add_recipe(project, RECIPES[0])
    before = project.params.read_bytes()
    with pytest.raises(ConfigError, match="already"):
        add_recipe(project, RECIPES[0])
    assert project.params.read_bytes() == before


def test_a_different_block_of_the_same_name_is_refused(project):
    (project.root / "config/recipes" / "own.yaml").write_text(
        "models:\n  image-vae:\n    family: vae\n    dataset: digits\n    steps: 1\n"
    )
    before = project.params.read_bytes()
    with pytest.raises(ConfigError, match=r"models.image-vae is there already"):
        add_recipe(project, "own")
    assert project.params.read_bytes() == before


def test_a_recipe_that_does_not_fit_is_refused_and_nothing_is_written(project):
    (project.root / "config/recipes" / "own.yaml").write_text(
        "models:\n  own:\n    family: vae\n    dataset: nowhere\n    steps: 1\n"
    )
    before = project.params.read_bytes()
    with pytest.raises(ConfigError, match="no data set 'nowhere'"):
        add_recipe(project, "own")
    assert project.params.read_bytes() == before


def test_an_empty_map_takes_its_first_block(project):
    project.params.write_text("datasets: {}\nmodels: {}\ngates: {}\n")
    (project.root / "config/recipes" / "own.yaml").write_text(
        "datasets:\n  poems:\n    path: data/own/poems\n    kind: text\n"
        "models:\n  own:\n    family: rnn\n    dataset: poems\n    steps: 1\n"
    )
    assert add_recipe(project, "own") == ["datasets.poems", "models.own"]
    assert list(load_params(project.params).models) == ["own"]


def test_each_recipe_says_what_it_is_in_its_first_line(project):
    assert [name for name, _ in list_recipes(project)] == RECIPES
    assert all(len(what) > 20 for _, what in list_recipes(project))
