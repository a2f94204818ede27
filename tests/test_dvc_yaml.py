"""dvc.yaml: a stage depends on every source file whose change can change what the stage writes.

Imports are those that the file of a stage makes, directly or through other modules of genmint, as
grimp (which import-linter brings) reads them.
"""

import ast
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import grimp
import pytest
from ruamel.yaml import YAML

from genmint.models.shared.families import FAMILIES

ROOT = Path(__file__).parents[1]
STAGES = YAML(typ="safe", pure=True).load(ROOT / "dvc.yaml")["stages"]
MODELS = ("train", "evaluate", "gate")
DATA = ("ingest", "validate", "prepare", "reference")

# A source file, or a folder with a final slash: the stages that import it and do not depend on
# it, and why a change of it cannot change what they write.
EXCEPTIONS: dict[str, tuple[Iterable[str], str]] = {
    "common/errors.py": (STAGES, "words of errors; a stage that fails writes nothing"),
    "common/exhaustion.py": (STAGES, "words of errors; a stage that fails writes nothing"),
    "common/files.py": (STAGES, "how files are written and hashed, not what is in them"),
    "common/reading/": (STAGES, "accepts or refuses text; DVC compares the files themselves"),
    "common/project.py": (STAGES, "where files lie; dvc.yaml names each output itself"),
    "common/output_paths.py": (STAGES, "where files lie; dvc.yaml names each output itself"),
    "common/layout.py": (STAGES, "names of files; dvc.yaml names each output itself"),
    "common/git_repository.py": (STAGES, "where the registry's home lies; no output holds it"),
    "common/array_types.py": (STAGES, "names of types, which nothing checks at run time"),
    "common/file_lock.py": (STAGES, "who may write at a time, not what is written"),
    "common/cores.py": ((*DATA, "train"), "threads of the machine, which no dependency can name"),
    "common/escaping.py": (("reference", *MODELS), "how names of sources are written; the "
                                                   "manifest, which has them, is not read"),
    "decision/trivial_baselines.py": (("gate",), "lines on the terminal; no check rests on them"),
    "common/console.py": (("gate",), "how wide a printed table is"),
    "common/markdown.py": (("gate",), "pages of versions; the gate's record is JSON"),
    "common/dvc_config.py": (("ingest", "prepare"), "where DVC's cache is, with what links show"),
    "common/dvc_rwlock.py": (("train",), "repairs DVC's locks; imported by programs"),
    "common/dvc_lock.py": (("train",), "imported by tracking alone"),
    "common/programs.py": (("train",), "runs git for tracking, which reports to MLflow"),
    "common/loopback.py": (("train",), "how tracking reaches MLflow; no output holds it"),
    "common/tags.py": (("train",), "names of tags in MLflow; no output holds them"),
    "common/process_parent.py": (("train",), "ends a process with its parent; changes no weights"),
    "config/base.py": (STAGES, "types that accept or refuse a value of params.yaml"),
    "config/__init__.py": (STAGES, "names that other modules define"),
    "config/params.py": (STAGES, "accepts or refuses params.yaml, whose values DVC compares"),
    "config/bounds.py": (STAGES, "accepts or refuses the bounds of gates"),
    "config/metric_catalogue.py": (set(STAGES) - {"reference", "evaluate", "gate"},
                                   "imported by bounds alone"),
    "config/skill_scale.py": (set(STAGES) - {"gate"}, "imported by bounds alone"),
    "config/fit.py": (STAGES, "accepts or refuses params.yaml, whose values DVC compares"),
    "config/drift.py": (STAGES, "settings that no stage reads"),
    "config/gates.py": (set(STAGES) - {"gate"}, "settings that only gate reads"),
    "config/models/": ((*DATA, "gate"), "settings that only train and evaluate read"),
    "config/datasets/": (MODELS, "settings of data reach models in full through meta.json, "
                                   "config.json and reference.json"),
    "data/arrays.py": (set(STAGES) - {"gate"}, "opens arrays; DVC compares the files"),
    "data/agreement.py": (("validate", "reference", "train", "evaluate"),
                          "refuses what was made with other settings; changes nothing else"),
    "data/ingestion/": (("reference",), "reads sources; imported with single_labels of stacking"),
    "data/ingestion/readers/": (("validate",), "the manifest is a dependency"),
    "data/splitting/": (("reference", "train", "evaluate"), "writes the manifest and the splits; "
                                                            "imported with prepared and stacking"),
    "data/packing.py": (("reference",), "writes arrays; imported with single_labels of stacking"),
    "tracking/": (("train",), "reports the run to MLflow; no output holds anything of it"),
}  # fmt: skip


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph("genmint", exclude_type_checking_imports=True, cache_dir=None)


@pytest.fixture(scope="module")
def imports(graph):
    def of_stage(stage):
        start = f"genmint.stages.{stage}"
        files = {source(name) for name in {start, *graph.find_upstream_modules(start)}}
        return sorted(files | templates(files))

    return of_stage


def templates(modules):
    """Page templates that modules name, and those that these extend."""
    package = ROOT / "src" / "genmint"
    pages = {page.name: page for page in package.glob("*/templates/*.html")}
    found = set()
    texts = [(package / module).read_text() for module in modules]
    while texts:
        text = texts.pop()
        for name in pages.keys() - found:
            if f'"{name}"' in text:
                found.add(name)
                texts.append(pages[name].read_text())
    return {pages[name].relative_to(package).as_posix() for name in found}


def source(module):
    """File of a module, relative to src/genmint."""
    path = Path(*module.split(".")[1:])
    folder = ROOT / "src" / "genmint" / path
    return (path / "__init__.py" if folder.is_dir() else path.with_suffix(".py")).as_posix()


