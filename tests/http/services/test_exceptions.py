"""The list of what can't hold over HTTP names tests that there are."""

from __future__ import annotations

from tests.http.services.conftest import EXCEPTIONS
from tests.services import (
    test_agents,
    test_jobs,
    test_keys,
    test_pools,
    test_queue_claims,
    test_queue_leases,
    test_queue_order,
    test_sessions,
)

MODULES = (
    test_agents,
    test_jobs,
    test_keys,
    test_pools,
    test_queue_claims,
    test_queue_leases,
    test_queue_order,
    test_sessions,
)


def test_each_exception_is_a_test_of_the_services() -> None:
    assert [name for name in EXCEPTIONS if not any(hasattr(each, name) for each in MODULES)] == []
