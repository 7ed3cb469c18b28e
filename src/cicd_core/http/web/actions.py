"""The actions of the forms: each is one command of a service, by the person who sent the form."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from cicd_core.errors import CicdError, InvalidInput, OperationRejected, StoreError
from cicd_core.model.agent import AgentStatus
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cicd_core.http.web.forms import Form
    from cicd_core.http.web.visit import Visit


@frozen
class Done:
    """The result of an action: a key of :data:`NOTICES`, and the number of entities."""

    notice: str
    number: int = 1
    #: Number of entities for which the command was refused.
    refused: int = 0


#: The text of a page after an action.
NOTICES: Final = {
    "cancelled": ("cancelled, or asked to stop", "job"),
    "replayed": ("queued again", "job"),
    "reprioritised": ("given the priority", "job"),
    "drained": ("draining", "agent"),
    "resumed": ("set to healthy", "agent"),
    "scaled": ("scaled", "pool"),
    "rolled_back": ("rolled back", "deployment"),
    "failed": ("failed", "deployment"),
    "logged_out": ("logged out", "session"),
    "revoked": ("revoked", "key"),
}


async def cancel(visit: Visit, form: Form) -> Done:
    """Cancel jobs."""
    reason = form.text("reason") or "cancelled on the status page"
    return await _each(
        "cancelled",
        form.every("job"),
        lambda job_id: visit.plane.jobs.cancel(job_id, actor=visit.principal.name, reason=reason),
    )


async def replay(visit: Visit, form: Form) -> Done:
    """Queue dead letters again."""
    return await _each(
        "replayed",
        form.every("job"),
        lambda job_id: visit.plane.jobs.replay(job_id, actor=visit.principal.name),
    )


async def reprioritise(visit: Visit, form: Form) -> Done:
    """Change the priority of jobs."""
    priority = form.required("priority")
    return await _each(
        "reprioritised",
        form.every("job"),
        lambda job_id: visit.plane.jobs.reprioritise(job_id, priority, actor=visit.principal.name),
    )


async def drain(visit: Visit, form: Form) -> Done:
    """Let agents finish their jobs and claim no new ones."""
    reason = form.text("reason") or "drained on the status page"
    return await _each(
        "drained",
        form.every("agent"),
        lambda agent_id: visit.plane.agents.drain(
            agent_id, reason=reason, actor=visit.principal.name
        ),
    )


async def resume(visit: Visit, form: Form) -> Done:
    """Set agents to healthy."""
    reason = form.text("reason") or "set on the status page"
    return await _each(
        "resumed",
        form.every("agent"),
        lambda agent_id: visit.plane.agents.set_status(
            agent_id, AgentStatus.HEALTHY, reason=reason, actor=visit.principal.name
        ),
    )


async def roll_back(visit: Visit, form: Form) -> Done:
    """Roll a deployment back."""
    await visit.plane.deployments.roll_back(
        form.required("deployment"),
        reason=form.required("reason"),
        target=form.text("target"),
        actor=visit.principal.name,
    )
    return Done("rolled_back")


async def fail(visit: Visit, form: Form) -> Done:
    """Fail a deployment that is not live yet."""
    await visit.plane.deployments.fail(
        form.required("deployment"),
        error_message=form.required("reason"),
        actor=visit.principal.name,
    )
    return Done("failed")


async def revoke_session(visit: Visit, form: Form) -> Done:
    """End sessions."""
    return await _each(
        "logged_out",
        form.every("session"),
        lambda session_id: visit.plane.sessions.revoke(session_id, actor=visit.principal.name),
    )


async def revoke_key(visit: Visit, form: Form) -> Done:
    """Revoke keys."""
    reason = form.text("reason") or "revoked on the status page"
    return await _each(
        "revoked",
        form.every("key"),
        lambda key_id: visit.plane.keys.revoke(key_id, actor=visit.principal.name, reason=reason),
    )


async def _each(
    notice: str, names: tuple[str, ...], command: Callable[[str], Awaitable[object]]
) -> Done:
    """Call a command for each name; a refused one does not block the others.

    Raises:
        CicdError: the only call was refused, or the store failed.
        InvalidInput: all calls were refused, and a field of the form is wrong.
    """
    results: Counter[bool] = Counter()
    wrong: InvalidInput | None = None
    for name in names:
        try:
            await command(name)
        except StoreError:
            raise
        except CicdError as refused:
            if len(names) == 1:
                raise
            wrong = refused if isinstance(refused, InvalidInput) else wrong
            results[False] += 1
        else:
            results[True] += 1
    if not names:
        raise OperationRejected("choose at least one first")
    if wrong is not None and not results[True]:
        raise wrong
    return Done(notice, results[True], results[False])
