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
from genmint.drift import source, stock
from genmint.drift.baseline import Baseline, Origin
from genmint.drift.columns import Untested
from genmint.drift.decision import Asked, Decision, Verdict, Window, close, decide
from genmint.drift.source import Place
from genmint.drift.state import Shelf, State, now
from genmint.flow import publish
from genmint.flow.checkout import checked_out
from genmint.flow.committed import object_at, params_at
from genmint.flow.revision import fetch_branches, resolve

# State of a requested retraining.
Progress = Literal["running", "completed", "failed"]


def watched(
    home: Project, *, revision: str = "HEAD", ignore_uncommitted: bool = False
) -> list[str]:
    """Return the data sets with an entry in `drift`, at a revision.

    Raises:
        ConfigError: as `look`.
    """
    commit = resolve(home, revision, ignore_uncommitted=ignore_uncommitted)
    return list(params_at(home, commit).drift)


def look(
    home: Project,
    name: str,
    *,
    revision: str = "HEAD",
    ignore_uncommitted: bool = False,
    progress: Callable[[Asked], Progress] | None = None,
) -> Decision:
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
    commit = resolve(home, revision, ignore_uncommitted=ignore_uncommitted)
    params = params_at(home, commit)
    rule = params.drift.get(name)
    if rule is None:
        raise ConfigError(
            f"params.yaml (commit {commit[:12]}) has no entry drift.{name}; add `{name}: {{}}` "
            "under drift to watch it"
        )
    shelf = Shelf(home, name)
    old = fetch_branches(home, publish.PREFIX)
    with shelf.alone():
        decision = _Look(home, commit, params, name, rule, shelf, progress).take()
        if old is not None:
            told = f"{decision.reason} (what other machines trained may be unknown here: {old})"
            decision = decision.model_copy(update={"reason": told})
        shelf.record(decision)
    return decision


class _Look:
    """Shared state of the steps of a drift check."""

    def __init__(
        self,
        home: Project,
        commit: str,
        params: Params,
        name: str,
        rule: DriftRule,
        shelf: Shelf,
        progress: Callable[[Asked], Progress] | None,
    ) -> None:
        self.home, self.commit, self.params, self.name = home, commit, params, name
        self.rule, self.shelf, self.progress = rule, shelf, progress
        self.quarantined: tuple[str, ...] = ()

    @property
    def block(self) -> Dataset:
        return self.params.datasets[self.name]

    def take(self) -> Decision:
        origin = baselines.find(self.home, self.name, self.commit)
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
                state = self._take_stock(place, origin, state).having(fingerprint=fingerprint)
        except TemporaryError:
            raise
        except (DataError, ConfigError) as error:
            # The fingerprint is kept, so that the next check tries again and reports the error
            # again.
            return self._decision("stopped", str(error), origin, state)
        self.shelf.keep(state)
        verdict, reason = decide(state.windows, self.rule, state.waiting)
        if verdict == "drift" and state.asked is not None:
            verdict, reason = self._asked(state.asked, reason)
        return self._decision(verdict, reason, origin, state)

    def _comparable(self, origin: Origin) -> bool:
        """Return whether items were defined then as they are now."""
        then = baselines.block(self.home, origin, self.name)
        return then is not None and _reading(then) == _reading(self.block)

    def _state(self, origin: Origin) -> State:
        """Return the stored state; a new one if models were trained on other data since."""
        state = self.shelf.state()
        if state is None or state.baseline != origin.key:
            return State(baseline=origin.key)
        return state

    def _fingerprint(self, place: Place, origin: Origin) -> str:
        suite = object_at(self.home, self.commit, f"config/expectations/{self.block.kind}.yaml")
        block = self.block.model_dump(mode="json")
        rule = self.rule.model_dump(mode="json")
        return sha256_json([place.path, place.content, block, suite, origin.key, rule])

    def _take_stock(self, place: Place, origin: Origin, state: State) -> State:
        baseline = baselines.load(self.home, origin, self.name)
        learned = set(baseline.items["sha256"])
        with checked_out(self.home, self.commit, f"drift-{self.name}") as checkout:
            stopped = self.shelf.folder / "stopped"
            found = stock.take(checkout, self.params, self.name, place, learned, stopped)
            self.quarantined = found.quarantined
            tested = {item for window in state.windows for item in window.items}
            cut, waiting = stock.cut(found.table, learned | tested, self.rule.window)
            windows = list(state.windows)
            for rows in cut:
                # A decision considers at most the latest `of` windows.
                counts = len(state.windows) + len(cut) - len(windows) <= self.rule.of
                windows.append(
                    self._test(len(windows) + 1, rows, found, baseline if counts else None)
                )
        present = set(found.table["sha256"])
        return state.having(
            windows=tuple(windows),
            waiting=waiting,
            items=len(found.table),
            new=len(present - learned),
            gone=len(learned - present),
        )

    def _test(
        self, number: int, rows: pd.DataFrame, found: stock.Stock, baseline: Baseline | None
    ) -> Window:
        items = list(rows["sha256"])
        if baseline is None:
            untested = [Untested("all", f"{self.rule.of} later windows arrived at the same time")]
            return close(number, now(), items, [], untested, self.rule.alpha)
        findings, untested = stock.compare_window(
            baseline,
            rows,
            found.items,
            self.block,
            alpha=self.rule.alpha,
            max_categories=self.rule.max_categories,
        )
        return close(number, now(), items, findings, untested, self.rule.alpha)

    def _asked(self, asked: Asked, reason: str) -> tuple[Verdict, str]:
        """Return the result for drift after a retraining was already requested."""
        found = "running" if self.progress is None else self.progress(asked)
        said = f"the retraining requested at {asked.at} (flow run {asked.run})"
        if found == "running":
            return "retraining", f"{said} is still running; {reason}"
        if found == "failed":
            return "drift", f"{said} failed, so it is requested again; {reason}"
        # Results are published before the flow ends, and then become the baseline.
        return "drift", f"{said} published no newer results, so it is requested again; {reason}"

    def _decision(
        self, verdict: Verdict, reason: str, origin: Origin | None, state: State | None = None
    ) -> Decision:
        about = state or State(baseline="")
        return Decision(
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
