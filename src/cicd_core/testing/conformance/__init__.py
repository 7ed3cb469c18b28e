"""Tests of every promise of the store contract, for any store."""

from __future__ import annotations

from cicd_core.testing.conformance.cancellation import CancellationPromises
from cicd_core.testing.conformance.claim_races import CancelRacePromises, ClaimRacePromises
from cicd_core.testing.conformance.claims import ClaimPromises, ClaimRepetitionPromises
from cicd_core.testing.conformance.closing import ClosingPromises
from cicd_core.testing.conformance.commit_races import CommitRacePromises
from cicd_core.testing.conformance.commits import (
    CommitPromises,
    MalformedCommitPromises,
)
from cicd_core.testing.conformance.counts import CounterPromises, CountPromises
from cicd_core.testing.conformance.day_counters import DayCounterPromises
from cicd_core.testing.conformance.equal_values import SharedValuePromises
from cicd_core.testing.conformance.extremes import ExtremePromises
from cicd_core.testing.conformance.handles import HandlePromises
from cicd_core.testing.conformance.jobs import JobPromises
from cicd_core.testing.conformance.large_answers import LargeAnswerPromises
from cicd_core.testing.conformance.lease_races import LeaseRacePromises
from cicd_core.testing.conformance.leases import GuardPromises, LeasePromises
from cicd_core.testing.conformance.limits import LimitPromises
from cicd_core.testing.conformance.log import LogPromises
from cicd_core.testing.conformance.long_lists import LongListPromises
from cicd_core.testing.conformance.lookalikes import LookalikePromises
from cicd_core.testing.conformance.namespaces import NamespacePromises
from cicd_core.testing.conformance.opaque_bytes import OpaqueBytesPromises
from cicd_core.testing.conformance.pages import IndexPromises, PagePromises
from cicd_core.testing.conformance.pushes import PushPromises
from cicd_core.testing.conformance.records import (
    RecordPromises,
    RetentionPromises,
    VersionPromises,
)
from cicd_core.testing.conformance.renewals import RenewalPromises
from cicd_core.testing.conformance.reopening import ReopeningPromises
from cicd_core.testing.conformance.repetitions import RepetitionPromises
from cicd_core.testing.conformance.stale_owners import StaleOwnerPromises
from cicd_core.testing.conformance.time import ClockPromises
from cicd_core.testing.conformance.turns import TurnPromises
from cicd_core.testing.conformance.unreadable import UnreadablePromises
from cicd_core.testing.conformance.waiting import WaitPromises

__all__ = ["StoreConformance"]


class StoreConformance(
    RecordPromises,
    VersionPromises,
    RetentionPromises,
    NamespacePromises,
    CommitPromises,
    LongListPromises,
    LargeAnswerPromises,
    RepetitionPromises,
    MalformedCommitPromises,
    LeasePromises,
    GuardPromises,
    RenewalPromises,
    ClaimPromises,
    ClaimRepetitionPromises,
    CommitRacePromises,
    ClaimRacePromises,
    CancelRacePromises,
    LeaseRacePromises,
    StaleOwnerPromises,
    PagePromises,
    IndexPromises,
    CountPromises,
    CounterPromises,
    DayCounterPromises,
    LogPromises,
    WaitPromises,
    TurnPromises,
    PushPromises,
    LookalikePromises,
    LimitPromises,
    ExtremePromises,
    OpaqueBytesPromises,
    SharedValuePromises,
    HandlePromises,
    ReopeningPromises,
    ClockPromises,
    UnreadablePromises,
    CancellationPromises,
    ClosingPromises,
    JobPromises,
):
    """The complete suite. Subclass it, and provide the fixture ``harness``.

    It runs on asyncio; a store that also runs on trio overrides the fixture ``anyio_backend`` with
    parameters. To mark a known failure, override the test with an ``xfail`` and its reason; any
    other override, or a removed test, fails the last test of the suite.
    """

    def test_no_test_of_the_suite_is_overridden_or_removed(self) -> None:
        names = [name for name in dir(StoreConformance) if name.startswith("test_")]
        gone = [name for name in names if not is_intact(type(self), name)]
        assert not gone, f"overridden without an xfail that gives its reason: {gone}"


def is_intact(suite: type, name: str) -> bool:
    """Whether a test is the suite's own, or is marked to fail with a reason."""
    test = getattr(suite, name)
    if test is getattr(StoreConformance, name):
        return True
    marks = getattr(test, "pytestmark", [])
    return any(mark.name == "xfail" and mark.kwargs.get("reason") for mark in marks)
