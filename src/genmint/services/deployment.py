"""Synchronisation of Prefect's server with prefect.yaml, limited to this project.

Every deployment has two labels, its project and its own name. A copy made in the UI has another
name and is not managed. Schedules from the file are identified by slugs. The server's state is
compared with the file key by key, so a second deploy writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from genmint.common.errors import ConfigError, GenmintError
from genmint.common.tags import DEPLOYMENT_LABEL, PAUSED_LABEL, PROJECT_LABEL
from genmint.services import api, schedules, triggers
from genmint.services.deployment_file import DeploymentFile
from genmint.services.planned_runs import active_runs, remove_planned

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient


@dataclass
class Change:
    """Required changes of one deployment.

    Attributes:
        name: flow/deployment.
        wanted: content of the file; None: the deployment is to be removed.
        current: state on the server; None: the deployment is to be added.
        adopt: whether the deployment's labels are missing or have to change.
        fields: keys whose values differ, with the new values.
        plan: changes of its schedules.
        triggers: whether its automations differ.
        waits_for: names of its active runs; it is removed when they have ended.
    """

    name: str
    wanted: dict[str, Any] | None
    current: dict[str, Any] | None
    adopt: bool = False
    fields: dict[str, Any] = field(default_factory=dict)
    plan: schedules.ScheduleChanges = field(default_factory=schedules.ScheduleChanges)
    triggers: bool = False
    waits_for: list[str] = field(default_factory=list)

    @property
    def is_needed(self) -> bool:
        """Whether anything differs."""
        return bool(
            self.wanted is None
            or self.current is None
            or self.adopt
            or self.fields
            or self.triggers
            or self.plan.is_needed
        )

    def lines(self) -> list[str]:
        """Return the changes, and what stays although the file lacks it, as lines for people."""
        if self.wanted is None:
            runs = ", ".join(self.waits_for)
            waits = (
                f": its schedules; the deployment itself at a deploy after {runs} has ended"
                if runs
                else ""
            )
            had = self.current["schedules"] if self.current else []
            return [f"removed {self.name}{waits}", *(f"  - {schedules.shown(has)}" for has in had)]
        schedule_lines = [f"  {line}" for line in self.plan.lines()]
        if self.current is None:
            return [f"added {self.name}", *schedule_lines]
        what = [*self.fields, *(["triggers"] if self.triggers else [])]
        if self.adopt and not what and not self.plan.is_needed:
            what = ["marked as this project's"]
        head = f"changed {self.name}" if self.is_needed else self.name
        return (
            [f"{head}: {', '.join(what)}" if what else head, *schedule_lines]
            if what or schedule_lines
            else []
        )


def deploy(client: SyncPrefectClient, file: DeploymentFile, *, dry_run: bool = False) -> list[str]:
    """Make the server agree with `declared`; return one line per change, none if it agreed.

    Deployments paused by hand stay paused, and schedules added by hand are kept; both are reported.

    Args:
        client: client of the server.
        file: content of the file.
        dry_run: report only.

    Raises:
        ConfigError: a deployment of the file has the name of one that belongs to another project;
            nothing was changed.
        GenmintError: the server rejects a change.
        httpx.HTTPError: the server does not respond.
    """
    changes = _compare(client, file)
    if not dry_run:
        # Removals come first, so that a renamed deployment does not run twice.
        for change in sorted(changes, key=lambda each: each.wanted is not None):
            if change.is_needed:
                _apply(client, file.project, change)
        remove_planned(client, _is_ours(file))
    lines = [line for change in changes for line in change.lines()]
    return lines + _left_alone(client, file)


def _left_alone(client: SyncPrefectClient, file: DeploymentFile) -> list[str]:
    """Report unlabelled deployments with this project's pull steps, which are left unchanged.

    They come from an earlier genmint or were deployed by hand.
    """
    starts = [each["fields"]["pull_steps"] for each in file.deployments.values()]
    return [
        f"left alone {name}: not deployed by genmint. If it was removed from prefect.yaml: "
        f"`prefect deployment delete '{name}'`"
        for name, deployment in _there(client).items()
        if name not in file.deployments
        and PROJECT_LABEL not in (deployment["labels"] or {})
        and deployment["pull_steps"]
        and deployment["pull_steps"] in starts
    ]


def _is_ours(file: DeploymentFile) -> Any:
    owners = {file.project, *file.formerly}
    return lambda labels: labels.get(PROJECT_LABEL) in owners


def _compare(client: SyncPrefectClient, file: DeploymentFile) -> list[Change]:
    there = _there(client)
    owners = {file.project, *file.formerly}
    changes = []
    for name, wanted in file.deployments.items():
        current = there.get(name)
        if current is not None:
            _refuse_foreign(file, name, wanted, current, owners)
        changes.append(_change(client, file.project, name, wanted, current))
    for name, current in there.items():
        labels = current["labels"] or {}
        ours = labels.get(PROJECT_LABEL) in owners and labels.get(DEPLOYMENT_LABEL) == name
        if ours and name not in file.deployments:
            waits = [run["name"] for run in active_runs(client, current["id"])]
            changes.append(Change(name, None, current, waits_for=waits))
    return changes


def _there(client: SyncPrefectClient) -> dict[str, dict[str, Any]]:
    """Return full name → deployment of all deployments on the server."""
    flows = {flow["id"]: flow["name"] for flow in api.every(client, "/flows/filter")}
    deployments = api.every(client, "/deployments/filter")
    return {f"{flows[each['flow_id']]}/{each['name']}": each for each in deployments}


def _refuse_foreign(
    file: DeploymentFile,
    name: str,
    wanted: dict[str, Any],
    current: dict[str, Any],
    owners: set[str],
) -> None:
    labels = current["labels"] or {}
    if labels.get(DEPLOYMENT_LABEL) == name and labels.get(PROJECT_LABEL) in owners:
        return
    owner = labels.get(PROJECT_LABEL) if labels.get(DEPLOYMENT_LABEL) == name else None
    if owner is not None:
        raise ConfigError(
            f"{file.path}: {name} on this server belongs to the project {owner!r}, this is "
            f"{file.project!r} (`name`). Give yours another name, or write "
            f"`formerly: [{owner}]` if this is the same project"
        )
    # Unlabelled deployments made from this file by `prefect deploy` or an earlier genmint have the
    # same pull steps.
    if (current["pull_steps"] or []) != wanted["fields"]["pull_steps"]:
        raise ConfigError(
            f"{file.path}: {name} on this server was not deployed by genmint, and stays as it "
            f"is. Give yours another name, or `prefect deployment delete '{name}'`"
        )


def _change(
    client: SyncPrefectClient,
    project: str,
    name: str,
    wanted: dict[str, Any],
    current: dict[str, Any] | None,
) -> Change:
    if current is None:
        plan = schedules.plan_changes(wanted["schedules"], [], adopt=False)
        return Change(name, wanted, None, plan=plan)
    labels = current["labels"] or {}
    marked = labels.get(DEPLOYMENT_LABEL) == name and PROJECT_LABEL in labels
    expected = _marks(project, name, wanted)
    adopt = any(labels.get(key) != value for key, value in expected.items())
    has = _fields(current)
    fields = {
        key: value for key, value in _expected(wanted).items() if _bare(has[key]) != _bare(value)
    }
    if wanted["paused"] is not None:
        if current["paused"] != wanted["paused"]:
            fields["paused"] = wanted["paused"]
    elif current["paused"] and labels.get(PAUSED_LABEL) is True:
        # It was paused by an earlier version of the file, not by hand.
        fields["paused"] = False
    plan = schedules.plan_changes(wanted["schedules"], current["schedules"], adopt=not marked)
    if current["paused"] and "paused" not in fields and wanted["paused"] is None:
        plan.notes.append("is paused, by hand")
    differ = triggers.differ(client, current["id"], wanted["triggers"], adopt=not marked)
    return Change(name, wanted, current, adopt, fields, plan, differ)


def _marks(project: str, name: str, wanted: dict[str, Any]) -> dict[str, Any]:
    return {PROJECT_LABEL: project, DEPLOYMENT_LABEL: name, PAUSED_LABEL: wanted["paused"] is True}


def _expected(wanted: dict[str, Any]) -> dict[str, Any]:
    """Return the declared fields in the form that the server will have."""
    fields = dict(wanted["fields"])
    fields["work_queue_name"] = fields["work_queue_name"] or "default"
    return fields


def _fields(current: dict[str, Any]) -> dict[str, Any]:
    """Return the same fields of a deployment on the server."""
    limit = current["global_concurrency_limit"]
    own = limit is not None and limit["name"] == f"deployment:{current['id']}"
    attached = None if limit is None else limit["limit"] if own else limit["name"]
    return {**current, "concurrency_limit": attached, "pull_steps": current["pull_steps"] or []}


def _bare(value: Any) -> Any:
    """Return a value without null entries, some of which the server omits or fills in."""
    if isinstance(value, dict):
        bare = {key: _bare(each) for key, each in value.items() if each is not None}
        return bare or None
    return value


def _apply(client: SyncPrefectClient, project: str, change: Change) -> None:
    from prefect.exceptions import PrefectHTTPStatusError

    try:
        if change.wanted is None:
            _remove(client, change)
        elif change.current is None or change.adopt:
            _write_whole(client, project, change)
        else:
            _write_differences(client, change)
    except PrefectHTTPStatusError as error:
        if error.response.status_code not in (400, 404, 409, 422):
            raise
        reason = " ".join(error.response.text.split())[:300]
        raise GenmintError(
            f"{change.name}: Prefect's server refuses it ({reason}). What was changed "
            "before stays; deploy again when this is repaired"
        ) from None


def _remove(client: SyncPrefectClient, change: Change) -> None:
    assert change.current is not None
    id_ = change.current["id"]
    if change.waits_for:
        # A run needs its deployment until it ends, also to resume after a crash.
        for schedule in change.current["schedules"]:
            schedules.delete(client, id_, schedule["id"])
        return
    _detach_limit(client, change.current)
    triggers.remove(client, id_)
    api.delete(client, f"/deployments/{id_}")


def _write_whole(client: SyncPrefectClient, project: str, change: Change) -> None:
    """Create or relabel a deployment; Prefect sets labels only in a complete write."""
    from uuid import UUID

    wanted, current = change.wanted, change.current
    assert wanted is not None
    flow, _, name = change.name.rpartition("/")
    if current is not None:
        _detach_limit(client, current)
    body = {
        **wanted["fields"],
        "name": name,
        "flow_id": str(client.create_flow_from_name(flow)),
        "labels": {
            **(current["labels"] if current else {}),
            **_marks(project, change.name, wanted),
        },
        "schedules": change.plan.whole(),
    }
    if "paused" in change.fields or wanted["paused"] is not None:
        body["paused"] = bool(change.fields.get("paused", wanted["paused"]))
    if not body["work_queue_name"]:
        del body["work_queue_name"]
    id_ = api.send(client, "POST", "/deployments/", body)["id"]
    if change.triggers or (current is None and wanted["triggers"]):
        triggers.write(client, UUID(id_), wanted["triggers"])


def _write_differences(client: SyncPrefectClient, change: Change) -> None:
    from uuid import UUID

    current, wanted = change.current, change.wanted
    assert current is not None
    assert wanted is not None
    schedules.remove(client, current["id"], change.plan)
    if change.fields:
        body = dict(change.fields)
        if {"concurrency_limit"} & set(body):
            _detach_limit(client, current)
        if {"work_pool_name", "work_queue_name"} & set(body):
            body["work_pool_name"] = wanted["fields"]["work_pool_name"]
            body["work_queue_name"] = _expected(wanted)["work_queue_name"]
        api.send(client, "PATCH", f"/deployments/{current['id']}", body)
    schedules.add(client, current["id"], change.plan)
    if change.triggers:
        triggers.write(client, UUID(current["id"]), wanted["triggers"])


def _detach_limit(client: SyncPrefectClient, current: dict[str, Any]) -> None:
    """Detach a concurrency limit attached by a person, which Prefect would change or delete."""
    limit, own = current["global_concurrency_limit"], f"deployment:{current['id']}"
    if limit is None or limit["name"] == own:
        return
    # The deployment's former limit still exists under the name, so it is attached again.
    limits = api.every(client, "/v2/concurrency_limits/filter")
    before = next((each["id"] for each in limits if each["name"] == own), None)
    body = {"global_concurrency_limit_id": before}
    api.send(client, "PATCH", f"/deployments/{current['id']}", body)
