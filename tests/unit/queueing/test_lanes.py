"""Lanes, their keys, and a pool's directory of them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cicd_core.errors import InvalidInput, TooLarge, TooManyLanes
from cicd_core.model.job import Job, JobState
from cicd_core.queueing.lanes import (
    DISUSED_MICROS,
    MAX_LANE_BYTES,
    MAX_LANES,
    RETIRED_MICROS,
    Lane,
    LaneDirectory,
    lane_of,
    lanes_for,
    parse_lane,
    retired,
    serves,
    with_lane,
    without_lanes,
)

BUILD = Lane("default", "build", ("gpu", "linux"))


def test_a_key_names_the_pool_the_job_type_and_the_labels() -> None:
    assert BUILD.key == "default|build|gpu,linux"


def test_a_lane_without_labels_has_an_empty_third_part() -> None:
    assert Lane("default", "build").key == "default|build|"
    assert parse_lane("default|build|") == Lane("default", "build", ())


def test_the_order_and_repetition_of_labels_do_not_matter() -> None:
    assert Lane("default", "build", ("linux", "gpu", "linux")) == BUILD


def test_a_job_waits_in_the_lane_of_its_pool_its_type_and_its_labels() -> None:
    job = Job(
        job_id="j",
        job_type="build",
        state=JobState.QUEUED,
        created_at=datetime(2026, 11, 21, tzinfo=UTC),
        labels=("gpu", "linux"),
    )
    assert lane_of(job) == BUILD


def _lane_of_size(size: int) -> Lane:
    """Return a lane whose key has ``size`` bytes."""
    rest = size - len("p|t|")
    labels = [f"{number:03d}{'x' * 96}" for number in range(rest // 100)]
    labels.append("z" * (rest - 100 * len(labels)))
    return Lane("p", "t", tuple(labels))


def test_a_key_may_have_900_bytes() -> None:
    assert len(_lane_of_size(MAX_LANE_BYTES).key) == MAX_LANE_BYTES == 900


def test_labels_that_make_the_key_longer_than_900_bytes_are_refused_by_name() -> None:
    with pytest.raises(TooLarge) as refused:
        _lane_of_size(MAX_LANE_BYTES + 1)
    assert (refused.value.field, refused.value.size, refused.value.limit) == ("labels", 901, 900)


@pytest.mark.parametrize(
    ("key", "field"),
    [
        ("", "lane"),
        ("default|build", "lane"),
        ("default|build|a|b", "lane"),
        ("|build|", "lane.pool_name"),
        ("default||", "lane.job_type"),
        ("default|build|a,", "lane.labels[1]"),
        ("default|build|a b", "lane.labels[0]"),
        ("default|build|b,a", "lane"),
        ("default|build|a,a", "lane"),
    ],
)
def test_a_damaged_key_is_refused(key: str, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_lane(key)
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("labels", "job_types", "expected"),
    [
        (["gpu", "linux"], ["build"], True),
        (["gpu", "linux", "more"], ["test", "build"], True),
        (["gpu", "linux"], None, True),
        (["linux"], None, False),
        ([], ["build"], False),
        (["gpu", "linux"], ["test"], False),
        (["gpu", "linux"], [], False),
    ],
)
def test_an_agent_serves_a_lane_if_it_has_every_label_and_a_handler(
    labels: list[str], job_types: list[str] | None, expected: bool
) -> None:
    assert serves(BUILD, labels, job_types) is expected


def test_a_new_lane_comes_last() -> None:
    first = with_lane(LaneDirectory("default"), BUILD)
    second = with_lane(first, Lane("default", "a"))
    assert second == LaneDirectory("default", (BUILD.key, "default|a|"))


def test_a_lane_that_is_there_leaves_the_directory_as_it_is() -> None:
    directory = with_lane(LaneDirectory("default"), BUILD)
    assert with_lane(directory, BUILD) is directory


def test_a_lane_of_another_pool_is_refused() -> None:
    with pytest.raises(InvalidInput, match="default") as refused:
        with_lane(LaneDirectory("default"), Lane("other", "build"))
    assert (refused.value.field, refused.value.value) == ("pool_name", "other")


def test_a_pool_has_room_for_256_lanes_and_not_one_more() -> None:
    directory = LaneDirectory("default")
    for number in range(MAX_LANES):
        directory = with_lane(directory, Lane("default", f"type-{number}"))
    assert len(directory.lanes) == 256
    with pytest.raises(TooManyLanes) as refused:
        with_lane(directory, BUILD)
    assert (refused.value.pool_name, refused.value.limit) == ("default", 256)
    assert with_lane(directory, Lane("default", "type-0")) is directory


def test_an_agent_asks_for_the_lanes_that_it_serves_in_the_order_of_the_directory() -> None:
    lanes = (
        Lane("default", "test", ("linux",)),
        BUILD,
        Lane("default", "build"),
        Lane("default", "deploy"),
    )
    directory = LaneDirectory("default", tuple(lane.key for lane in lanes))
    assert lanes_for(directory, ["linux"], ["build", "test"]) == (
        "default|test|linux",
        "default|build|",
    )
    assert lanes_for(directory, ["linux", "gpu"], None) == directory.lanes


def test_a_damaged_directory_is_not_passed_over() -> None:
    with pytest.raises(InvalidInput):
        lanes_for(LaneDirectory("default", ("default|build",)), [], None)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("default|build", "give pool|job type|label,label"),
        (
            "default|build|b,a",
            "its labels must be sorted and distinct: 'default|build|a,b'",
        ),
    ],
)
def test_a_damaged_key_is_shown_with_what_it_should_be(key: str, reason: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_lane(key)
    assert (refused.value.value, refused.value.reason) == (key, reason)


def test_a_retired_lane_makes_room_and_keeps_its_place() -> None:
    now = 10 * DISUSED_MICROS
    other = Lane("default", "test")
    listed = with_lane(with_lane(LaneDirectory("default"), BUILD, now=now), other, now=now)
    after = retired(listed, {BUILD.key}, now)
    assert after.lanes == (BUILD.key, other.key)
    assert after.seen == (now - DISUSED_MICROS + RETIRED_MICROS - 1, now)


def test_lanes_are_left_out_of_a_directory() -> None:
    other = Lane("default", "test")
    listed = with_lane(with_lane(LaneDirectory("default"), BUILD, now=1), other, now=2)
    assert without_lanes(listed, {BUILD.key}) == LaneDirectory("default", (other.key,), (2,))