def dependencies(stage, family):
    """Source files and folders that a stage depends on, relative to src/genmint."""
    named = (d.replace("${item.family}", family) for d in STAGES[stage]["do"]["deps"])
    return [d.removeprefix("src/genmint/") for d in named if d.startswith("src/genmint/")]


def covers(entry, file):
    return file == entry or file.startswith(entry.rstrip("/") + "/")


def excepted(stage, file):
    return [e for e, (stages, _) in EXCEPTIONS.items() if stage in stages and covers(e, file)]


def of_another_family(stage, family, file):
    """Models of one family are built from the code of that family alone."""
    others = [f"models/{other}" for other in FAMILIES if other != family]
    return stage in ("train", "evaluate") and any(covers(other, file) for other in others)


def missing(imports, stage, family, named):
    """Files that a stage imports and that neither `named` nor EXCEPTIONS covers."""
    return [
        file
        for file in imports(stage)
        if not any(covers(entry, file) for entry in named)
        and not excepted(stage, file)
        and not of_another_family(stage, family, file)
    ]


OF_FAMILIES = [
    *((stage, "vae") for stage in STAGES),
    *((stage, family) for stage in ("train", "evaluate") for family in FAMILIES if family != "vae"),
]


@pytest.mark.parametrize(("stage", "family"), OF_FAMILIES)
def test_a_stage_depends_on_every_file_that_it_imports(imports, stage, family):
    found = missing(imports, stage, family, dependencies(stage, family))
    assert found == [], (
        f"{stage} imports {', '.join(found)}: a change there must run it again. Add each file to "
        "its deps in dvc.yaml, or to EXCEPTIONS with the reason why its outputs cannot change."
    )


@pytest.mark.parametrize(("stage", "family"), OF_FAMILIES)
def test_each_line_of_the_dependencies_is_needed(imports, stage, family):
    """Whoever removes one from dvc.yaml fails the test above."""
    named = dependencies(stage, family)
    for entry in named:
        assert missing(imports, stage, family, [one for one in named if one != entry]), entry


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_no_file_that_it_does_not_import(imports, stage):
    needless = [
        entry
        for family in FAMILIES
        for entry in dependencies(stage, family)
        if not any(covers(entry, file) for file in imports(stage))
    ]
    assert needless == []


@pytest.mark.parametrize("stage", STAGES)
def test_what_a_stage_depends_on_exists(stage):
    for family in FAMILIES:
        for entry in dependencies(stage, family):
            assert (ROOT / "src" / "genmint" / entry).exists(), entry


def test_every_exception_is_needed_and_no_dependency_is_excepted(imports):
    for entry, (stages, _) in EXCEPTIONS.items():
        for stage in stages:
            used = [file for file in imports(stage) if covers(entry, file)]
            named = dependencies(stage, "vae")
            listed = [file for file in used if any(covers(n, file) for n in named)]
            assert listed == [], f"{stage} depends on {listed}, which EXCEPTIONS leaves out"
        assert any(covers(entry, f) for s in stages for f in imports(s)), f"{entry}: not imported"


def test_the_folder_of_a_family_needs_no_other_family(graph):
    """So it is right that `of_another_family` leaves these out."""
    for family in FAMILIES:
        needed = graph.find_upstream_modules(f"genmint.models.{family}", as_package=True)
        for other in set(FAMILIES) - {family}:
            assert not [m for m in needed if m.startswith(f"genmint.models.{other}")]


def _runs_nothing(statement):
    """Whether a statement of a module imports and runs nothing of ours when it is reached."""
    if isinstance(statement, ast.ImportFrom):
        return statement.module in ("__future__", "typing")
    for_types = isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING"
    return for_types or isinstance(statement, ast.Expr | ast.Assign | ast.FunctionDef)


def test_packages_that_are_imported_on_the_way_do_nothing_else(imports):
    """Importing a module runs the __init__.py of each package above, which grimp does not list."""
    for stage in STAGES:
        files = imports(stage)
        for file in files:
            for folder in Path(file).parents:
                init = (folder / "__init__.py").as_posix()
                if init in files or not file.endswith(".py"):
                    continue
                body = ast.parse((ROOT / "src" / "genmint" / init).read_text()).body
                extra = [x for x in body if not _runs_nothing(x)]
                assert extra == [], f"{init} runs for {stage}"


NAMES = ["pic; touch out", "$(touch out)", "`touch out`", "a'; touch out; '", 'a"; touch out; "']


def test_no_command_holds_a_name():
    """A shell would run what stands in it."""
    for verb, stage in STAGES.items():
        assert stage["do"]["cmd"] == f'python -m genmint {verb} "$DVC_STAGE"'


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_never_run_by_the_shell(tmp_path, name):
    """An entry of params.yaml is what a pull request brings along."""
    (tmp_path / "own").mkdir()
    whole = {"datasets": {name: {"path": "own", "kind": "image"}}, "models": {}, "gates": {}}
    (tmp_path / "params.yaml").write_text(json.dumps(whole))
    graph = {"stages": {"ingest": STAGES["ingest"]}}
    graph["stages"]["ingest"]["do"] = {
        key: value for key, value in STAGES["ingest"]["do"].items() if key != "deps"
    }
    (tmp_path / "dvc.yaml").write_text(json.dumps(graph))
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "-q", "--no-scm"], cwd=tmp_path, check=True)
    done = subprocess.run([*dvc, "repro"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    assert "genmint ingest: " in done.stderr
    assert f"datasets.{name}" in done.stderr
    assert not (tmp_path / "out").exists()
