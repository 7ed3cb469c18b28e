"""Jobs: a list with its filters in the address, and one job with the reasons for its wait."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup

from cicd_core.errors import InvalidInput, NotFound
from cicd_core.job_logs.rendering import render_log
from cicd_core.lifecycle.job_table import JOB_TABLE
from cicd_core.model.amounts import amount
from cicd_core.model.checks import check_optional_name
from cicd_core.model.job import RESTING_STATES, JobState, JobStatus, Priority
from cicd_core.model.principal import Scope
from cicd_core.persistence.listing import Page
from cicd_core.values import frozen

if TYPE_CHECKING:
    from cicd_core.http.web.visit import Visit
    from cicd_core.model.job import Job

_FILTERS: Final = ("status", "pool_name", "job_type", "agent_id", "service", "tag", "id_prefix")
_MOMENTS: Final = ("since", "until")
_ROWS: Final = 50
_MOST_ROWS: Final = 200
#: The field of a job's metadata with its service.
_SERVICE: Final = "service"
#: Length of a generated id.
_DRAWN: Final = 26
#: Maximum size of the end of a log that is shown: lines, and bytes.
_LOG_LINES: Final = 200
_LOG_BYTES: Final = 16_000
#: Seconds between two updates of the page of a job that has not ended, and of one with a log that
#: may grow.
_SECONDS: Final = 5
_LOG_SECONDS: Final = 3
#: The states of a job that has not been picked up.
_WAITS: Final = frozenset({JobState.PENDING, JobState.QUEUED, JobState.DEAD_LETTERED})


async def jobs(visit: Visit) -> dict[str, Any]:
    """Return a page of the jobs that match."""
    given = {name: visit.text(name) for name in _FILTERS}
    times = {name: _moment(name, visit.text(name)) for name in _MOMENTS}
    limit = visit.number("limit", _ROWS, most=_MOST_ROWS)
    found = await _found(visit, given, times, limit)
    is_filtered = any((*given.values(), *times.values()))
    is_rest = visit.text("cursor") is not None or bool(found.unreadable)
    return {
        "found": found,
        "given": given | {name: _as_typed(moment) for name, moment in times.items()},
        "statuses": list(JobStatus),
        "priorities": [priority.name.lower() for priority in Priority],
        "is_filtered": is_filtered,
        "is_fresh": not (found.items or is_filtered or is_rest),
        "more": None if found.cursor is None else visit.same(cursor=found.cursor, notice=None),
        "first": visit.same(cursor=None, notice=None) if visit.text("cursor") else None,
        "may_change": visit.may(Scope.JOBS_WRITE),
        "said": f"{amount(len(found.items), 'job')} on this page",
    }


async def _found(
    visit: Visit,
    given: dict[str, str | None],
    times: dict[str, datetime | None],
    limit: int,
) -> Page[Job]:
    """Return the jobs that match; a complete id is looked up."""
    prefix = check_optional_name("id_prefix", given["id_prefix"])
    if prefix is not None and len(prefix) == _DRAWN:
        try:
            return Page((await visit.plane.jobs.get(prefix),), None)
        except NotFound:
            return Page((), None)
    try:
        return await visit.plane.jobs.list(
            status=given["status"],
            pool_name=given["pool_name"],
            job_type=given["job_type"],
            agent_id=given["agent_id"],
            tag=_tag(given),
            id_prefix=prefix,
            since=times["since"],
            until=times["until"],
            limit=limit,
            cursor=visit.text("cursor"),
        )
    except InvalidInput as wrong:
        if wrong.field != "tag" or given["service"] is None or given["tag"] is not None:
            raise
        raise InvalidInput("service", given["service"], wrong.reason) from None


def _tag(given: dict[str, str | None]) -> str | None:
    """Return the requested tag; a service is a field of the metadata.

    Raises:
        InvalidInput: both are requested.
    """
    service = given["service"]
    if service is None:
        return given["tag"]
    if given["tag"] is not None:
        raise InvalidInput("tag", given["tag"], "give a tag or a service, not both")
    return f"{_SERVICE}={service}"


def _moment(name: str, text: str | None) -> datetime | None:
    """Return the instant in a field, which a browser sends without a time zone: it is UTC.

    Raises:
        InvalidInput: it is not an instant.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(name, text, "give a time such as 2030-06-01T12:00") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _as_typed(moment: datetime | None) -> str | None:
    """Return an instant as the value of a form field, which has no time zone: in UTC."""
    return None if moment is None else f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M}"


@frozen
class LogTail:
    """The end of a log."""

    #: The result of :func:`render_log`, which escapes everything but the colours.
    markup: Markup
    #: Whether there are more lines before it.
    is_cut: bool
    #: The attempt of the log, and the attempts that have one.
    attempt: int
    attempts: frozenset[int]


async def _log_of(visit: Visit, found: Job) -> LogTail | None:
    """Return the end of the newest log of a job; None: there is none that the caller may read."""
    if visit.job_logs is None or not visit.may(Scope.LOGS_READ):
        return None
    try:
        states = await visit.job_logs.states(found.job_id)
        attempts = [state.attempt for state in states]
        if not attempts:
            return None
        piece = await visit.job_logs.tail(found.job_id, attempts[-1], lines=_LOG_LINES)
    except NotFound:  # removed meanwhile
        return None
    data = piece.data
    if len(data) > _LOG_BYTES:
        data = data[-_LOG_BYTES:]
        data = data[data.find(b"\n") + 1 :]  # from the start of a line on, if there is one
    is_cut = piece.next_offset > len(data)
    markup = Markup(render_log(data))  # noqa: S704 - see `LogTail.markup`
    return LogTail(markup, is_cut, attempts[-1], frozenset(attempts))


def _seconds_between(visit: Visit, found: Job) -> int | None:
    """Return the seconds between two updates without an event; None: only events update it."""
    if found.state in RESTING_STATES:
        return None
    has_logs = visit.job_logs is not None and visit.may(Scope.LOGS_READ)
    return _LOG_SECONDS if has_logs and found.state is JobState.RUNNING else _SECONDS


async def job(visit: Visit) -> dict[str, Any]:
    """Return one job, and why it is not being picked up."""
    found = await visit.plane.jobs.get(visit.name("job_id"))
    commands = JOB_TABLE.commands(found.state) if visit.may(Scope.JOBS_WRITE) else frozenset[str]()
    return {
        "job": found,
        "log": await _log_of(visit, found),
        "every": _seconds_between(visit, found),
        "reasons": await visit.plane.jobs.why(found.job_id) if found.state in _WAITS else (),
        "commands": commands,
        "priorities": [priority.name.lower() for priority in Priority],
        "said": f"job {found.job_id} is {found.state}",
    }
