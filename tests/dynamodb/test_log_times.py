"""The times of the log hold what it promises, whatever clocks show and however late things come."""

from __future__ import annotations

from typing import Final

import pytest
from attrs import frozen
from hypothesis import example, given
from hypothesis import strategies as st

from cicd_core.store.records import MAX_RECORD_BYTES
from cicd_core_dynamodb import log_times
from cicd_core_dynamodb.failures import MAX_ITEM_BYTES
from cicd_core_dynamodb.log_times import (
    APART,
    DELAY,
    FAST,
    KEPT,
    LOG_KEPT,
    RIPE,
    RULES,
    SETTLED,
    SIGNED,
    STALE,
)
from cicd_core_dynamodb.sequencer import OPEN_BYTES
from cicd_core_dynamodb.server_clock import UNCERTAIN

MICROS: Final = 1_000_000
NOW: Final = 1_795_000_000 * MICROS
DELAY_MICROS: Final = int(DELAY * MICROS)
offs = st.integers(-UNCERTAIN, UNCERTAIN)


@frozen
class Written:
    """A commit: when its item was placed in truth, by which clock, and how late all else came."""

    placed: int
    off: int
    #: Until the item was there; the commit was sent then, at the latest.
    shown: int
    #: From then on until it was applied: as long as its signature was good, by a fast clock.
    applied: int

    @property
    def place(self) -> int:
        return self.placed + self.off

    @property
    def there(self) -> int:
        return self.placed + self.shown

    @property
    def done(self) -> int:
        return self.there + self.applied


written = st.builds(
    Written,
    placed=st.integers(NOW, NOW + 120 * MICROS),
    off=offs,
    shown=st.integers(0, DELAY_MICROS),
    applied=st.one_of(st.integers(0, 30 * MICROS), st.integers(0, SIGNED + FAST)),
)
LATEST: Final = Written(placed=NOW, off=UNCERTAIN, shown=DELAY_MICROS, applied=SIGNED + FAST)
AT_ONCE: Final = Written(placed=NOW, off=UNCERTAIN, shown=0, applied=0)
EARLIEST: Final = Written(placed=NOW, off=-UNCERTAIN, shown=DELAY_MICROS, applied=0)


@given(
    commits=st.lists(written, min_size=1, max_size=12),
    looks=st.lists(st.tuples(st.integers(0, 5000 * MICROS), offs), min_size=1, max_size=12),
)
@example(commits=[LATEST], looks=[(DELAY_MICROS + SIGNED + FAST - MICROS, UNCERTAIN)])
@example(commits=[AT_ONCE], looks=[(0, -UNCERTAIN), (RIPE + MICROS, 0), (RIPE + 2 * MICROS - 1, 0)])
@example(commits=[EARLIEST], looks=[(DELAY_MICROS - 1, UNCERTAIN), (5000 * MICROS, 0)])
def test_each_commit_comes_into_the_log_once_by_the_times_that_its_readers_go_by(
    commits: list[Written], looks: list[tuple[int, int]]
) -> None:
    reached, named, log = 0, set[int](), list[int]()
    #: When each commit was appended, by the clock of the reader who did it.
    appended: dict[int, int] = {}
    ends = 5001 * MICROS
    for after, off in [*sorted(looks), (ends, -UNCERTAIN), (ends + APART, 0)]:
        moment = NOW + after
        clock = moment + off
        there = {number for number, each in enumerate(commits) if each.there <= moment}
        # A reader remembers what was appended since the journal was read, and an overlap before.
        known = {number for number, at in appended.items() if at >= reached - APART}
        met = {number for number in there if commits[number].place > reached} | named
        applied = {number for number in met - known if commits[number].done <= moment}
        for number in sorted(applied):
            log.append(number)
            appended[number] = clock
        open_ = {
            number for number in met - known - applied if commits[number].place >= clock - STALE
        }
        bounds = [clock - RIPE]
        bounds += [
            commits[number].place - 1 for number in open_ if commits[number].place > clock - SETTLED
        ]
        reached = max(reached, min(bounds))
        named = {number for number in open_ if commits[number].place <= reached}
    assert sorted(log) == list(range(len(commits)))


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_between_the_times_holds(rule: str) -> None:
    assert RULES[rule]


@pytest.mark.parametrize("retention", [0, 3600, 365 * 86_400])
def test_the_log_is_there_as_long_as_what_leads_to_it(retention: int) -> None:
    kept = log_times.keeps_for(retention * MICROS)
    assert kept == (retention + KEPT) * MICROS
    assert kept < (retention + LOG_KEPT) * MICROS


def test_an_item_of_the_log_has_room_for_what_is_open_beside_the_largest_event() -> None:
    around = 5 * 1024  # the entry's own words, the names of attributes
    assert MAX_RECORD_BYTES + OPEN_BYTES + around <= MAX_ITEM_BYTES
