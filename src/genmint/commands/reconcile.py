"""`genmint reconcile`: what was changed in the registry without genmint."""

from __future__ import annotations

import contextlib
import dataclasses
import sys

from genmint.commands.entries import AsJson, Models, known_models, open_project


def reconcile(names: Models = None, as_json: AsJson = False) -> int:
    """Accept or revert what was done to aliases by hand; finish interrupted promotions.

    An alias moved in MLflow to a version that passed its gate is written into the journal; from any
    other version it is moved back, with the reason on the version's page. Idempotent; exit code 0
    if no problem is left.
    """
    from genmint.common.console import print_json
    from genmint.promotion.reconcile import reconcile

    project, params = open_project()
    chosen = known_models(params, names)
    if as_json:
        with contextlib.redirect_stdout(sys.stderr):
            outcomes = reconcile(project, params, chosen)
        print_json([dataclasses.asdict(outcome) for outcome in outcomes])
    else:
        outcomes = reconcile(project, params, chosen)
    return max((outcome.exit_code for outcome in outcomes), default=0)
