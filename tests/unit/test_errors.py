"""What the errors know of themselves: whether to try again, now or later."""

from __future__ import annotations

import inspect

import pytest

from cicd_core import errors
from cicd_core.errors import AgentUnavailable, CicdError, InvalidInput, NotFound, StoreError

ERRORS = [
    each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, CicdError)
]
PERMANENT = {
    "StoreClosed",
    "StoreReplaced",
    "UnsupportedCapability",
    "UnknownScheme",
    "UnrecognizedDatabase",
    "SchemaTooNew",
    "SchemaTooOld",
}


@pytest.mark.parametrize("error", ERRORS)
def test_a_failure_of_the_store_is_recoverable_unless_it_is_named(error: type[CicdError]) -> None:
    of_the_store = issubclass(error, StoreError)
    passes = of_the_store and error.__name__ not in PERMANENT
    assert error.recoverable == (passes or issubclass(error, AgentUnavailable))


@pytest.mark.parametrize("error", ERRORS)
def test_what_may_be_tried_again_at_once_may_be_tried_again_later(error: type[CicdError]) -> None:
    assert error.recoverable or not error.retryable


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("job", "expired"), ("deployment", "expired"), ("agent", "expired"), ("pool", "been deleted")],
)
def test_what_is_not_found_may_have_gone_as_its_kind_goes(kind: str, reason: str) -> None:
    told = f"{kind} 'x' not found; check the id (it may have {reason})"
    assert str(NotFound(kind, "x")) == told


def test_a_value_that_is_missing_or_secret_is_not_in_the_message() -> None:
    missing = InvalidInput("job_type", ..., "it is required")
    assert str(missing) == "job_type: it is required"
