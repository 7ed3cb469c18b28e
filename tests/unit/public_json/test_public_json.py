"""Public values as JSON, and back."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta, timezone
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

import cicd_core
from cicd_core import (
    ClaimedJob,
    ClaimRef,
    Deployment,
    Event,
    EventPage,
    InvalidInput,
    IssuedSession,
    Job,
    JobSpec,
    LeaseToken,
    Outcome,
    Page,
    Priority,
    QueueStatus,
    Reason,
    RetryPolicy,
    UnreadableEvent,
    Verdict,
    from_json,
    json_schema,
    to_json,
)
from cicd_core.model.job import Attempt, JobState
from cicd_core.model.session import SessionSpec
from cicd_core.public_json.members import (
    HIDDEN,
    UNREADABLE,
    WRITTEN_BY_CALLERS,
    members_of,
    public_name,
)
from cicd_core.public_json.writing import write
from tests.property.store.entities import of_type
from tests.unit.public_json.samples import CANARY, NOON, SECRETS, VALUES, some

#: The classes whose values can be read back.
READABLE = [kind for kind in VALUES if kind not in UNREADABLE]


def made_job() -> Job:
    attempt = Attempt(
        number=1, agent_id="a1", fence=7, claim_id=CANARY, claimed_at=NOON, verdict=Verdict.FAILED
    )
    return Job(
        job_id="j1",
        job_type="build",
        state=JobState.RUNNING,
        created_at=NOON,
        labels=("linux",),
        fence=7,
        claim_id=CANARY,
        request_hash="hash",
        attempts=(attempt,),
    )


def validate(data: object, schema: dict[str, Any]) -> None:
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(data)


def test_instants_are_iso_8601_in_utc_to_the_microsecond() -> None:
    east = timezone(timedelta(hours=2))
    assert to_json(datetime(2030, 6, 1, 14, tzinfo=east)) == "2030-06-01T12:00:00.000000Z"


def test_an_instant_beyond_the_years_of_utc_is_refused_by_its_field() -> None:
    with pytest.raises(InvalidInput, match=r"run_at: .* years 1 to 9999"):
        from_json(JobSpec, {"job_type": "build", "run_at": "0001-01-01T00:00:00+14:00"})
    east = timezone(timedelta(hours=14))
    with pytest.raises(InvalidInput, match="years 1 to 9999"):
        to_json(datetime(1, 1, 1, tzinfo=east))


def test_enums_are_their_values_and_a_priority_is_its_name() -> None:
    assert to_json([Verdict.FAILED, Priority.HIGH]) == ["failed", "high"]
    told = to_json({QueueStatus.DEAD_LETTERED: 1, Priority.LOW: 2})
    assert told == {"dead_lettered": 1, "low": 2}


@pytest.mark.parametrize("value", [None, True, 0, 1.5, "x", [], {}])
def test_json_stays_as_it_is(value: object) -> None:
    assert to_json(value) == value


def test_a_value_gives_its_fields_and_its_facts() -> None:
    told = to_json(made_job())
    assert told["state"] == "running"
    assert told["status"] == "running"
    assert told["queue_status"] == "running"
    assert told["is_final"] is False
    assert told["labels"] == ["linux"]
    assert told["deadline_at"] is None
    assert told["attempts"][0]["verdict"] == "failed"


@pytest.mark.parametrize("kind", VALUES)
def test_every_field_that_is_no_secret_is_written(kind: Any) -> None:
    assert {each.name for each in attrs.fields(kind)} - HIDDEN <= to_json(some(kind)).keys()


def held(value: Any) -> str:
    """Return all that a value holds, also what its repr leaves out."""
    return str(attrs.asdict(value))


@pytest.mark.parametrize("kind", VALUES)
def test_no_repr_shows_what_gives_power(kind: Any) -> None:
    assert CANARY not in repr(some(kind))


@pytest.mark.parametrize("kind", VALUES)
def test_no_public_value_tells_a_claim_id_or_a_token(kind: Any) -> None:
    made = some(kind)
    names = {each.name for each in attrs.fields(kind)}
    if names & SECRETS:  # or this would find nothing
        assert CANARY in held(made)
    assert CANARY not in json.dumps(to_json(made))


@pytest.mark.parametrize("kind", VALUES)
def test_every_field_that_sounds_like_a_secret_is_hidden(kind: Any) -> None:
    words = ("token", "claim_id", "secret", "password", "incarnation")
    telling = {each.name for each in members_of(kind) if any(word in each.name for word in words)}
    shown = {each.name for each in members_of(kind) if not each.hidden}
    assert telling & shown == set()


def test_what_a_payload_says_is_the_callers_own_and_stays() -> None:
    spec = JobSpec(job_type="build", payload={"token": "t", "claim_id": "c"})
    assert to_json(spec)["payload"] == {"token": "t", "claim_id": "c"}


@pytest.mark.parametrize("value", [1j, b"x", object(), [1j], {"a": 1j}])
def test_what_is_no_public_value_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match="value"):
        to_json(value)


def test_an_error_may_tell_what_json_does_not_know_as_python_shows_it() -> None:
    assert write([1j], repr) == ["1j"]


@pytest.mark.parametrize("kind", READABLE)
def test_a_value_comes_back_without_its_secrets(kind: Any) -> None:
    made = some(kind)
    data = json.loads(json.dumps(to_json(made)))
    back = from_json(Page[Reason] if kind is Page else kind, data)
    assert type(back) is kind
    assert to_json(back) == data
    assert CANARY not in held(back)
    if CANARY not in held(made) and kind is not Job:
        assert back == made


@given(st.data())
def test_any_job_comes_back_but_for_its_secrets(data: st.DataObject) -> None:
    job = data.draw(of_type(Job))
    bare = attrs.evolve(
        job,
        claim_id=None,
        request_hash=None,
        attempts=tuple(attrs.evolve(each, claim_id="") for each in job.attempts),
    )
    assert from_json(Job, json.loads(json.dumps(to_json(job)))) == bare


@pytest.mark.parametrize("kind", sorted(UNREADABLE, key=public_name))
def test_what_is_nothing_without_its_secret_is_not_read_back(kind: Any) -> None:
    with pytest.raises(InvalidInput, match="token"):
        from_json(kind, to_json(some(kind)))


def test_a_page_is_read_with_the_class_of_its_items() -> None:
    page = Page(items=(Outcome.exited(3),), cursor="c")
    assert from_json(Page[Outcome], to_json(page)) == page


def test_a_page_of_events_keeps_what_could_not_be_read_apart() -> None:
    event = Event(subject=("jobs", "j"), version=1, ordinal=0, type="job.created", at=NOON, data={})
    broken = UnreadableEvent(subject=("jobs", "k"), version=2, ordinal=0, reason="no JSON")
    page = EventPage((event, broken), "c", truncated=False)
    told = to_json(page)
    assert set(told) == {"entries", "cursor", "truncated"}
    assert from_json(EventPage, told) == page


def test_what_is_left_out_has_its_default() -> None:
    assert from_json(JobSpec, {"job_type": "build"}) == JobSpec(job_type="build")
    retry = from_json(JobSpec, {"job_type": "build", "retry": {"max_attempts": 5}}).retry
    assert retry == RetryPolicy(max_attempts=5)


def test_a_priority_is_taken_by_its_name_in_either_case() -> None:
    for text in ("high", "HIGH"):
        spec = from_json(JobSpec, {"job_type": "build", "priority": text})
        assert spec.priority is Priority.HIGH


@pytest.mark.parametrize(
    ("kind", "data", "field"),
    [
        (JobSpec, [], "data"),
        (JobSpec, {}, "job_type"),
        (JobSpec, {"job_type": 1}, "job_type"),
        (JobSpec, {"job_type": "b", "pool": "x"}, "pool"),
        (JobSpec, {"job_type": "b", "labels": "linux"}, "labels"),
        (JobSpec, {"job_type": "b", "labels": ["x", 1]}, "labels[1]"),
        (JobSpec, {"job_type": "b", "metadata": {"a": 1}}, "metadata.a"),
        (JobSpec, {"job_type": "b", "metadata": []}, "metadata"),
        (JobSpec, {"job_type": "b", "retry": {"max_attempts": "3"}}, "retry.max_attempts"),
        (JobSpec, {"job_type": "b", "retry": {"max_attempts": True}}, "retry.max_attempts"),
        (JobSpec, {"job_type": "b", "retry": {"tries": 3}}, "retry.tries"),
        (JobSpec, {"job_type": "b", "retry": {"retry_on": ["never"]}}, "retry.retry_on[0]"),
        (JobSpec, {"job_type": "b", "priority": 1}, "priority"),
        (JobSpec, {"job_type": "b", "timeout_seconds": "9"}, "timeout_seconds"),
        (JobSpec, {"job_type": "b", "timeout_seconds": 10**400}, "timeout_seconds"),
        (JobSpec, {"job_type": "b", "run_at": "2030-06-01T12:00:00"}, "run_at"),
        (JobSpec, {"job_type": "b", "run_at": "soon"}, "run_at"),
        (JobSpec, {"job_type": "b", "run_at": 5}, "run_at"),
        (JobSpec, {"job_type": "b", "git": {"repo": "r", "lfs": "yes"}}, "git.lfs"),
        (JobSpec, {"job_type": "b", "delivery": "once"}, "delivery"),
        (Event, {"subject": ["jobs"]}, "subject"),
        (Outcome, {"verdict": "good"}, "verdict"),
    ],
)
def test_a_refusal_names_the_field(kind: Any, data: object, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        from_json(kind, data)
    assert refused.value.field == field


def test_a_refused_choice_quotes_the_value_and_the_legal_texts() -> None:
    with pytest.raises(InvalidInput) as refused:
        from_json(JobSpec, {"job_type": "b", "priority": "urgent"})
    told = "priority: 'urgent' was refused: give one of critical, high, normal, low"
    assert str(refused.value) == told


def test_what_a_newer_version_adds_to_an_answer_is_ignored() -> None:
    told = to_json(made_job()) | {"carbon_grams": 3}
    assert from_json(Job, told).job_id == "j1"


@pytest.mark.parametrize("kind", VALUES)
def test_every_value_is_valid_by_its_schema(kind: Any) -> None:
    schema = json_schema(kind)
    Draft202012Validator.check_schema(schema)
    validate(to_json(some(kind)), schema)


@pytest.mark.parametrize("kind", VALUES)
def test_a_schema_names_all_that_is_written(kind: Any) -> None:
    shown = json_schema(kind)["$defs"][public_name(kind)]
    assert set(shown["properties"]) == set(to_json(some(kind)))


@pytest.mark.parametrize("kind", VALUES)
def test_a_schema_is_called_as_the_value_is(kind: Any) -> None:
    assert getattr(cicd_core, public_name(kind)) is kind


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (Job, {"state": "asleep"}),
        (Job, {"priority": 1}),
        (Job, {"created_at": None}),
        (Job, {"labels": "linux"}),
        (Job, {"attempts": [{}]}),
        (Deployment, {"metadata": {"a": 1}}),
        (Reason, {"code": "nothing"}),
        (JobSpec, {"pool": "x"}),
    ],
)
def test_a_schema_refuses_what_is_wrong(kind: Any, change: dict[str, object]) -> None:
    validator = Draft202012Validator(json_schema(kind))
    assert validator.is_valid(to_json(some(kind)))
    assert not validator.is_valid(to_json(some(kind)) | change)


def test_a_schema_of_what_callers_write_requires_what_has_no_default() -> None:
    schema = json_schema(JobSpec)
    validate({"job_type": "build", "retry": {"max_attempts": 2}}, schema)
    assert schema["$defs"]["JobSpec"]["required"] == ["job_type"]


def test_specs_are_what_callers_write() -> None:
    assert {kind for kind in VALUES if kind.__name__.endswith("Spec")} <= WRITTEN_BY_CALLERS
    assert SessionSpec in WRITTEN_BY_CALLERS


def test_the_secrets_of_claims_and_sessions_stay_out_of_what_is_left() -> None:
    token = LeaseToken(fence=7, claim_id=CANARY)
    assert to_json(token) == {"fence": 7}
    claim = to_json(ClaimRef(job_id="j", token=token))
    assert claim == {"job_id": "j", "lease_seconds": None, "version": None, "agent_id": None}
    assert "token" not in to_json(some(IssuedSession))
    assert {"token", "basis"} & to_json(some(ClaimedJob)).keys() == set()


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_cannot_say_is_refused(number: float) -> None:
    with pytest.raises(InvalidInput, match="give a value"):
        to_json({"a": [number]})


def test_the_name_of_a_class_is_no_class() -> None:
    cls: Any = "Job"
    with pytest.raises(InvalidInput, match="cls: 'Job' was refused: give a class"):
        from_json(cls, {})
    with pytest.raises(InvalidInput, match="cls: 'Job' was refused: give a class"):
        json_schema(cls)
