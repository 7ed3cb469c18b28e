"""The mistakes that the guide to stores warns of, each with a store that makes it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import frozen

from tests.conformance import faulty_owners as owners
from tests.conformance import faulty_writes as writes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cicd_core.store.memory import MemoryBackend

GUIDE: Final = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-store.md"

#: Each mistake, in the words and in the order of the guide.
FAULTY: Final[dict[str, type[MemoryBackend]]] = {
    "a stale index entry": writes.LeavesIndexEntries,
    "a lost update": writes.LosesUpdates,
    "half a commit": writes.WritesWhatFits,
    "half a cancelled commit": writes.TellsInASecondStep,
    "a commit that is not recognised": writes.ForgetsCommits,
    "a version that comes twice": writes.RestartsVersions,
    "an event that is lost": writes.LosesEvents,
    "an event that comes twice": writes.TellsTwice,
    "a counter outside of the commit": writes.CountsBeforeItCompares,
    "a lost increment": writes.LosesIncrements,
    "a count that is too small": writes.Miscounts,
    "a record that outlives its retention": writes.KeepsRecordsTooLong,
    "keys that become equal": writes.TakesKeysForOne,
    "a read that leaves records out": writes.LosesWhatWasRead,
    "a page that skips": writes.PagesByNumber,
    "a page that goes one way": writes.PagesInOneDirection,
    "a bound that is ignored": writes.IgnoresBounds,
    "a claim out of order": owners.ClaimsPartitionByPartition,
    "an answer out of order": owners.ClaimsOutOfOrder,
    "a claim of one partition": owners.ClaimsFromOnePartition,
    "a claim that forgets the patch": owners.ForgetsThePatch,
    "a claim that forgets the version": owners.ClaimsWithoutAVersion,
    "a repeated claim that takes more": owners.TakesMoreWhenRepeated,
    "two owners": owners.ClaimsInTwoSteps,
    "a claim that overlooks a cancel": owners.ClaimsWhatIsNotLeased,
    "a claim that answers what it has lost": owners.RemembersClaims,
    "a token that is not checked": owners.RenewsForAnybody,
    "a lease that moves back": owners.MovesLeasesBack,
    "a lease that is too long": owners.RenewsTooLong,
    "a lease that outlasts its limit": owners.GrantsBeyondTheLimit,
    "a renewal without a date": owners.DatesNoRenewals,
    "a lease that a commit forgets": writes.ForgetsLeases,
    "a grant that outlives its claim": writes.KeepsGrants,
    "a renewal that makes a new version": owners.CountsRenewals,
    "a guard that is forgotten": owners.ForgetsGuards,
    "a guard that looks too early": owners.LooksAtLeasesTooEarly,
    "expiry by the wrong clock": owners.GoesByAnotherClock,
    "retention by the calendar": owners.DropsByTheCalendar,
    "leases by the calendar": owners.LeasesByTheCalendar,
    "a wait that never wakes": owners.NeverWakes,
    "a wake-up that is lost": owners.ListensTooLate,
    "a wait that does not look first": owners.WaitsForever,
    "a transaction without an owner": owners.LeavesTransactionsOpen,
    "a cancellation that spreads": owners.SharesCancellations,
}


@frozen
class Row:
    """A row of the guide's table."""

    mistake: str
    #: The tests that find it.
    tests: tuple[str, ...]


def rows() -> Iterator[Row]:
    """Read the guide's table of mistakes."""
    table = GUIDE.read_text(encoding="utf-8").partition("| mistake |")[2].partition("\n\n")[0]
    for line in table.splitlines()[2:]:
        mistake, _, found_by = line.strip("| ").split(" | ")
        yield Row(mistake, tuple(re.findall(r"`(test_\w+)`", found_by)))


def found_by() -> dict[str, tuple[str, ...]]:
    """Return the tests that the guide names, by mistake."""
    return {row.mistake: row.tests for row in rows()}
