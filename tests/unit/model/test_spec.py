"""What a caller may ask for: every field is checked before anything is written."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from attrs import evolve

from cicd_core.errors import InvalidInput, TooLarge
from cicd_core.model.checks import MAX_BODY_BYTES
from cicd_core.model.git import GitContext
from cicd_core.model.job import Delivery, Priority, RetryPolicy, Verdict
from cicd_core.model.spec import MAX_TIMEOUT, JobSpec, check_retry, checked, placed

SPEC = JobSpec(job_type="build")
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
NAIVE = NOON.replace(tzinfo=None)
#: A lone surrogate, written so that the source itself stays plain text.
LONE = chr(0xD800)


def nested(depth: int) -> dict[str, Any]:
    payload: dict[str, Any] = {}
    for _ in range(depth):
        payload = {"in": payload}
    return payload


def test_a_spec_that_says_the_type_alone_is_right() -> None:
    assert checked(SPEC) == SPEC


def test_names_are_sorted_and_instants_are_in_utc() -> None:
    kept = checked(
        evolve(
            SPEC,
            labels=("linux", "gpu", "linux"),
            tags=("b", "a"),
            metadata={"z": "1", "a": "2"},
            run_at=NOON.astimezone(timezone(timedelta(hours=9))),
            deadline_at=NOON + timedelta(hours=1),
        )
    )
    assert (kept.labels, kept.tags) == (("gpu", "linux"), ("a", "b"))
    assert list(kept.metadata) == ["a", "z"]
    assert kept.run_at is not None
    assert (kept.run_at, kept.run_at.tzinfo, kept.deadline_at) == (
        NOON,
        UTC,
        NOON + timedelta(hours=1),
    )


@pytest.mark.parametrize("late", [timedelta(0), timedelta(hours=1)])
def test_a_deadline_before_the_job_may_start_is_refused(late: timedelta) -> None:
    run_at = NOON.astimezone(timezone(timedelta(hours=9))) + late
    with pytest.raises(InvalidInput, match="after run_at") as refused:
        checked(evolve(SPEC, run_at=run_at, deadline_at=NOON))
    assert refused.value.field == "deadline_at"


def test_everything_that_is_asked_for_is_kept() -> None:
    spec = JobSpec(
        job_type="deploy",
        payload={"deep": {"list": [1, 2.5, None, True, "x"]}},
        pool_name="fast",
        priority=Priority.CRITICAL,
        labels=("linux",),
        git=GitContext(repo="/srv/shop.git", ref="main", commit_sha="a" * 40),
        tags=("nightly",),
        metadata={"team": "shop"},
        delivery=Delivery.AT_MOST_ONCE,
        retry=RetryPolicy(max_attempts=7, retry_on=(Verdict.FAILED, Verdict.TIMEOUT)),
        timeout_seconds=60.0,
        run_at=NOON,
        deadline_at=NOON + timedelta(hours=1),
        idempotency_key="push 17",
    )
    assert checked(spec) == spec


def test_a_payload_is_kept_as_json_has_it_and_apart_from_the_callers() -> None:
    given: dict[str, Any] = {"pair": (1, 2), "ports": {80: "http"}}
    kept = checked(evolve(SPEC, payload=given)).payload
    assert kept == {"pair": [1, 2], "ports": {"80": "http"}}
    given["pair"] = "changed"
    assert kept["pair"] == [1, 2]


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("job_type", "", "job_type"),
        ("job_type", "two words", "job_type"),
        ("job_type", None, "job_type"),
        ("pool_name", "pool one", "pool_name"),
        ("pool_name", "x" * 129, "pool_name"),
        ("priority", 1, "priority"),
        ("priority", "urgent", "priority"),
        ("labels", ("linux", "g p u"), "labels[1]"),
        ("labels", "linux", "labels"),
        ("labels", None, "labels"),
        ("tags", ("",), "tags[0]"),
        ("tags", 3, "tags"),
        ("git", GitContext(repo="nul\0"), "git.repo"),
        ("git", GitContext(repo="/r", author=LONE), "git.author"),
        ("metadata", {"a": 1}, "metadata['a']"),
        ("metadata", {1: "a"}, "metadata"),
        ("metadata", ["a"], "metadata"),
        ("metadata", None, "metadata"),
        ("delivery", "twice", "delivery"),
        ("retry", None, "retry"),
        ("timeout_seconds", -1, "timeout_seconds"),
        ("timeout_seconds", 0, "timeout_seconds"),
        ("timeout_seconds", MAX_TIMEOUT + 1, "timeout_seconds"),
        ("timeout_seconds", math.nan, "timeout_seconds"),
        ("timeout_seconds", "60", "timeout_seconds"),
        ("run_at", NAIVE, "run_at"),
        ("run_at", "tomorrow", "run_at"),
        ("deadline_at", NAIVE, "deadline_at"),
        ("deadline_at", datetime.max.replace(tzinfo=UTC), "deadline_at"),
        ("idempotency_key", "", "idempotency_key"),
        ("idempotency_key", "nul\0", "idempotency_key"),
        ("idempotency_key", 7, "idempotency_key"),
    ],
)
def test_a_wrong_field_is_refused_by_its_name(field: str, value: Any, named: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        checked(evolve(SPEC, **{field: value}))
    assert refused.value.field == named


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(["a", "list"], id="a list"),
        pytest.param("text", id="a text"),
        pytest.param(None, id="nothing"),
        pytest.param({1: "a"}, id="a key that is no text"),
        pytest.param({"at": NOON}, id="a datetime"),
        pytest.param({"x": math.nan}, id="not a number"),
        pytest.param({"x": math.inf}, id="infinity"),
        pytest.param({"x": LONE}, id="a lone surrogate"),
        pytest.param({"x": {1, 2}}, id="a set"),
        pytest.param({"x": 10**5000}, id="more digits than Python writes"),
        pytest.param({"x": {(1, 2): 3}}, id="a key that is a tuple, deeper"),
        pytest.param(nested(100_000), id="deeper than any stack"),
    ],
)
def test_a_payload_that_is_no_json_object_is_refused(payload: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        checked(evolve(SPEC, payload=payload))
    assert refused.value.field == "payload"


def test_a_payload_of_256_kib_is_taken_and_one_byte_more_is_too_large() -> None:
    frame = len('{"x":""}')
    full = {"x": "x" * (MAX_BODY_BYTES - frame)}
    assert checked(evolve(SPEC, payload=full)).payload == full
    with pytest.raises(TooLarge) as refused:
        checked(evolve(SPEC, payload={"x": full["x"] + "x"}))
    error = refused.value
    assert (error.field, error.size, error.limit) == ("payload", MAX_BODY_BYTES + 1, MAX_BODY_BYTES)


def test_bytes_count_not_characters() -> None:
    with pytest.raises(TooLarge):
        checked(evolve(SPEC, payload={"x": "ü" * (MAX_BODY_BYTES // 2)}))


@pytest.mark.parametrize(
    "texts",
    [
        {"metadata": {"note": "x" * 1000}},
        {"git": GitContext(repo="/r", commit_message="x" * 1000)},
        {"metadata": {"note": "\x1b" * 100}},
        {"git": GitContext(repo="/r", commit_message="\x1b" * 100)},
        {"tags": tuple(f"{number:0120d}" for number in range(5))},
        {"labels": tuple(f"{number:0120d}" for number in range(5))},
    ],
)
def test_the_texts_beside_the_payload_count_too(texts: dict[str, Any]) -> None:
    almost = evolve(SPEC, payload={"x": "x" * (MAX_BODY_BYTES - 500)})
    checked(almost)
    with pytest.raises(TooLarge):
        checked(evolve(almost, **texts))


def test_a_key_over_256_characters_is_too_large() -> None:
    checked(evolve(SPEC, idempotency_key="k" * 256))
    with pytest.raises(TooLarge) as refused:
        checked(evolve(SPEC, idempotency_key="k" * 257))
    assert refused.value.field == "idempotency_key"


@pytest.mark.parametrize("verdict", [Verdict.SUCCESS, Verdict.CANCELLED, "flaky"])
def test_a_verdict_that_ends_a_job_is_never_tried_again(verdict: Any) -> None:
    with pytest.raises(InvalidInput, match="give one of failed, timeout, error") as refused:
        check_retry(RetryPolicy(retry_on=(Verdict.ERROR, verdict)))
    assert refused.value.field == "retry.retry_on"


def test_a_policy_may_try_nothing_again() -> None:
    assert check_retry(RetryPolicy(retry_on=(), max_attempts=1)).retry_on == ()


def test_a_policy_is_kept_in_the_types_that_it_is_read_in() -> None:
    retry_on: Any = ["timeout"]
    kept = check_retry(
        RetryPolicy(retry_on=retry_on, backoff_base=1, backoff_factor=3, backoff_max=9, jitter=1)
    )
    assert kept.retry_on == (Verdict.TIMEOUT,)
    assert type(kept.retry_on[0]) is Verdict
    numbers = (kept.backoff_base, kept.backoff_factor, kept.backoff_max, kept.jitter)
    assert numbers == (1.0, 3.0, 9.0, 1.0)
    assert {type(number) for number in numbers} == {float}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_attempts", 0),
        ("max_attempts", 101),
        ("max_attempts", 2.5),
        ("max_attempts", True),
        ("backoff_base", -1),
        ("backoff_base", math.inf),
        ("backoff_base", 10**400),
        ("backoff_factor", 0.5),
        ("backoff_factor", 101),
        ("backoff_factor", math.nan),
        ("backoff_factor", "2"),
        ("backoff_max", -1),
        ("backoff_max", MAX_TIMEOUT + 1),
        ("jitter", -0.1),
        ("jitter", 1.1),
        ("jitter", None),
    ],
)
def test_a_policy_out_of_its_ranges_is_refused_by_the_field(field: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        checked(evolve(SPEC, retry=RetryPolicy(**{field: value})))
    assert refused.value.field == f"retry.{field}"


def test_relative_times_become_instants_when_the_job_is_made() -> None:
    spec = checked(evolve(SPEC, delay_seconds=30, deadline_seconds=90.5))
    made = placed(spec, NOON)
    assert made.run_at == NOON + timedelta(seconds=30)
    assert made.deadline_at == NOON + timedelta(seconds=90.5)
    assert (made.delay_seconds, made.deadline_seconds) == (None, None)
    assert placed(checked(SPEC), NOON) == checked(SPEC)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"delay_seconds": -1}, "delay_seconds"),
        ({"delay_seconds": "30"}, "delay_seconds"),
        ({"deadline_seconds": float("nan")}, "deadline_seconds"),
        ({"delay_seconds": 1, "run_at": NOON}, "delay_seconds"),
        ({"deadline_seconds": 1, "deadline_at": NOON}, "deadline_seconds"),
        ({"delay_seconds": 5, "deadline_seconds": 5}, "deadline_seconds"),
    ],
)
def test_a_relative_time_that_is_wrong_is_refused_by_name(
    fields: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        checked(evolve(SPEC, **fields))
    assert refused.value.field == field


def test_a_deadline_before_the_delay_is_over_is_refused_when_the_job_is_made() -> None:
    spec = checked(evolve(SPEC, delay_seconds=60, deadline_at=NOON + timedelta(seconds=59)))
    with pytest.raises(InvalidInput, match="could never start"):
        placed(spec, NOON)


def test_a_relative_time_beyond_all_calendars_is_refused() -> None:
    with pytest.raises(InvalidInput, match="9999"):
        placed(checked(evolve(SPEC, delay_seconds=86400)), datetime.max.replace(tzinfo=UTC))
