"""Events as CloudEvents 1.0: some of them have a type and data of CDEvents.

CDEvents describes continuous delivery in terms that tools share. A job is a ``taskRun`` there, a
deployment a ``service``. The event's own data is in ``customData``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from cicd_core.model.event import Event, UnreadableEvent
from cicd_core.public_json import to_json
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The context in which an event's id is unique.
SOURCE: Final = "/cicd-core"
#: The prefix of types that are not from CDEvents.
PREFIX: Final = "cicd_core."
#: The type of an event that can't be read.
UNREADABLE: Final = f"{PREFIX}unreadable"

_CDEVENTS: Final = "0.4.1"
_TASK_STARTED: Final = "dev.cdevents.taskrun.started.0.2.0"
_TASK_FINISHED: Final = "dev.cdevents.taskrun.finished.0.2.0"
_SERVICE_DEPLOYED: Final = "dev.cdevents.service.deployed.0.2.0"
_SERVICE_ROLLED_BACK: Final = "dev.cdevents.service.rolledback.0.2.0"


@frozen
class _Standard:
    """A type of CDEvents, and its facts about the subject."""

    type: str
    outcome: str | None = None
    #: The stage of the deployment.
    stage: str | None = None


_STANDARD: Final[Mapping[str, _Standard]] = {
    "job.started": _Standard(_TASK_STARTED),
    "job.succeeded": _Standard(_TASK_FINISHED, "success"),
    "job.failed": _Standard(_TASK_FINISHED, "failure"),
    "job.timed_out": _Standard(_TASK_FINISHED, "error"),
    "job.errored": _Standard(_TASK_FINISHED, "error"),
    "job.cancelled": _Standard(_TASK_FINISHED, "error"),
    "job.dead_lettered": _Standard(_TASK_FINISHED, "error"),
    "deployment.staged": _Standard(_SERVICE_DEPLOYED, stage="staging"),
    "deployment.live": _Standard(_SERVICE_DEPLOYED, stage="production"),
    "deployment.rolled_back": _Standard(_SERVICE_ROLLED_BACK, stage="production"),
}


def cloud_event(entry: Event | UnreadableEvent) -> dict[str, Any]:
    """Return an entry of the log as a CloudEvent in JSON."""
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": entry.event_id,
        "source": SOURCE,
        "subject": "/".join(entry.subject),
        "datacontenttype": "application/json",
    }
    if isinstance(entry, UnreadableEvent):
        return {**event, "type": UNREADABLE, "data": {"reason": entry.reason}}
    event["time"] = to_json(entry.at)
    standard = _STANDARD.get(entry.type)
    if standard is None:
        return {**event, "type": f"{PREFIX}{entry.type}", "data": to_json(entry.data)}
    return {
        **event,
        "type": standard.type,
        "subject": entry.subject[1],
        "data": _cd_event(entry, standard),
    }


def _cd_event(entry: Event, standard: _Standard) -> dict[str, Any]:
    content = _task(entry, standard) if standard.stage is None else _service(entry, standard.stage)
    return {
        "context": {
            "version": _CDEVENTS,
            "id": entry.event_id,
            "source": SOURCE,
            "type": standard.type,
            "timestamp": to_json(entry.at),
        },
        "subject": {
            "id": entry.subject[1],
            "source": SOURCE,
            "type": "taskRun" if standard.stage is None else "service",
            "content": content,
        },
        "customData": {"type": entry.type, **to_json(entry.data)},
        "customDataContentType": "application/json",
    }


def _task(entry: Event, standard: _Standard) -> dict[str, Any]:
    if standard.outcome is None:
        return {}
    reason = entry.data.get("reason")
    is_told = standard.outcome != "success" and isinstance(reason, str)
    return {"outcome": standard.outcome, **({"errors": reason} if is_told else {})}


def _service(entry: Event, stage: str) -> dict[str, Any]:
    environment = entry.data.get("environment")
    name, version = (quote(str(entry.data[each]), safe="") for each in ("service_name", "version"))
    return {
        "environment": {"id": stage if environment is None else f"{environment}/{stage}"},
        "artifactId": f"pkg:generic/{name}@{version}",
    }
