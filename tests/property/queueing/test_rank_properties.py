"""The order of ranks is the order of the queue."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cicd_core.model.job import Priority
from cicd_core.queueing.rank import rank

Place = tuple[Priority, int, str]

STAMPS = st.integers(min_value=0, max_value=10**16 - 10**7)
IDS = st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ._:/-", min_size=1, max_size=26)
PLACES = st.tuples(st.sampled_from(Priority), STAMPS, IDS)


@given(st.lists(PLACES))
def test_ranks_sort_as_priority_then_enqueue_then_id(places: list[Place]) -> None:
    assert sorted(places, key=lambda place: rank(*place)) == sorted(places)


@given(PLACES, PLACES)
def test_two_jobs_share_a_rank_only_if_they_share_everything(one: Place, other: Place) -> None:
    assert (rank(*one) == rank(*other)) == (one == other)


@given(PLACES, st.integers(min_value=1, max_value=10**6), st.sampled_from(Priority), IDS)
def test_the_smallest_step_in_time_decides_within_a_priority(
    place: Place, micros: int, priority: Priority, other_id: str
) -> None:
    mine, at, job_id = place
    later = rank(priority, at + micros, other_id)
    assert (rank(mine, at, job_id) < later) == (mine <= priority)
