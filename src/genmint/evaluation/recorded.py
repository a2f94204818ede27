"""Reading of what the evaluate stage wrote about a model."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

from genmint.common.errors import GenmintError
from genmint.common.files import sha256_bytes, sha256_file
from genmint.common.layout import CONFIG, WEIGHTS
from genmint.common.project import Project
from genmint.common.reading import parse_json
from genmint.decision.evaluation import Evaluation, GateInput, is_number


def read_evaluation(
    project: Project, name: str, dataset: str, model: Path | None = None
) -> Evaluation:
    """Read the evaluation of a model; a file that is missing or damaged has its problem set.

    Args:
        project: project, or a folder laid out as one.
        name: name of the model.
        dataset: name of the data set entry that the model was trained on.
        model: folder of the weights; None means models/NAME.
    """
    folder = project.model(name) if model is None else model
    root = project.root if model is None else model.parent

    def json(path: Path, problem: Callable[[Any], str | None]) -> GateInput:
        return _parsed(project.root, path, lambda data: parse_json(data, path.name), problem)

    items = project.items(name)
    return Evaluation(
        name=name,
        dataset=dataset,
        weights=_hashed(root, folder / WEIGHTS),
        config=_hashed(root, folder / CONFIG),
        metrics=json(project.metrics(name), _not_a_map),
        protocol=json(project.protocol(name), _not_a_map),
        items=_parsed(project.root, items, _items, lambda _: None)
        if items.exists()
        else GateInput(_relative(project.root, items)),
        resamples=json(project.resamples(name), _not_lists_of_numbers),
        cost=json(project.cost(name), _not_a_map),
        validation=json(project.validation(dataset), _not_a_map),
    )


def _relative(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _hashed(root: Path, path: Path) -> GateInput:
    file = _relative(root, path)
    try:
        return GateInput(file, sha256=sha256_file(path))
    except OSError as error:
        return GateInput(file, problem=_unreadable(file, error))


def _parsed(
    root: Path,
    path: Path,
    parse: Callable[[bytes], Any],
    problem: Callable[[Any], str | None],
) -> GateInput:
    """Read a file once, so that hash and content belong together."""
    file = _relative(root, path)
    try:
        data = path.read_bytes()
    except OSError as error:
        return GateInput(file, problem=_unreadable(file, error))
    digest = sha256_bytes(data)
    try:
        content = parse(data)
    except GenmintError:
        return GateInput(file, sha256=digest, problem=f"{file} is not valid JSON")
    except ValueError:
        return GateInput(file, sha256=digest, problem=f"{file} does not hold values of items")
    message = problem(content)
    if message is not None:
        return GateInput(file, sha256=digest, problem=f"{file} {message}")
    return GateInput(file, sha256=digest, content=content)


def _unreadable(file: str, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{file} is missing"
    return f"{file} cannot be read: {error.strerror}"


def _not_a_map(content: Any) -> str | None:
    return None if isinstance(content, dict) else "is not a map of names to values"


def _not_lists_of_numbers(content: Any) -> str | None:
    lists = list(content.values()) if isinstance(content, dict) else [None]
    values = [one for each in lists for one in (each if isinstance(each, list) else [None])]
    if all(is_number(one) for one in values):
        return None
    return "does not hold lists of numbers by name of the metric"


def _items(data: bytes) -> dict[str, list[float]]:
    """Return the columns of items.npy.

    Raises:
        ValueError: it is not a table of floating-point numbers.
    """
    import numpy as np

    from genmint.data.arrays import DAMAGED

    try:
        table = np.load(BytesIO(data), allow_pickle=False)
    except DAMAGED as error:
        raise ValueError from error
    names = table.dtype.names if isinstance(table, np.ndarray) else None
    if not names or table.ndim != 1 or any(table.dtype[one].kind != "f" for one in names):
        raise ValueError
    return {one: [float(value) for value in table[one]] for one in names}
