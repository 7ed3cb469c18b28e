"""Errors for a caller that is unknown, or may not do something."""

from __future__ import annotations

from typing import Any

import pytest

from cicd_core.model.principal import (
    NotAuthenticated,
    NotPermitted,
    Principal,
    Scope,
    known_scopes,
)


def test_an_unknown_caller_hears_what_is_missing() -> None:
    error = NotAuthenticated("the API key was revoked")
    assert str(error) == "the caller is unknown: the API key was revoked"
    assert error.reason == "the API key was revoked"


def test_a_refused_caller_is_named_with_what_it_lacks() -> None:
    error = NotPermitted("ci", "it does not have the scope jobs:write")
    assert str(error) == "'ci' may not do that: it does not have the scope jobs:write"
    assert (error.principal, error.reason) == ("ci", "it does not have the scope jobs:write")


def test_a_principal_passes_with_the_scope_and_with_no_other() -> None:
    principal = Principal(name="ci", scopes=frozenset({Scope.JOBS_READ}))
    principal.require(Scope.JOBS_READ)
    with pytest.raises(
        NotPermitted, match="'ci' may not do that: it does not have the scope jobs:write"
    ):
        principal.require(Scope.JOBS_WRITE)


def test_scopes_that_there_are_not_allow_nothing() -> None:
    assert known_scopes(["jobs:steer", "jobs:read", ""]) == frozenset({Scope.JOBS_READ})


@pytest.mark.parametrize(
    ("limits", "named"),
    [
        ({"agent_id": "a-1"}, "agent 'a-1'"),
        ({"pools": frozenset({"mac", "linux"})}, "the pools linux, mac"),
        ({"agent_id": "a-1", "pools": frozenset({"mac"})}, "agent 'a-1'"),
    ],
)
def test_a_principal_with_limits_passes_with_queue_claim_alone(
    limits: dict[str, Any], named: str
) -> None:
    principal = Principal(name="ci", scopes=frozenset(Scope), **limits)
    principal.require(Scope.QUEUE_CLAIM)
    for scope in set(Scope) - {Scope.QUEUE_CLAIM}:
        with pytest.raises(NotPermitted) as refused:
            principal.require(scope)
        assert refused.value.reason == (
            f"it is limited to {named}, but {scope} reaches further; use a key without limits"
        )
