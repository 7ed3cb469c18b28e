"""Checks that no job ever had two owners, only by the answers to its owners."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cicd_core.model.job import FINAL_STATES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cicd_core.testing.job_oracle.answers import JobAnswers, Use

#: Verbs that end an ownership; a repetition gets the first answer, even later.
_ENDS: Final = frozenset({"complete", "release"})
_FINAL: Final = frozenset(state.value for state in FINAL_STATES)


def double_owners(job_id: str, job: JobAnswers) -> Iterator[str]:
    """Yield a sentence for each violation of these rules, by which a job has one owner at a time.

    - No fence was given to two claims.
    - After a claim was answered with fence f, no later call with a smaller fence was accepted,
      unless it repeated a call that may have been accepted before.
    - Only one final verdict was accepted.
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
                f"job {job_id}: {use.verb} with fence {use.fence} was accepted after a claim was "
                f"answered with fence {later[-1]}"
            )
    yield from _verdicts(job_id, job)


def _is_repetition(use: Use, job: JobAnswers) -> bool:
    """Whether the same holder may have made the same call before: then it only gets the answer."""
    return use.verb in _ENDS and any(
        other is not use
        and other.fence == use.fence
        and _effect(other) == _effect(use)
        and other.called < use.called
        for other in job.uses
    )


def _effect(use: Use) -> str:
    """Return how a call ends an attempt.

    The release of a started at-most-once job is an error: the library does not distinguish a
    repetition of the release from one of the error.
    """
    return (use.verdict or "error") if use.verb in _ENDS else use.verb


def _verdicts(job_id: str, job: JobAnswers) -> Iterator[str]:
    accepted = {
        (use.fence, use.state)
        for use in job.uses
        if use.verb in _ENDS
        and use.accepted
        and use.state in _FINAL
        # A repetition, by a caller or inside a call, gets the job's final state, which need not be
        # its own effect.
        and use.state == _effect(use)
        and not _is_repetition(use, job)
    }
    if len(accepted) > 1:
        yield f"job {job_id}: several final verdicts were accepted: {sorted(accepted)}"
