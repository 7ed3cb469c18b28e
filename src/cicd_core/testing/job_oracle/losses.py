"""Lost acknowledged writes and leases that ended too early: the answers against the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core.testing.job_oracle.logged import REAPER

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from cicd_core.testing.job_oracle.answers import Answers, JobAnswers, Use
    from cicd_core.testing.job_oracle.logged import LoggedJob


def lost_jobs(answers: Answers, records: Collection[str]) -> Iterator[str]:
    """Yield a sentence for each acknowledged enqueue without a record of its job."""
    for tag, job_id in answers.enqueued.items():
        if job_id not in records:
            yield f"job {job_id} ({tag}): its enqueue was acknowledged, but the job does not exist"


def lost_effects(job_id: str, answers: JobAnswers, found: LoggedJob) -> Iterator[str]:
    """Yield a sentence for each other acknowledged call without an effect."""
    for fault in _lost(answers, found):
        yield f"job {job_id}: {fault}, but the log has no event of it"


def early_ends(
    job_id: str, answers: JobAnswers, found: LoggedJob, *, is_sequential: bool = False
) -> Iterator[str]:
    """Yield a sentence for each lease that was taken away before it had expired.

    All instants are the store's: the reaper's action, the next claim, and the end of the lease by
    the holder's answers. No jumping clock may change their order.
    """
    for fence, expires in answers.promised.items():
        taken = _taken_away(found, fence, is_sequential=is_sequential)
        if taken is not None and taken < expires:
            yield (
                f"job {job_id}: the lease with fence {fence} was promised until {expires}, "
                f"but it was taken away at {taken}"
            )


def _taken_away(found: LoggedJob, fence: int, *, is_sequential: bool) -> int | None:
    """Return when the reaper took a job from its holder, at the latest; None: it did not.

    The reaper's event has the time of its decision. If calls overlap, its commit is later: a
    renewal may come between, and the lease may expire before the commit. Then the next claim
    counts, which has the time of its commit.
    """
    attempt = found.attempts.get(fence)
    if attempt is None or attempt.ended is None or attempt.ended_by != REAPER:
        return None
    if attempt.missed_deadline:
        return None
    return attempt.ended if is_sequential else found.claimed_again(fence)


def _lost(answers: JobAnswers, found: LoggedJob) -> Iterator[str]:
    for fence in answers.granted:
        if fence not in found.attempts:
            yield f"a claim was answered with fence {fence}"
    for use in answers.uses:
        if use.accepted and not _is_there(use, found):
            yield f"{use.verb} with fence {use.fence} was accepted"
    progressed = sum(use.accepted and use.verb == "progress" for use in answers.uses)
    if progressed > found.progressed:
        yield f"{progressed} reports of progress were accepted, {found.progressed} are logged"
    if answers.cancelled and not found.cancels:
        yield "a cancel was acknowledged"
    # Two concurrent replays both succeed with one event.
    if answers.replayed and not found.replays:
        yield "a replay was acknowledged"


def _is_there(use: Use, found: LoggedJob) -> bool:
    attempt = found.attempts.get(use.fence)
    if attempt is None:
        return False
    if use.verb == "start":
        return attempt.started
    if use.verb in {"complete", "release"}:
        return attempt.ended_by == attempt.agent
    return True
