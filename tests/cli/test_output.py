"""Values as JSON, and as cells of a table."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import attrs
import pytest

from cicd_core.cli.output import plain
from cicd_core.cli.screen import span, text
from cicd_core.model.job import Attempt, Job, JobState, Priority, QueueStatus, Verdict

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)


def made_job() -> Job:
    attempt = Attempt(
        number=1, agent_id="a1", fence=7, claim_id="secret", claimed_at=NOON, verdict=Verdict.FAILED
    )
    return Job(
        job_id="j1",
        job_type="build",
        state=JobState.RUNNING,
        created_at=NOON,
        labels=("linux",),
        fence=7,
        claim_id="secret",
        request_hash="hash",
        attempts=(attempt,),
    )


def test_instants_are_iso_8601_in_utc_to_the_microsecond() -> None:
    east = timezone(timedelta(hours=2))
    assert plain(datetime(2030, 6, 1, 14, tzinfo=east)) == "2030-06-01T12:00:00.000000Z"


def test_enums_are_their_values_and_a_priority_is_its_name() -> None:
    assert plain([Verdict.FAILED, Priority.HIGH]) == ["failed", "HIGH"]
    assert plain({QueueStatus.DEAD_LETTERED: 1, Priority.LOW: 2}) == {"dead_lettered": 1, "LOW": 2}


@pytest.mark.parametrize("value", [None, True, 0, 1.5, "x", [], {}])
def test_what_is_json_already_stays_as_it_is(value: object) -> None:
    assert plain(value) == value


def test_a_value_gives_its_fields_and_its_properties() -> None:
    told = plain(made_job())
    assert told["state"] == "running"
    assert told["status"] == "running"
    assert told["queue_status"] == "running"
    assert told["is_final"] is False
    assert told["labels"] == ["linux"]
    assert told["deadline_at"] is None
    assert told["attempts"][0]["verdict"] == "failed"


def test_every_field_is_there_whatever_its_value() -> None:
    hidden = {"claim_id", "request_hash"}
    expected = {each.name for each in attrs.fields(Job)} - hidden
    assert expected <= plain(made_job()).keys()


def keys_in(value: Any) -> set[str]:
    if isinstance(value, list):
        return {key for each in value for key in keys_in(each)}
    if isinstance(value, dict):
        return set(value) | {key for each in value.values() for key in keys_in(each)}
    return set()


def test_what_a_lease_is_held_by_is_never_told() -> None:
    assert not keys_in(plain(made_job())) & {"claim_id", "token", "incarnation"}
    assert "secret" not in str(plain(made_job()))


def test_what_json_does_not_know_is_told_as_python_shows_it() -> None:
    assert plain(1j) == "1j"


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (None, ""),
        (-1, "0ms"),
        (0.0421, "42ms"),
        (4.23, "4.2s"),
        (59.9, "59s"),
        (60, "1m"),
        (185, "3m 5s"),
        (7200, "2h"),
        (200_000, "2d 7h"),
    ],
)
def test_a_duration_has_at_most_two_units(seconds: float | None, expected: str) -> None:
    assert span(seconds) == expected


def test_a_terminal_does_not_obey_what_a_job_says() -> None:
    shown = text("\x1b]0;owned\x07 [red]bold[/red]\r\x9b2J").plain
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in shown)
    assert "[red]bold[/red]" in shown
