"""The sources of time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cicd_core import clock
from cicd_core.clock import SystemClock

if TYPE_CHECKING:
    import pytest

#: Microseconds; no machine is this slow between two lines.
MINUTE = 60 * 1_000_000


def test_the_system_clock_begins_at_the_wall_clock_and_never_goes_back() -> None:
    system = SystemClock()
    first = system.micros()
    assert abs(first - clock.wall_micros()) < MINUTE
    assert first <= system.micros() <= system.micros()


def test_a_jump_of_the_wall_clock_does_not_move_the_system_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    system = SystemClock()
    before = system.micros()
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert clock.wall_micros() == 0
    assert before <= system.micros() < before + MINUTE


def test_the_boot_clock_counts_while_the_machine_is_up() -> None:
    first = clock.boot_micros()
    assert 0 < first <= clock.boot_micros()


def test_a_machine_without_a_boot_clock_has_a_monotonic_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)
    monkeypatch.setattr(time, "monotonic_ns", lambda: 7_000)
    assert clock.boot_micros() == 7


def test_monotonic_seconds_do_not_go_back() -> None:
    assert clock.monotonic_seconds() <= clock.monotonic_seconds()
