"""Whether a job is tried again, and how long it waits before."""

from __future__ import annotations

import hashlib
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cicd_core.model.job import RetryPolicy, Verdict

#: Every tenth release in a row uses an attempt, so that a job which all agents release ends.
RELEASES_PER_ATTEMPT: Final = 10

#: Seconds.
_FIRST_RELEASE_DELAY = 1.0
_LONGEST_RELEASE_DELAY = 60.0

# A float does not hold every integer beyond this; the wait reaches its maximum long before.
_LARGEST_EXPONENT = 2**53


def retries(policy: RetryPolicy, verdict: Verdict) -> bool:
    """Return whether the policy tries a job again after this verdict, if attempts are left."""
    return verdict in policy.retry_on


def backoff_seconds(policy: RetryPolicy, attempts_used: int, seed: str) -> float:
    """Return how long a job waits before its next attempt, in seconds.

    ``min(base * factor ** (attempts_used - 1), max) * (1 - jitter * u)``, see
    :class:`~cicd_core.model.job.RetryPolicy`.

    Args:
        policy: must be checked, see :func:`cicd_core.model.spec.check_retry`.
        attempts_used: the number of attempts so far; below 1 counts as 1.
        seed: the job's id and the attempt; the same seed gives the same wait.
    """
    longest = min(policy.backoff_base * _growth(policy, attempts_used - 1), policy.backoff_max)
    return longest * (1.0 - policy.jitter * _fraction(seed))


def release_delay_seconds(releases: int) -> float:
    """Return how long a job waits after an agent released it, in seconds.

    Args:
        releases: the number of releases in a row, with this one. After the first, the job waits
            for 1 s, after each further one twice as long, at most 60 s.
    """
    doublings = min(max(releases - 1, 0), 6)
    return min(_FIRST_RELEASE_DELAY * 2.0**doublings, _LONGEST_RELEASE_DELAY)


def _growth(policy: RetryPolicy, exponent: int) -> float:
    """Return ``factor ** exponent``, at most the largest float."""
    try:
        return float(policy.backoff_factor) ** min(max(exponent, 0), _LARGEST_EXPONENT)
    except OverflowError:
        return sys.float_info.max


def _fraction(seed: str) -> float:
    """Return a number in [0, 1) that depends only on the seed, the same on every machine."""
    digest = hashlib.blake2b(seed.encode(), digest_size=8).digest()
    # 53 bits: a float holds that many, so that no number is rounded up to 1.
    return (int.from_bytes(digest) >> 11) * 2.0**-53
