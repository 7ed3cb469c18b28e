"""Patterns of types of events: each must match one."""

from __future__ import annotations

import pytest

from cicd_core.errors import InvalidInput
from cicd_core.model.event_types import EVENT_TYPES, check_event_type


@pytest.mark.parametrize("pattern", [*EVENT_TYPES, "*", "job.*", "*.created", "pool.?reated"])
def test_a_pattern_that_matches_a_type_is_returned(pattern: str) -> None:
    assert check_event_type("type", pattern) == pattern


@pytest.mark.parametrize(
    ("pattern", "advice"),
    [
        ("job.complete", "give one of job.cancel_requested, job.cancelled,"),
        ("jobs", "give one of agent."),
        ("", "give one of agent."),
        (7, "give a string"),
        (None, "give a string"),
    ],
)
def test_another_one_is_refused_with_those_near_it(pattern: object, advice: str) -> None:
    with pytest.raises(InvalidInput, match=advice) as refused:
        check_event_type("type", pattern)
    assert refused.value.field == "type"
