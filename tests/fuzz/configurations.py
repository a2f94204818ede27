"""What a user writes: params.yaml, recipes, suites, descriptions; and dvc.lock."""

from pathlib import Path

from tests.awkward.configurations import CONFIGURATIONS, GOOD
from tests.fuzz.target import ROOT, SMALL, Target, file, json_bytes
from tests.workshop import Workshop

from genmint.common.dvc_lock import read_lock
from genmint.common.project import Project
from genmint.config import load_params
from genmint.config.recipe import add_recipe, list_recipes
from genmint.data.ingestion.sources import read_description
from genmint.data.validation import read_suite
from genmint.tracking.provenance import model_hashes


def configurations(folder: Path) -> list[Target]:
    own = Workshop(folder).project

    def read_params(path: Path) -> None:
        for name, entry in load_params(path).datasets.items():
            assert isinstance((path.parent / entry.path).exists(), bool), name

    def lock(path: Path) -> None:
        read_lock(path)
        model_hashes(own, "a", "faces")

    document = load_params(ROOT / "params.yaml").model_dump(mode="json")
    params = [GOOD.encode(), json_bytes(document), (ROOT / "params.yaml").read_bytes()[:SMALL]]
    params += [case.data for case in CONFIGURATIONS if len(case.data) < SMALL]
    stages = (ROOT / "dvc.lock").read_bytes()[:SMALL]
    return [
        Target("configuration", params, file(own.params, read_params), 12),
        *_recipes(own, params),
        Target(
            "suite",
            [path.read_bytes() for path in sorted((ROOT / "config/expectations").glob("*.yaml"))],
            file(folder / "suite.yaml", read_suite),
        ),
        Target(
            "description",
            [path.read_bytes() for path in sorted((ROOT / "data/sources").glob("*.yaml"))],
            file(folder / "description.yaml", read_description),
        ),
        Target("dvc.lock", [stages], file(own.lock, lock)),
    ]


def _recipes(own: Project, params: list[bytes]) -> list[Target]:
    """A recipe that is added to good parameters, and a good one that is added to `params`."""
    recipe = own.recipes / "own.yaml"
    recipe.parent.mkdir(parents=True)
    plain = b"# Own\nmodels:\n  # Why\n  own: {family: rnn, dataset: poems, steps: 5}\n"
    texts = [path.read_bytes() for path in sorted((ROOT / "config/recipes").glob("*.yaml"))]

    def add(path: Path) -> None:
        own.params.write_text(GOOD)
        list_recipes(own)
        try:
            add_recipe(own, "own")
        finally:
            after = own.params.read_text().splitlines()
            left = iter(after)
            assert all(any(one == other for other in left) for one in GOOD.splitlines())

    def add_to(path: Path) -> None:
        recipe.write_bytes(plain)
        add_recipe(own, "own")

    return [
        Target("recipe", [plain, *texts], file(recipe, add)),
        Target("recipe into params.yaml", params, file(own.params, add_to)),
    ]
