"""Drift check of a data set: new items, validation, test for drift, and decision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pandas as pd

from genmint.common.errors import ConfigError, DataError, TemporaryError
from genmint.common.files import sha256_json
from genmint.common.project import Project
from genmint.config import Dataset, Params
from genmint.config.drift import DriftRule
from genmint.drift import baseline as baselines
from genmint.drift import source, source_items
from genmint.drift.baseline import DriftBaseline, Origin
from genmint.drift.columns import Untested
from genmint.drift.decision import (
    DriftCheck,
    DriftVerdict,
    RequestedRetraining,
    Window,
    close,
    decide_drift,
)
from genmint.drift.source import Place
from genmint.drift.source_items import SourceItems
from genmint.drift.state import DriftState, DriftStore, now
from genmint.flow import publish
from genmint.flow.checkout import checked_out
from genmint.flow.committed import object_at, params_at
from genmint.flow.revision import fetch_branches, resolve_revision

# State of a requested retraining.
Progress = Literal["running", "completed", "failed"]


def watched(
    home: Project, *, revision: str = "HEAD", ignore_uncommitted: bool = False
) -> list[str]:
    """Return the data sets with an entry in `drift`, at a revision.

    Raises:
        ConfigError: as `check_drift`.
    """
    commit = resolve_revision(home, revision, ignore_uncommitted=ignore_uncommitted)
    return list(params_at(home, commit).drift)


def check_drift(
    home: Project,
    name: str,
    *,
    revision: str = "HEAD",
    ignore_uncommitted: bool = False,
    progress: Callable[[RequestedRetraining], Progress] | None = None,
) -> DriftCheck:
    """Run one drift check of a data set and record the decision.

    Data that fail validation give the result `stopped`, not an exception. The user's working tree,
    index and branch are not changed.

    Args:
        home: repository whose data are checked.
        name: name of the data set.
        revision: revision whose params.yaml and expectation suites apply.
        ignore_uncommitted: run although tracked files differ from the commit.
        progress: returns the state of a requested retraining; None: it counts as running until the
            baseline changes.

    Raises:
        ConfigError: there is no such revision; there are uncommitted changes; or `drift` has no
            entry for the data set.
        GenmintError: git or DVC fail, the baseline is not available, or another check is running.
    """
    commit = resolve_revision(home, revision, ignore_uncommitted=ignore_uncommitted)
    params = params_at(home, commit)
    rule = params.drift.get(name)
    if rule is None:
        raise ConfigError(
            f"params.yaml (commit {commit[:12]}) has no entry drift.{name}; add `{name}: {{}}` "
            "under drift to watch it"
        )
    store = DriftStore(home, name)
    old = fetch_branches(home, publish.PREFIX)
    with store.alone():
        decision = _Check(home, commit, params, name, rule, store, progress).take()
        if old is not None:
            reason = f"{decision.reason} (what other machines trained may be unknown here: {old})"
            decision = decision.model_copy(update={"reason": reason})
        store.record(decision)
    return decision


class _Check:
    """Shared state of the steps of a drift check."""

    def __init__(
        self,
        home: Project,
        commit: str,
        params: Params,
        name: str,
        rule: DriftRule,
        store: DriftStore,
        progress: Callable[[RequestedRetraining], Progress] | None,
    ) -> None:
        self.home, self.commit, self.params, self.name = home, commit, params, name
        self.rule, self.store, self.progress = rule, store, progress
        self.quarantined: tuple[str, ...] = ()

    @property
    def block(self) -> Dataset:
        return self.params.datasets[self.name]

    def take(self) -> DriftCheck:
        origin = baselines.find_origin(self.home, self.name, self.commit)
        if origin is None:
            return self._decision(
                "no baseline",
                "no commit has a dvc.lock in which its reference was made: run "
                f"`dvc repro reference@{self.name}`, and commit dvc.lock",
                None,
            )
        if not self._comparable(origin):
            return self._decision(
                "no baseline",
                f"datasets.{self.name} was changed after models were trained (commit "
                f"{origin.commit[:12]}): the next training run gives a baseline",
                origin,
            )
        state = self._state(origin)
        try:
            place = source.place(self.home, self.commit, self.name, self.block)
            fingerprint = self._fingerprint(place, origin)
            if fingerprint != state.fingerprint:
                state = self._read_source(place, origin, state).having(fingerprint=fingerprint)
        except TemporaryError:
            raise
        except (DataError, ConfigError) as error:
            # The fingerprint is kept, so that the next check tries again and reports the error
            # again.
            return self._decision("stopped", str(error), origin, state)
        self.store.keep(state)
        verdict, reason = decide_drift(state.windows, self.rule, state.waiting)
        if verdict == "drift" and state.asked is not None:
            verdict, reason = self._after_request(state.asked, reason)
        return self._decision(verdict, reason, origin, state)

    def _comparable(self, origin: Origin) -> bool:
        """Return whether items were defined then as they are now."""
        then = baselines.block(self.home, origin, self.name)
        return then is not None and _reading(then) == _reading(self.block)

    def _state(self, origin: Origin) -> DriftState:
        """Return the stored state; a new one if models were trained on other data since."""
        state = self.store.state()
        if state is None or state.baseline != origin.key:
            return DriftState(baseline=origin.key)
        return state

    def _fingerprint(self, place: Place, origin: Origin) -> str:
        suite = object_at(self.home, self.commit, f"config/expectations/{self.block.kind}.yaml")
        block = self.block.model_dump(mode="json")
        rule = self.rule.model_dump(mode="json")
        return sha256_json([place.path, place.content, block, suite, origin.key, rule])

    def _read_source(self, place: Place, origin: Origin, state: DriftState) -> DriftState:
        baseline = baselines.load(self.home, origin, self.name)
        learned = set(baseline.items["sha256"])
        with checked_out(self.home, self.commit, f"drift-{self.name}") as checkout:
            stopped = self.store.folder / "stopped"
            source_set = source_items.read_items(
                checkout, self.params, self.name, place, learned, stopped
            )
            self.quarantined = source_set.quarantined
            tested = {item for window in state.windows for item in window.items}
            cut, waiting = source_items.cut_windows(
                source_set.table, learned | tested, self.rule.window
            )
            windows = list(state.windows)
            for rows in cut:
                # A decision considers at most the latest `of` windows.
                counts = len(state.windows) + len(cut) - len(windows) <= self.rule.of
                windows.append(
                    self._test(len(windows) + 1, rows, source_set, baseline if counts else None)
                )
        present = set(source_set.table["sha256"])
        return state.having(
            windows=tuple(windows),
            waiting=waiting,
            items=len(source_set.table),
            new=len(present - learned),
            gone=len(learned - present),
        )

    def _test(
        self,
        number: int,
        rows: pd.DataFrame,
        source_set: SourceItems,
        baseline: DriftBaseline | None,
    ) -> Window:
        items = list(rows["sha256"])
        if baseline is None:
            untested = [Untested("all", f"{self.rule.of} later windows arrived at the same time")]
            return close(number, now(), items, [], untested, self.rule.alpha)
        findings, untested = source_items.compare_window(
            baseline,
            rows,
            source_set.items,
            self.block,
            alpha=self.rule.alpha,
            max_categories=self.rule.max_categories,
        )
        return close(number, now(), items, findings, untested, self.rule.alpha)

    def _after_request(
        self, requested: RequestedRetraining, reason: str
    ) -> tuple[DriftVerdict, str]:
        """Return the result for drift after a retraining was already requested."""
        progress = "running" if self.progress is None else self.progress(requested)
        request = f"the retraining requested at {requested.at} (flow run {requested.run})"
        if progress == "running":
            return "retraining", f"{request} is still running; {reason}"
        if progress == "failed":
            return "drift", f"{request} failed, so it is requested again; {reason}"
        # Results are published before the flow ends, and then become the baseline.
        return "drift", f"{request} published no newer results, so it is requested again; {reason}"

    def _decision(
        self,
        verdict: DriftVerdict,
        reason: str,
        origin: Origin | None,
        state: DriftState | None = None,
    ) -> DriftCheck:
        about = state or DriftState(baseline="")
        return DriftCheck(
            dataset=self.name,
            at=now(),
            verdict=verdict,
            reason=reason,
            revision=self.commit,
            baseline=None if origin is None else origin.commit,
            items=about.items,
            new=about.new,
            gone=about.gone,
            waiting=about.waiting,
            quarantined=self.quarantined,
            models=tuple(
                model for model, block in self.params.models.items() if block.dataset == self.name
            ),
            windows=about.windows[-self.rule.of :],
            rule=self.rule,
        )


def _reading(block: Dataset) -> dict[str, object]:
    """Return the keys of a data set entry that define what an item is."""
    return block.model_dump(
        mode="json", exclude={"path", "max_quarantined", "reference", "protocol"}
    )
