"""What tests of promotion share."""

import contextlib

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from genmint import tracking
from genmint.promotion.promote import promote
from genmint.registry import journal


def run(workshop, *names):
    return promote(workshop.project, workshop.params, names or ["tiny"])


def one(workshop, name="tiny"):
    (outcome,) = run(workshop, name)
    return outcome


def client(workshop):
    return MlflowClient(tracking.uri(workshop.project))


def aliases(workshop, name="tiny"):
    return journal.aliases(client(workshop), name)


def versions(workshop, name="tiny"):
    return client(workshop).search_model_versions(f"name = '{name}'")


def empty(workshop):
    """As after `rm mlflow.db`, or a server that came up with an empty database."""
    for name in ("tiny", "tiny.journal"):
        with contextlib.suppress(MlflowException):
            client(workshop).delete_registered_model(name)
