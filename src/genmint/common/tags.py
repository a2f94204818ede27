"""Names of the tags in MLflow, and of the labels and events in Prefect, that genmint writes.

Stored data bear these names, so none of them may change. They are written as text in this module
only; all other modules import them.
"""

from __future__ import annotations

# Runs.
MODEL_TAG = "genmint.model"
TRAINING_TAG = "genmint.training"
ERROR_TAG = "genmint.error"
RECREATED_TAG = "genmint.recreated"
GIT_PROBLEM_TAG = "genmint.git_problem"
GIT_DIRTY_TAG = "genmint.git_dirty"
# Latest result of `genmint promote`, such as "not better".
VERDICT_TAG = "genmint.verdict"
# Prefixes: versions of the environment, and DVC's hash of each input.
ENVIRONMENT_TAGS = "env."
DVC_TAGS = "dvc."
# Runs and versions.
GIT_COMMIT_TAG = "genmint.git_commit"
# Runs, versions and journal entries.
WEIGHTS_TAG = "genmint.weights"
# Versions and journal entries.
# Hash of the gate's inputs. Stored versions and entries have this tag, so its name cannot change.
GATE_INPUTS_TAG = "genmint.grounds"
SIGNATURE_TAG = "genmint.signature"

# Versions.
GATE_TAG = "genmint.gate"
GATE_MODE_TAG = "genmint.gate_mode"
GATE_RECORD_TAG = "genmint.record"
PROTOCOL_TAG = "genmint.protocol"
PREPARED_TAG = "genmint.prepared"
IDENTITY_TAG = "genmint.identity"
DATASET_TAG = "genmint.dataset"
FAMILY_TAG = "genmint.family"
# Earlier versions of genmint wrote it; the dvc.lock stored with a version holds the same hashes.
DVC_TAG = "genmint.dvc"
# Results on the confirmation split, keyed by the champion's weights hash.
CONFIRMATION_TAG = "genmint.confirmation"
# Latest comparison, read by the version's description and by programs.
COMPARISON_TAG = "genmint.comparison"
ROLLED_BACK_TAG = "genmint.rolled_back"
REVERTED_TAG = "genmint.reverted"
# Written by a person: why the version may be champion although its gate failed.
OVERRIDE_TAG = "override"

# Registered models: those of genmint, and their journals.
REGISTERED_TAG = "genmint"
JOURNAL_TAG = "genmint.journal"

# Journal entries.
CLAIM_TAG = "genmint.claims"
VOID_TAG = "genmint.void"
# Stored entries have this tag, so its name cannot change.
FINALISED_TAG = "genmint.settled"
TIME_TAG = "genmint.time"
# The description repeats the reason for people, who may edit it.
REASON_TAG = "genmint.reason"
# Tag of each other text of an entry, and of each version that it names.
ENTRY_TEXT_TAGS = {
    "kind": "genmint.kind",
    "user": "genmint.user",
    "weights": WEIGHTS_TAG,
    "gate_inputs": GATE_INPUTS_TAG,
    "left_weights": "genmint.left_weights",
    "left_gate_inputs": "genmint.left_grounds",
    "previous_weights": "genmint.previous_weights",
}
ENTRY_VERSION_TAGS = {
    "version": "genmint.version",
    "previous": "genmint.previous",
    "left": "genmint.left",
}

# Labels of deployments.
PROJECT_LABEL = "genmint.project"
DEPLOYMENT_LABEL = "genmint.deployment"
PAUSED_LABEL = "genmint.paused"
# Prefixes of the labels of flow runs: a stage and a model follow.
FLOW_RUN_LABELS = "genmint."
BEGAN_LABELS = "genmint.began."
CHAMPION_BEFORE_LABELS = "genmint.champion-before."
# On the resource of `REFUSED_EVENT`: refusals of the model by its gate in a row.
REFUSALS_LABEL = "genmint.refusals-in-a-row"

# Events; their resource is a model.
REFUSED_EVENT = "genmint.verdict.refused"
PUT_BACK_EVENT = "genmint.reconcile.put-back"


def verdict_event(verdict: str) -> str:
    """Return the event of a result of `genmint promote`, such as "not better"."""
    return f"genmint.verdict.{verdict.replace(' ', '-')}"


def drift_event(verdict: str) -> str:
    """Return the event of a drift decision, such as "nothing new"; its resource is a data set."""
    return f"genmint.drift.{verdict.replace(' ', '-')}"


def model_resource(name: str) -> str:
    """Return the id of a model as the resource of an event."""
    return f"genmint.model.{name}"


def dataset_resource(name: str) -> str:
    """Return the id of a data set as the resource of an event."""
    return f"genmint.dataset.{name}"
