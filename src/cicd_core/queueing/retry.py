"""When a job is tried again, and how long it waits until then."""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cicd_core.model.job import RetryPolicy, Verdict

#: The tenth release in a row uses an attempt, so that a job which every agent gives back ends.
RELEASES_PER_ATTEMPT: Final = 10

#: Seconds.
_FIRST_RELEASE_DELAY = 1.0
_LONGEST_RELEASE_DELAY = 60.0

# Beyond this an integer is no float any more; the wait has met its maximum long before.
_LARGEST_EXPONENT = 2**53


def retries(policy: RetryPolicy, verdict: Verdict) -> bool:
    """Return whether the policy tries a job again that ended so, attempts permitting."""
    return verdict in policy.retry_on


def backoff_seconds(policy: RetryPolicy, attempts_used: int, seed: str) -> float:
    """Return how long a job waits before its next attempt, in seconds.

    ``min(base * factor ** (attempts_used - 1), max) * (1 - jitter * u)``, see
    :class:`~cicd_core.model.job.RetryPolicy`.

    Args:
        policy: checked already, see :func:`cicd_core.model.spec.check_retry`.
        attempts_used: the attempts so far, however many; below 1 counts as 1.
        seed: the job's id and the attempt; the same seed gives the same wait.
    """
    longest = min(policy.backoff_base * _growth(policy, attempts_used - 1), policy.backoff_max)
    return longest * (1.0 - policy.jitter * _fraction(seed))


def release_delay_seconds(releases: int) -> float:
    """Return how long a job waits after an agent gave it back unfinished, in seconds.

    Args:
        releases: in a row, this one included: the first waits 1 s, each further one twice as
            long, none longer than 60 s.
    """
    doublings = min(max(releases - 1, 0), 6)
    return min(_FIRST_RELEASE_DELAY * 2.0**doublings, _LONGEST_RELEASE_DELAY)


def _growth(policy: RetryPolicy, exponent: int) -> float:
    """Return ``factor ** exponent``, the largest float where it is larger than that."""
    try:
        return float(policy.backoff_factor) ** min(max(exponent, 0), _LARGEST_EXPONENT)
    except OverflowError:
        return sys.float_info.max


def _fraction(seed: str) -> float:
    """Return a number in [0, 1) that depends on the seed alone, on every machine alike."""
    digest = hashlib.blake2b(seed.encode(), digest_size=8).digest()
    # 53 bits: as many as a float holds, so that none of them is rounded up to 1.
    return (int.from_bytes(digest) >> 11) * 2.0**-53
