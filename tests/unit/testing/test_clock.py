"""A clock that tests move by hand."""

from __future__ import annotations

import pytest

from cicd_core.errors import InvalidInput
from cicd_core.testing import VirtualClock


def test_a_virtual_clock_stands_still_until_it_is_moved() -> None:
    clock = VirtualClock(start=1_000_000)
    assert clock.micros() == clock.micros() == 1_000_000
    clock.advance(1.5)
    clock.advance(micros=1)
    assert clock.micros() == 2_500_001


def test_a_virtual_clock_does_not_go_back() -> None:
    clock = VirtualClock()
    with pytest.raises(InvalidInput):
        clock.advance(-1)
    with pytest.raises(InvalidInput):
        clock.advance(1, micros=-2_000_000)
