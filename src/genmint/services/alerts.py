"""Prefect automations as code: alerts about failures, and detection of unresponsive hosts."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from genmint.common.errors import ConfigError
from genmint.common.tags import PUT_BACK_EVENT, REFUSALS_LABEL, REFUSED_EVENT

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.events.actions import ActionTypes
    from prefect.events.schemas.automations import AutomationCore, EventTrigger

FLOWS = ("retrain", "train-model", "drift", "reconcile")
# No alerts are sent after this many refusals in a row.
_MOST_REFUSALS = 100
# Heartbeats are sent every 30 s; up to three may be lost.
_SILENCE = datetime.timedelta(seconds=100)
_SUBJECT = "genmint: "

_RUN = (
    "{{ event.resource_in_role['flow'].name }} ({{ event.resource['prefect.resource.name'] }}): "
    "{{ event.resource['prefect.state-message'] or 'no message' }}"
)
_MODEL = "{{ event.resource['prefect.resource.name'] }}: {{ event.payload.reason }}"


def check_urls(urls: Sequence[str]) -> None:
    """Check that every alert URL can be used.

    Raises:
        ConfigError: a URL is neither a webhook (http, https) nor supported by Apprise. The message
            shows its scheme only, since the rest is secret.
    """
    from apprise import Apprise

    for url in urls:
        if not _is_webhook(url) and Apprise.instantiate(url) is None:
            raise ConfigError(
                f"alert {url.partition(':')[0]}:…: neither an http(s) webhook nor an Apprise URL"
            )


def lost_hosts() -> AutomationCore:
    """Return the automation that marks a flow run Crashed if its heartbeats stop."""
    from prefect.client.schemas.objects import StateType
    from prefect.events.actions import ChangeFlowRunState
    from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture

    return AutomationCore(
        name="genmint: lost host",
        description="Marks a flow run without heartbeats as Crashed; it resumes on another host.",
        trigger=EventTrigger(
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.*"},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=_SILENCE,
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                message=f"no heartbeat for {_SILENCE.total_seconds():.0f} s",
            )
        ],
    )


def install(client: SyncPrefectClient, urls: Sequence[str], refusals: int) -> None:
    """Create or update the automations; alerts are included only if `urls` is not empty.

    An automation paused in the UI stays paused. Without `urls`, the alerts of an earlier call are
    kept.

    Args:
        client: client of the server, which must also be the one in Prefect's settings.
        urls: plain webhooks (http, https: a JSON body) and Apprise URLs.
        refusals: number of refusals of a model in a row that triggers an alert.
    """
    from prefect.events.schemas.automations import AutomationCore

    wanted = [lost_hosts()]
    if urls:
        blocks = [(url, _save_block(url, number)) for number, url in enumerate(urls, start=1)]
        wanted += [
            _automation(what, trigger, text, blocks) for what, trigger, text in _news(refusals)
        ]
    for automation in wanted:
        known = client.find_automation(automation.name)
        if known is None:
            client.create_automation(automation)
            continue
        automation = automation.model_copy(update={"enabled": known.enabled})
        if _bare(known) != _bare(automation):
            # The client omits unset fields. The server requires a complete update but rejects the
            # owner field.
            whole = AutomationCore.model_validate(automation.model_dump(exclude={"owner_resource"}))
            client.update_automation(known.id, whole)


def _news(refusals: int) -> list[tuple[str, EventTrigger, str]]:
    """Return name, trigger and text of each alert."""
    from prefect.events.schemas.automations import EventTrigger

    ours = {"prefect.resource.role": "flow", "prefect.resource.name": list(FLOWS)}
    enough = [str(number) for number in range(refusals, _MOST_REFUSALS)]
    return [
        (
            "a flow failed",
            EventTrigger(expect={"prefect.flow-run.Failed"}, match_related=ours),
            _RUN,
        ),
        (
            "a flow run crashed",
            EventTrigger(expect={"prefect.flow-run.Crashed"}, match_related=ours),
            _RUN,
        ),
        (
            "refused again and again",
            EventTrigger(expect={REFUSED_EVENT}, match={REFUSALS_LABEL: enough}),
            _MODEL,
        ),
        ("an alias was put back", EventTrigger(expect={PUT_BACK_EVENT}), _MODEL),
    ]


def _automation(
    what: str, trigger: EventTrigger, text: str, blocks: Sequence[tuple[str, object]]
) -> AutomationCore:
    from prefect.events.schemas.automations import AutomationCore

    return AutomationCore(
        name=_SUBJECT + what,
        description="Set up by genmint services (docs/services.md).",
        trigger=trigger,
        actions=[_action(url, block, what, text) for url, block in blocks],
    )


def _action(url: str, block: object, what: str, text: str) -> ActionTypes:
    from prefect.events.actions import CallWebhook, SendNotification

    if not _is_webhook(url):
        return SendNotification(block_document_id=block, subject=_SUBJECT + what, body=text)
    # Chat programs display the key `text` of a webhook's body.
    body = (
        "{% set said %}" + text + "{% endset %}"
        '{"alert": ' + json.dumps(what) + ', "text": {{ said | string | tojson }}, '
        '"event": {{ event.event | tojson }}, "resource": {{ event.resource.id | tojson }}, '
        '"occurred": {{ event.occurred | string | tojson }}}'
    )
    return CallWebhook(block_document_id=block, payload=body)


def _save_block(url: str, number: int) -> object:
    from prefect.blocks.notifications import SlackWebhook
    from prefect.blocks.webhook import Webhook

    name = f"genmint-alert-{number}"
    if _is_webhook(url):
        headers = {"Content-Type": "application/json"}
        return Webhook(url=url, headers=headers).save(name, overwrite=True)
    # Prefect has no generic Apprise block; this block passes every non-Slack URL to Apprise
    # unchanged.
    return SlackWebhook(url=url).save(name, overwrite=True)


def _is_webhook(url: str) -> bool:
    return url.startswith(("http://", "https://"))


def _bare(automation: AutomationCore) -> dict[str, object]:
    """Return the compared fields of an automation, without ids assigned by the server."""
    kept = automation.model_dump(
        mode="json", include={"description", "trigger", "actions"}, exclude={"trigger": {"id"}}
    )
    kept["trigger"]["expect"] = sorted(kept["trigger"]["expect"])
    return kept
