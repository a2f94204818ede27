"""Comparison of a deployment's schedules on the server with those of the file.

A schedule of the file has a slug made from its definition. The slug distinguishes a schedule edited
in the UI from one changed in the file, and one paused by the file from one paused by hand. A
schedule without such a slug was added by a person and is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from genmint.services import api
from genmint.services.deployment_file import OFF, SLUG, slug_of

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient


@dataclass
class ScheduleChanges:
    """Required changes of the schedules of one deployment.

    Attributes:
        remove: schedules on the server to delete.
        add: schedules to create, in the API's form.
        update: id on the server → changed fields.
        stay: schedules on the server that are kept, in their final form.
        notes: kept differences from the file, for people.
    """

    remove: list[dict[str, Any]] = field(default_factory=list)
    add: list[dict[str, Any]] = field(default_factory=list)
    update: dict[str, dict[str, Any]] = field(default_factory=dict)
    stay: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def is_needed(self) -> bool:
        """Whether anything differs."""
        return bool(self.remove or self.add or self.update)

    def whole(self) -> list[dict[str, Any]]:
        """Return all schedules that the deployment will have."""
        return [*self.add, *self.stay]

    def lines(self) -> list[str]:
        """Return the plan as lines for people, one per schedule."""
        return [
            *(f"- {shown(each)}" for each in self.remove),
            *(f"+ {shown(each)}" for each in self.add),
            *self.notes,
        ]


def plan_changes(
    wanted: list[dict[str, Any]], current: list[dict[str, Any]], *, adopt: bool
) -> ScheduleChanges:
    """Plan the changes that turn the server's schedules into those of the file.

    Args:
        wanted: schedules of the file (see `deployment_file`).
        current: schedules on the server.
        adopt: the deployment had no label so far. The origin of its schedules is then unknown, and
            all are replaced, as `prefect deploy` would do.
    """
    plan, left = ScheduleChanges(), list(current)
    for each in wanted:
        slug = slug_of(each)
        alike = [has for has in left if _agrees(each, has) and _may_be(has, slug, adopt=adopt)]
        if not alike:
            plan.add.append(_new_schedule(each, slug))
            continue
        # The schedule with that slug takes precedence over an equal one added by hand.
        has = min(alike, key=lambda one: one["slug"] != slug)
        left.remove(has)
        active = has["active"] if each["active"] is None else each["active"]
        changed = {"slug": slug, "active": active}
        if any(has[key] != value for key, value in changed.items()):
            plan.update[has["id"]] = {**changed, "parameters": each["parameters"]}
            plan.notes.append(f"~ {shown({**has, **changed})}")
        elif not active and each["active"] is None:
            plan.notes.append(f"  {shown(has)}, by hand")
        plan.stay.append(_kept({**has, **changed}))
    plan.remove = [has for has in left if adopt or _is_of_file(has)]
    for has in left:
        if has not in plan.remove:
            plan.notes.append(f"  {shown(has)}: added by hand, stays")
            plan.stay.append(_kept(has))
    _keep_paused(wanted, plan)
    return plan


def remove(client: SyncPrefectClient, deployment: str, plan: ScheduleChanges) -> None:
    """Delete the schedules that the plan removes; call this before `add`."""
    for each in plan.remove:
        delete(client, deployment, each["id"])


def delete(client: SyncPrefectClient, deployment: str, schedule: str) -> None:
    """Delete one schedule."""
    api.delete(client, f"/deployments/{deployment}/schedules/{schedule}")


def add(client: SyncPrefectClient, deployment: str, plan: ScheduleChanges) -> None:
    """Create and update schedules according to the plan."""
    path = f"/deployments/{deployment}/schedules"
    for id_, changed in plan.update.items():
        # Parameters are included, because the server clears what an update omits.
        api.send(client, "PATCH", f"{path}/{id_}", changed)
    if plan.add:
        api.send(client, "POST", path, plan.add)


def shown(schedule: dict[str, Any]) -> str:
    """Return a schedule as text for people."""
    timing = schedule["schedule"]
    if "cron" in timing:
        text = f"cron {timing['cron']!r}"
    elif "interval" in timing:
        text = f"every {timing['interval']:g} s"
    else:
        text = f"rrule {' '.join(str(timing.get('rrule')).split())!r}"
    zone = f" {timing['timezone']}" if timing.get("timezone") else ""
    return f"{text}{zone}" + ("" if schedule["active"] is not False else ", paused")


def _agrees(wanted: dict[str, Any], has: dict[str, Any]) -> bool:
    timing = wanted["schedule"]
    same = all(has["schedule"].get(key) == value for key, value in timing.items())
    return same and (has["parameters"] or {}) == wanted["parameters"]


def _is_of_file(has: dict[str, Any]) -> bool:
    return (has["slug"] or "").startswith(SLUG)


def _may_be(has: dict[str, Any], slug: str, *, adopt: bool) -> bool:
    return adopt or has["slug"] == slug or not _is_of_file(has)


def _new_schedule(wanted: dict[str, Any], slug: str) -> dict[str, Any]:
    active = wanted["active"] is not False
    return {**wanted, "active": active, "slug": slug}


def _kept(has: dict[str, Any]) -> dict[str, Any]:
    return {
        key: has[key] for key in ("schedule", "active", "max_scheduled_runs", "parameters", "slug")
    }


def _keep_paused(wanted: list[dict[str, Any]], plan: ScheduleChanges) -> None:
    """Keep a schedule paused that was paused by hand and then changed in the file."""
    unsaid = {slug_of(each) for each in wanted if each["active"] is None}
    for each in plan.add:
        before = [has for has in plan.remove if _is_same(has, each)]
        if not before and len(plan.add) == len(plan.remove) == 1:
            before = plan.remove
        if each["slug"] in unsaid and any(_paused_by_hand(has) for has in before):
            each["active"] = False


def _is_same(has: dict[str, Any], created: dict[str, Any]) -> bool:
    """Return whether one schedule replaces the other: same slug, or same name in the file."""
    name = _name(created)
    return bool(has["slug"] == created["slug"] or (name and _name(has) == name))


def _name(schedule: dict[str, Any]) -> str:
    """Return the slug given in the file; "" if there is none."""
    slug = str(schedule["slug"] or "")
    return slug.removeprefix(SLUG).removeprefix(OFF).partition("-")[2]


def _paused_by_hand(has: dict[str, Any]) -> bool:
    return has["active"] is False and not str(has["slug"]).startswith(SLUG + OFF)
