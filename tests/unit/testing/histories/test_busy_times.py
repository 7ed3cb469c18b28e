"""A union of open intervals knows when it is free."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cicd_core.testing.histories.busy_times import BusyTimes

instants = st.integers(0, 30)


@given(st.lists(st.tuples(instants, instants), max_size=12), instants)
def test_it_says_what_looking_at_every_interval_says(
    intervals: list[tuple[int, int]], instant: int
) -> None:
    busy = BusyTimes()
    for begin, end in intervals:
        busy.add(begin, end)
    # Half instants, so that an open interval between two whole ones is not empty.
    free = 2 * instant
    while any(2 * begin < free < 2 * end for begin, end in intervals):
        free += 1
    assert 2 * busy.free_from(instant) == free


def test_intervals_that_touch_leave_an_instant_free() -> None:
    busy = BusyTimes()
    busy.add(1, 5)
    busy.add(5, 9)
    assert [busy.free_from(instant) for instant in (0, 1, 2, 5, 6, 9)] == [0, 1, 5, 5, 9, 9]


def test_an_interval_may_swallow_others() -> None:
    busy = BusyTimes()
    for begin, end in [(1, 3), (4, 6), (8, 9), (2, 8)]:
        busy.add(begin, end)
    assert busy.free_from(2) == 8
    assert busy.free_from(8) == 8
