"""Claims that wait: their jobs are released if the caller can't receive them."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from cicd_core.errors import CicdError
from cicd_core.model.principal import Scope

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from cicd_core.control_plane.queue import QueueService
    from cicd_core.http.server.routing import Call
    from cicd_core.http.wire.claim_requests import ClaimBody
    from cicd_core.model.claim import ClaimedJob

_log = logging.getLogger("cicd_core.http")


async def claim_and_wait(
    call: Call, body: ClaimBody, work: Callable[[], Awaitable[list[ClaimedJob]]]
) -> list[ClaimedJob] | None:
    """Return the jobs of a claim that waits for work; None: the server is stopping.

    Raises:
        CallerGone: the caller closed its connection. With a request id, a caller may still ask
            for the jobs of the claim; without one, they are released.
        NotAuthenticated, NotPermitted: the caller lost its right during the wait; no job stays
            claimed.
    """
    queue = call.plane.queue
    undo = partial(_give_back, queue) if body.request_id is None else None
    claims = await call.waiting.attend(call.request, call.principal.name, work, undo=undo)
    if claims is None and body.request_id is not None:
        # The server is stopping. Jobs claimed by now go to the caller, who would not ask again.
        claims = await queue.held(
            agent_id=body.agent_id, request_id=body.request_id, lease_seconds=body.lease_seconds
        )
    try:
        await call.recheck(Scope.QUEUE_CLAIM)
    except CicdError:
        await _give_back(queue, claims or ())
        raise
    return claims


async def _give_back(queue: QueueService, claims: Sequence[ClaimedJob]) -> None:
    for claimed in claims:
        try:
            await queue.release(claimed, reason="the caller disconnected", began=False)
        except CicdError as failed:  # the lease expires by itself
            _log.warning("job %s was not released: %s", claimed.job.job_id, failed)
