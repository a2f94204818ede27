"""What looks at a data set leave behind, under .genmint/drift of the home repository."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar

from filelock import FileLock, Timeout

from genmint.config.base import Frozen, from_json
from genmint.drift.decision import Asked, Decision, Window
from genmint.errors import GenmintError
from genmint.files import file_mode, read_json, write_json
from genmint.project import Project

T = TypeVar("T", bound=Frozen)

# Records of looks that are kept; a look every hour fills them in eight days.
_KEPT = 200
# Longer than a look takes that another started meanwhile.
_PATIENCE_SECONDS = 600.0


class State(Frozen):
    """Where the looks at a data set stand.

    Attributes:
        baseline: key of the data that windows are compared with.
        fingerprint: of the source, the settings and the baseline at the last look.
        windows: since the baseline changed, oldest first.
        waiting: new items that made no window at the last look.
        items: that may enter; this and the next two as of the last look that took stock.
        new: items that the baseline does not hold.
        gone: items of the baseline that are there no more.
        asked: the retraining that was asked for last, until the baseline changes.
    """

    baseline: str
    fingerprint: str | None = None
    windows: tuple[Window, ...] = ()
    waiting: int = 0
    items: int | None = None
    new: int | None = None
    gone: int | None = None
    asked: Asked | None = None

    def having(self, **changes: Any) -> Self:
        """Another state, with these attributes."""
        return self.model_copy(update=changes)


class Shelf:
    """The folder of one data set: state.json, looks/, baseline/."""

    def __init__(self, home: Project, dataset: str) -> None:
        """Nothing is touched before something is read or written."""
        self.dataset = dataset
        self.folder = home.home / ".genmint" / "drift" / dataset

    @contextlib.contextmanager
    def alone(self, seconds: float = 0.0) -> Iterator[None]:
        """Keep other looks out while the block runs, having waited for one so many seconds.

        Raises:
            GenmintError: another one is still under way.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.folder / "lock", timeout=seconds, mode=file_mode()):
                yield
        except Timeout:
            raise GenmintError(
                f"another look at {self.dataset} is under way. Wait for it to end."
            ) from None

    def state(self) -> State | None:
        """The state, None before the first look.

        Raises:
            GenmintError: the file is damaged.
        """
        path = self.folder / "state.json"
        return _read(path, State) if path.exists() else None

    def keep(self, state: State) -> None:
        """Write the state."""
        write_json(self.folder / "state.json", state.model_dump(mode="json"))

    def ask(self, asked: Asked) -> None:
        """Note that a retraining was asked for.

        Raises:
            GenmintError: no look was ever taken, or the state is damaged.
        """
        with self.alone(_PATIENCE_SECONDS):
            state = self.state()
            if state is None:
                raise GenmintError(f"no look at {self.dataset} was ever taken: nothing asks")
            self.keep(state.having(asked=asked))

    def record(self, decision: Decision) -> Path:
        """Write the record of a look, and remove the oldest beyond those that are kept."""
        looks = self.folder / "looks"
        path = looks / f"{decision.at.replace(':', '').replace('-', '')}.json"
        write_json(path, decision.model_dump(mode="json"))
        for old in self._looks()[:-_KEPT]:
            old.unlink(missing_ok=True)
        return path

    def decisions(self, latest: int) -> list[Decision]:
        """Records of the latest looks, oldest first.

        Raises:
            GenmintError: one is damaged.
        """
        return [_read(path, Decision) for path in self._looks()[-latest:]]

    def _looks(self) -> list[Path]:
        return sorted((self.folder / "looks").glob("*.json"))


def now() -> str:
    """The time, ISO 8601, UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _read(path: Path, form: type[T]) -> T:
    way_out = "Remove it: the next look starts anew."
    return from_json(form, read_json(path, way_out), path, way_out)
