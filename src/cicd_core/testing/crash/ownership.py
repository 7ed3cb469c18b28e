"""Whether a job ever had two owners, by the answers to its owners and by nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cicd_core.model.job import FINAL_STATES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cicd_core.testing.crash.worker_log import JobAnswers, Use

#: Verbs that end an ownership; a repetition of one is answered as the first time, later too.
_ENDS: Final = frozenset({"complete", "release"})
_FINAL: Final = frozenset(state.value for state in FINAL_STATES)


def double_owners(job_id: str, job: JobAnswers) -> Iterator[str]:
    """Yield what contradicts that a job has one owner at a time, a sentence each.

    - One fence was never given to two claims.
    - Once a claim was answered with fence f, only its holder was accepted: no call with
      a smaller fence that began later was accepted, unless it repeated one that may have been.
    - One final verdict was ever accepted.
    """
    for fence, claim_id in job.doubles:
        first = job.granted[fence].claim_id
        yield f"job {job_id}: fence {fence} was given to claim {first} and to claim {claim_id}"
    newest = sorted((granted.answered, fence) for fence, granted in job.granted.items())
    for use in job.uses:
        if not use.accepted or _is_repetition(use, job):
            continue
        later = [fence for answered, fence in newest if answered < use.called and fence > use.fence]
        if later:
            yield (
                f"job {job_id}: {use.verb} with fence {use.fence} was accepted after a claim had "
                f"been answered with fence {later[-1]}"
            )
    yield from _verdicts(job_id, job)


def _is_repetition(use: Use, job: JobAnswers) -> bool:
    """Whether the same holder may have done the same before: then it is answered, not done."""
    return use.verb in _ENDS and any(
        other is not use
        and other.fence == use.fence
        and _effect(other) == _effect(use)
        and other.called < use.called
        for other in job.uses
    )


def _effect(use: Use) -> str:
    """Return how a call ends an attempt.

    The release of an at-most-once job that has started is an error: the library does not tell a
    repetition of the one from the other.
    """
    return (use.verdict or "error") if use.verb in _ENDS else use.verb


def _verdicts(job_id: str, job: JobAnswers) -> Iterator[str]:
    accepted = {
        (use.fence, use.state)
        for use in job.uses
        if use.verb in _ENDS
        and use.accepted
        and use.state in _FINAL
        # A repetition hears what became of the job, which need not be what it did: one that a
        # caller made, or one inside of a call whose first try was not answered.
        and use.state == _effect(use)
        and not _is_repetition(use, job)
    }
    if len(accepted) > 1:
        yield f"job {job_id}: several final verdicts were accepted: {sorted(accepted)}"
