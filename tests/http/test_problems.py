"""Each error of the library is one kind of problem, and comes back as what it was."""

from __future__ import annotations

import inspect
import json
from http import HTTPStatus
from typing import Any

import msgspec
import pytest

from cicd_core import errors
from cicd_core.errors import CicdError
from cicd_core.http.wire.problems import KINDS, error_of, kind_of, problem_of
from cicd_core.job_logs import contract
from cicd_core.job_logs.contract import LogOffsetMismatch
from cicd_core.model import principal
from cicd_core.model.principal import NotAuthenticated, NotPermitted

EVERY = [
    each
    for module in (errors, principal, contract)
    for _, each in inspect.getmembers(module, inspect.isclass)
    if issubclass(each, CicdError)
]
EXAMPLES: list[CicdError] = [
    errors.InvalidInput("limit", 0, "give an integer from 1 to 500"),
    errors.InvalidInput("payload", {"a": {1, 2}}, "give plain JSON"),
    errors.TooLarge("payload", 300_000, 262_144),
    errors.InvalidCursor("abc", "it is damaged"),
    errors.NotFound("job", "j-1"),
    errors.WaitTimedOut("j-1", "queued", 5.0),
    errors.OperationRejected("not now"),
    errors.IllegalTransition("job", "j-1", "replay", "failed", ["cancel", "submit"], "why"),
    errors.LeaseLost("j-1", 7, "it is queued by now"),
    errors.IdempotencyConflict("key", "j-1"),
    errors.AlreadyExists("deployment", "d-1"),
    errors.TooManyLanes("linux", 256),
    errors.AgentReplaced("a-1", "0" * 32),
    errors.ChangedMeanwhile("pool", "linux"),
    LogOffsetMismatch(20, 10),
    errors.AgentUnavailable("a-1", "unhealthy", "disk at 99 %"),
    errors.AgentDeregistered("a-1", "terminated", "deregistered"),
    errors.SessionRejected("it has expired"),
    NotAuthenticated("send a key"),
    NotPermitted("ada", "it does not have the scope jobs:write"),
    errors.StoreUnavailable("locked"),
    errors.StoreReplaced("ci.db", "ci.db-wal"),
    errors.TooManyConflicts(["jobs/j-1"], 8),
    errors.CorruptRecord("jobs", "j-1", "no JSON"),
    errors.UnknownScheme("acme", ["memory", "redis"]),
    errors.SchemaTooNew("ci.db", 3, 2),
    errors.SchemaTooOld("ci.db", 1, 2),
]


def test_every_error_of_the_library_has_a_kind_of_problem() -> None:
    assert set(EVERY) == set(KINDS)


def test_no_two_errors_share_a_type() -> None:
    assert len({kind.uri for kind in KINDS.values()}) == len(KINDS)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_comes_back_from_its_problem_with_all_that_it_says(error: CicdError) -> None:
    document = json.loads(msgspec.json.encode(problem_of(error)))
    back = error_of(document)
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert said(back) == said(error)


def said(error: CicdError | None) -> dict[str, Any]:
    """The attributes of an error; the value that was refused may come back as its text."""
    return {name: each for name, each in vars(error).items() if name != "value"}


def test_a_problem_has_the_members_of_rfc_9457() -> None:
    document = problem_of(errors.InvalidInput("limit", 0, "give an integer from 1 to 500"))
    assert document == {
        "type": "urn:cicd-core:problem:invalid-input",
        "title": "A field of the request is invalid",
        "status": 422,
        "detail": "limit: 0 was refused: give an integer from 1 to 500",
        "field": "limit",
        "value": 0,
        "reason": "give an integer from 1 to 500",
    }


def test_an_error_of_a_class_that_is_not_ours_is_what_it_derives_from() -> None:
    class Odd(errors.LeaseLost):
        pass

    assert kind_of(Odd("j-1", 1, "why")).status == HTTPStatus.CONFLICT
    assert kind_of(Odd("j-1", 1, "why")).slug == "lease-lost"


@pytest.mark.parametrize("document", [None, [], {}, {"type": "about:blank"}, "no"])
def test_what_is_no_problem_of_ours_is_no_error_of_ours(document: object) -> None:
    assert error_of(document) is None
