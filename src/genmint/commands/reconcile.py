"""`genmint reconcile`: what was changed in the registry without genmint."""

from __future__ import annotations

from genmint.commands.entries import Models, known_models, open_project


def reconcile(names: Models = None) -> int:
    """Accept or revert what was done to aliases by hand; finish interrupted promotions.

    An alias moved in MLflow to a version that passed its gate is written into the journal; from any
    other version it is moved back, with the reason on the version's page. Idempotent; exit code 0
    if no problem is left.
    """
    from genmint.promotion.reconcile import reconcile

    project, params = open_project()
    outcomes = reconcile(project, params, known_models(params, names))
    return max((outcome.exit_code for outcome in outcomes), default=0)
