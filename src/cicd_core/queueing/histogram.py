"""Log-scaled histograms of durations: small, mergeable by addition, with a bounded error.

The mapping is that of DDSketch (C. Masson, J. E. Rim, H. K. Lee: "DDSketch: a fast and
fully-mergeable quantile sketch with relative-error guarantees", 2019, arXiv:1908.10693, section 2):
the bounds of the buckets grow by the factor ``gamma``, and each bucket reads as
``2 * gamma ** n / (gamma + 1)``, with a relative error of at most
``alpha = (gamma - 1) / (gamma + 1)``. With ``gamma = 1.1`` that is 1/21, below 4.77 %. Rounding
adds far less (about one part in 10 ** 13), so that the error stays within the promised 5 %.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from cicd_core.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The greatest relative error of a quantile, from 1 ms to 30 days.
RELATIVE_ERROR: Final = 0.05
#: Seconds: shorter durations fall into bucket 0, and read as 0.
SHORTEST: Final = 0.001
#: Seconds (30 days): longer durations fall into the last bucket.
LONGEST: Final = 30 * 86_400.0

_GAMMA = 1.1
_LOG_GAMMA = math.log(_GAMMA)


def bucket_of(seconds: float) -> int:
    """Return the bucket that counts a duration.

    Bucket ``n`` from 1 on holds ``gamma ** (n - 1)`` up to ``gamma ** n`` milliseconds.
    """
    if seconds < SHORTEST:
        return 0
    return 1 + math.floor(math.log(min(seconds, LONGEST) / SHORTEST) / _LOG_GAMMA)


#: The bucket of :data:`LONGEST`, the last one of a histogram.
LAST_BUCKET: Final = bucket_of(LONGEST)


def value_of(bucket: int) -> float:
    """Return the duration, in seconds, that stands for all durations of a bucket.

    Raises:
        InvalidInput: there is no such bucket.
    """
    if not 0 <= bucket <= LAST_BUCKET:
        raise InvalidInput("bucket", bucket, f"give 0 to {LAST_BUCKET}")
    if bucket == 0:
        return 0.0
    return SHORTEST * 2.0 * _GAMMA**bucket / (_GAMMA + 1.0)


def quantile(counts: Mapping[int, int], q: float) -> float | None:
    """Return the smallest duration, in seconds, that at least the part ``q`` of all do not exceed.

    This is the quantile by nearest rank: an observed value, not one between two of them. None if
    nothing was counted.

    Args:
        counts: how many durations fell into each bucket.
        q: 0 (the shortest) to 1 (the longest).

    Raises:
        InvalidInput: ``q`` is not 0 to 1, or there is no such bucket.
    """
    wanted = rank_of(q, sum(counts.values()))
    seen = 0
    for bucket in sorted(counts):
        seen += counts[bucket]
        if seen >= wanted:
            return value_of(bucket)
    return None


def rank_of(q: float, count: int) -> int:
    """Return the place of a quantile among ``count`` sorted values; 1 is the shortest.

    Raises:
        InvalidInput: ``q`` is not 0 to 1.
    """
    if not 0 <= q <= 1:
        raise InvalidInput("q", q, "give 0 to 1")
    # The decimal as written, not the nearest float: 0.07 of 100 is 7, not a little more.
    return max(1, math.ceil(Fraction(str(q)) * count))
