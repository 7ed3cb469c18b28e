"""What the errors know of themselves: whether to try again, now or later."""

from __future__ import annotations

import inspect

import pytest

from cicd_core import errors
from cicd_core.errors import CicdError, StoreError

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
    assert error.recoverable == (passes or error.__name__ == "AgentUnavailable")


@pytest.mark.parametrize("error", ERRORS)
def test_what_may_be_tried_again_at_once_may_be_tried_again_later(error: type[CicdError]) -> None:
    assert error.recoverable or not error.retryable
