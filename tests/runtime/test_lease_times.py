"""By when work must have stopped: before its lease ends, for every length of lease."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_core.agent.lease_clock import PauseWatch
from cicd_core.agent.lease_times import LeaseTimes


def times_of(
    *,
    lease_seconds: float = 30.0,
    valid_until: float = 100.0,
    at_limit: bool = False,
    timeout_at: float = math.inf,
    stop_seconds: float = 5.0,
) -> LeaseTimes:
    return LeaseTimes(
        valid_until=valid_until,
        at_limit=at_limit,
        lease_seconds=lease_seconds,
        timeout_at=timeout_at,
        stop_seconds=stop_seconds,
    )


def test_a_lease_that_is_not_renewed_stops_its_handler_early_enough_to_end_within_it() -> None:
    times = times_of(stop_seconds=5.0)
    assert times.stop_at + 5.0 <= times.end_at < times.valid_until


def test_at_most_a_third_of_a_lease_is_kept_for_a_handler_that_ends_slowly() -> None:
    times = times_of(lease_seconds=6.0, stop_seconds=60.0)
    assert times.stop_at == pytest.approx(100.0 - 2.0)
    assert times.stop_at < times.end_at < times.valid_until


def test_a_timeout_shortly_before_the_lease_s_limit_is_not_cut_short() -> None:
    times = times_of(at_limit=True, lease_seconds=18.0, timeout_at=99.0)
    assert times.stop_at == 99.0
    assert times.times_out_first
    assert 99.0 < times.end_at < 100.0


def test_a_timeout_at_the_lease_s_limit_comes_early_enough_to_end_within_it() -> None:
    times = times_of(at_limit=True, lease_seconds=18.0, timeout_at=100.0)
    assert times.stop_at < times.end_at < 100.0
    assert times.times_out_first


def test_a_timeout_long_after_the_lease_s_end_is_not_why_it_stops() -> None:
    assert not times_of(timeout_at=1000.0).times_out_first


def test_a_renewal_never_moves_the_end_of_a_lease_back() -> None:
    times = times_of().renewed(valid_until=90.0, at_limit=False)
    assert times.valid_until == 100.0
    assert times.renewed(valid_until=110.0, at_limit=True).valid_until == 110.0


def test_a_lease_with_another_owner_ends_at_once() -> None:
    times = times_of().lost(50.0)
    assert 50.0 < times.end_at <= 51.0
    assert times_of().lost(200.0) == times_of()


@given(
    lease_seconds=st.floats(1.0, 3600.0),
    left=st.floats(0.5, 1.0),
    stop_seconds=st.floats(0.0, 600.0),
    timeout_in=st.floats(0.1, 7200.0),
    at_limit=st.booleans(),
)
def test_the_stop_comes_before_the_kill_and_the_kill_before_the_lease_s_end(
    lease_seconds: float, left: float, stop_seconds: float, timeout_in: float, at_limit: bool
) -> None:
    times = times_of(
        lease_seconds=lease_seconds,
        valid_until=lease_seconds * left,
        at_limit=at_limit,
        timeout_at=timeout_in,
        stop_seconds=stop_seconds,
    )
    stop_at = min(times.stop_at, times.timeout_at)
    assert stop_at <= times.end_at < times.valid_until
    assert stop_at >= min(times.timeout_at, times.valid_until - lease_seconds / 3)


class Clocks:
    """Three clocks that are moved by hand."""

    def __init__(self) -> None:
        self.lease = self.awake = self.wall = 1000.0

    def watch(self) -> PauseWatch:
        return PauseWatch(lambda: self.lease, lambda: self.awake, lambda: self.wall)

    def pass_time(self, lease: float, awake: float, wall: float) -> None:
        self.lease += lease
        self.awake += awake
        self.wall += wall


def test_time_that_passes_as_it_should_is_no_pause() -> None:
    clocks = Clocks()
    watch = clocks.watch()
    clocks.pass_time(20.0, 20.0, 20.0)
    assert watch.look(math.inf) == 0.0


@pytest.mark.parametrize(
    "passed",
    [
        pytest.param((60.0, 0.5, 60.0), id="suspended"),
        pytest.param((0.5, 0.5, 60.0), id="virtual machine paused, wall clock set since"),
        pytest.param((60.0, 60.0, 60.0), id="stopped"),
    ],
)
def test_a_pause_is_noticed_once(passed: tuple[float, float, float]) -> None:
    clocks = Clocks()
    watch = clocks.watch()
    clocks.pass_time(*passed)
    assert watch.look(1000.5) > 50.0
    assert watch.look(math.inf) == 0.0


def test_a_wall_clock_that_is_set_back_is_no_pause() -> None:
    clocks = Clocks()
    watch = clocks.watch()
    clocks.pass_time(1.0, 1.0, -3600.0)
    assert watch.look(math.inf) == 0.0
