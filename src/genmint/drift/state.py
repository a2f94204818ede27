"""Store of drift checks, under .genmint/drift of the home repository."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar

from filelock import FileLock, Timeout

from genmint.common.errors import GenmintError
from genmint.common.file_lock import place_of
from genmint.common.files import file_mode, read_json, write_json
from genmint.common.project import Project
from genmint.config.base import Frozen, from_json
from genmint.drift.decision import DriftCheck, RequestedRetraining, Window

T = TypeVar("T", bound=Frozen)

# Number of decisions kept; hourly checks reach it in eight days.
_KEPT = 200
# Longer than a concurrent drift check takes.
_PATIENCE_SECONDS = 600.0


class DriftState(Frozen):
    """State of the drift checks of a data set.

    Attributes:
        baseline: key of the data that windows are compared with.
        fingerprint: hash of source, settings and baseline at the last check.
        windows: windows since the baseline changed, oldest first.
        waiting: number of new items that did not fill a window at the last check.
        items: number of valid items; this and the next two date from the last check that read the
            data.
        new: number of items that the baseline does not have.
        gone: number of baseline items that no longer exist.
        asked: last requested retraining, until the baseline changes.
    """

    baseline: str
    fingerprint: str | None = None
    windows: tuple[Window, ...] = ()
    waiting: int = 0
    items: int | None = None
    new: int | None = None
    gone: int | None = None
    # state.json has this key, so its name cannot change.
    asked: RequestedRetraining | None = None

    def having(self, **changes: Any) -> Self:
        """Return a copy with changed attributes."""
        return self.model_copy(update=changes)


class DriftStore:
    """Drift store of one data set: state.json, looks/, baseline/."""

    def __init__(self, home: Project, dataset: str) -> None:
        """Set the paths; no file is accessed yet."""
        self.dataset = dataset
        self.folder = Project(home.home).state / "drift" / dataset

    @contextlib.contextmanager
    def alone(self, seconds: float = 0.0) -> Iterator[None]:
        """Prevent concurrent drift checks in the `with` block.

        Args:
            seconds: maximum time to wait for a running check.

        Raises:
            GenmintError: another check is still running.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(place_of(self.folder / "lock"), timeout=seconds, mode=file_mode()):
                yield
        except Timeout:
            raise GenmintError(
                f"another drift check of {self.dataset} is running. Wait for it to end."
            ) from None

    def state(self) -> DriftState | None:
        """Return the state, None before the first check.

        Raises:
            GenmintError: the file is damaged.
        """
        path = self.folder / "state.json"
        return _read(path, DriftState) if path.exists() else None

    def keep(self, state: DriftState) -> None:
        """Write the state."""
        write_json(self.folder / "state.json", state.model_dump(mode="json"))

    def ask(self, requested: RequestedRetraining) -> None:
        """Record that a retraining was requested.

        Raises:
            GenmintError: there was no drift check yet, or the state is damaged.
        """
        with self.alone(_PATIENCE_SECONDS):
            state = self.state()
            if state is None:
                raise GenmintError(f"{self.dataset}: there was no drift check yet")
            self.keep(state.having(asked=requested))

    def record(self, decision: DriftCheck) -> Path:
        """Write the decision of a check, and remove the oldest decisions beyond the limit."""
        folder = self.folder / "looks"
        path = folder / f"{decision.at.replace(':', '').replace('-', '')}.json"
        write_json(path, decision.model_dump(mode="json"))
        for old in self._records()[:-_KEPT]:
            old.unlink(missing_ok=True)
        return path

    def decisions(self, latest: int) -> list[DriftCheck]:
        """Return the decisions of the latest checks, oldest first.

        Raises:
            GenmintError: a file is damaged.
        """
        return [_read(path, DriftCheck) for path in self._records()[-latest:]]

    def _records(self) -> list[Path]:
        return sorted((self.folder / "looks").glob("*.json"))


def now() -> str:
    """Return the current time, ISO 8601, UTC, in milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _read(path: Path, form: type[T]) -> T:
    way_out = "Remove it: the next drift check starts with a new one."
    return from_json(form, read_json(path, way_out), path, way_out)
