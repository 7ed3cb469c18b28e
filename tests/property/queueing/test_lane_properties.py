"""Keys of lanes are injective, read back, and match agents by subsets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cicd_core.errors import InvalidInput
from cicd_core.queueing.lanes import (
    Lane,
    LaneDirectory,
    lanes_for,
    parse_lane,
    serves,
    with_lane,
)

# Few characters and short names, so that collisions would be found.
NAMES = st.text("aB1._:/-", min_size=1, max_size=3).filter(lambda name: name not in {".", ".."})
LABELS = st.lists(NAMES, max_size=5).map(tuple)
LANES = st.builds(Lane, NAMES, NAMES, LABELS)
JOB_TYPES = st.none() | st.frozensets(NAMES)


@given(LANES, LANES)
def test_two_lanes_share_a_key_only_if_they_are_the_same(one: Lane, other: Lane) -> None:
    assert (one.key == other.key) == (one == other)


@given(LANES)
def test_a_key_reads_back_as_its_lane(lane: Lane) -> None:
    assert parse_lane(lane.key) == lane


@given(st.text("aB1._:/-|, é", max_size=12))
def test_any_text_is_the_key_of_a_lane_or_refused(text: str) -> None:
    try:
        lane = parse_lane(text)
    except InvalidInput:
        return
    assert lane.key == text


@given(LANES, st.frozensets(NAMES), JOB_TYPES)
def test_an_agent_serves_the_lanes_whose_labels_are_among_its_own(
    lane: Lane, labels: frozenset[str], job_types: frozenset[str] | None
) -> None:
    expected = set(lane.labels) <= labels and (job_types is None or lane.job_type in job_types)
    assert serves(lane, labels, job_types) is expected
    assert serves(lane, list(labels), None if job_types is None else list(job_types)) is expected


@given(LANES, st.frozensets(NAMES))
def test_more_labels_and_more_handlers_never_serve_less(lane: Lane, labels: frozenset[str]) -> None:
    assert serves(lane, labels | set(lane.labels), {lane.job_type})
    assert serves(lane, labels | set(lane.labels), None)


@given(st.lists(st.builds(Lane, st.just("pool"), NAMES, LABELS)), st.frozensets(NAMES), JOB_TYPES)
def test_a_directory_lists_each_lane_once_and_an_agent_asks_for_those_that_it_serves(
    lanes: list[Lane], labels: frozenset[str], job_types: frozenset[str] | None
) -> None:
    directory = LaneDirectory("pool")
    for lane in lanes:
        grown = with_lane(directory, lane)
        assert grown.lanes[: len(directory.lanes)] == directory.lanes
        directory = grown
    expected = list(dict.fromkeys(lanes))
    assert [parse_lane(key) for key in directory.lanes] == expected
    assert lanes_for(directory, labels, job_types) == tuple(
        lane.key for lane in expected if serves(lane, labels, job_types)
    )
