"""What an operator may set."""

from __future__ import annotations

import math
from typing import Any

import pytest
from attrs import fields

from cicd_core.errors import InvalidInput
from cicd_core.settings import Settings

DURATIONS = [each.name for each in fields(Settings) if each.name != "commit_attempts"]


def test_the_defaults_are_right() -> None:
    settings = Settings()
    assert (settings.lease_seconds, settings.heartbeat_timeout_seconds) == (30.0, 30.0)
    assert settings.lease_seconds <= settings.max_lease_seconds


@pytest.mark.parametrize("name", DURATIONS)
@pytest.mark.parametrize("value", [-1, math.nan, math.inf, 10**400, "30", None, True])
def test_a_duration_that_is_none_is_refused_by_its_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        Settings(**{name: value})
    assert refused.value.field == name


def test_a_lease_is_no_longer_than_the_longest_lease() -> None:
    assert Settings(lease_seconds=60, max_lease_seconds=60).lease_seconds == 60
    with pytest.raises(InvalidInput, match="at most max_lease_seconds, 60") as refused:
        Settings(lease_seconds=61, max_lease_seconds=60)
    assert refused.value.field == "lease_seconds"


@pytest.mark.parametrize("name", DURATIONS)
def test_no_duration_lasts_for_centuries(name: str) -> None:
    centuries: dict[str, Any] = {name: 1e12}
    with pytest.raises(InvalidInput) as refused:
        Settings(**centuries)
    assert refused.value.field == name


@pytest.mark.parametrize("value", [0, 1001, 1.5, True, "8"])
def test_a_decision_is_tried_a_whole_number_of_times(value: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        Settings(commit_attempts=value)
    assert refused.value.field == "commit_attempts"
