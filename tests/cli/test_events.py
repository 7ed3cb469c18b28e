"""The log: once, from a cursor, and as it grows."""

from __future__ import annotations

import json
import signal
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.person import Person


def types_of(page: dict[str, Any]) -> list[str]:
    return [each["type"] for each in page["items"]]


def test_the_log_tells_each_event_once_in_order(person: Person) -> None:
    job_id = person.enqueues("build")
    person.types("cancel", job_id)
    page = person.asks("events")
    assert types_of(page) == ["job.created", "job.enqueued", "job.cancelled"]
    assert [each["subject"] for each in page["items"]] == [["jobs", job_id]] * 3
    assert len({each["event_id"] for each in page["items"]}) == 3
    assert page["torn"] is False


def test_a_cursor_goes_on_where_the_last_page_ended(person: Person) -> None:
    for _ in range(3):
        person.enqueues("build")
    first = person.asks("events", "--limit", "4")
    rest = person.asks("events", "--cursor", first["cursor"])
    assert types_of(first) + types_of(rest) == ["job.created", "job.enqueued"] * 3
    assert person.asks("events", "--cursor", rest["cursor"])["items"] == []


def test_a_glob_chooses_types_and_the_limit_counts_those(person: Person) -> None:
    for _ in range(3):
        person.types("cancel", person.enqueues("build"))
    assert types_of(person.asks("events", "--type", "*.cancelled")) == ["job.cancelled"] * 3
    two = person.asks("events", "--type", "job.cancelled", "--limit", "2")
    more = person.asks("events", "--type", "job.cancelled", "--cursor", two["cursor"])
    assert (len(two["items"]), len(more["items"])) == (2, 1)


def test_new_leaves_out_what_was(person: Person) -> None:
    person.enqueues("build")
    page = person.asks("events", "--new")
    assert page["items"] == []
    job_id = person.enqueues("build")
    later = person.asks("events", "--cursor", page["cursor"])
    assert {each["subject"][1] for each in later["items"]} == {job_id}


def test_people_get_a_line_an_event(person: Person) -> None:
    job_id = person.enqueues("build")
    person.types("cancel", job_id, "--reason", "a [b]mistake[/b]")
    lines = person.types("events").out.splitlines()
    assert len(lines) == 3
    assert "job.cancelled" in lines[-1]
    assert "a [b]mistake[/b], by ada" in lines[-1]


def test_a_cursor_that_is_none_of_the_stores_is_refused(person: Person) -> None:
    person.enqueues("build")
    assert person.types("events", "--cursor", "nonsense").code == 2
    assert person.types("events", "--cursor", "x", "--new").code == 2


def test_a_follower_hears_of_what_happens_elsewhere(person: Person) -> None:
    first = person.enqueues("build")
    follower = person.starts("events", "--follow", "--json", "--type", "job.enqueued")
    assert follower.stdout is not None
    told = json.loads(follower.stdout.readline())
    assert told["subject"] == ["jobs", first]
    assert isinstance(told["cursor"], str)
    second = person.enqueues("build")
    assert json.loads(follower.stdout.readline())["subject"] == ["jobs", second]
    follower.send_signal(signal.SIGINT)
    ended = person.awaits(follower)
    assert (ended.code, ended.err) == (130, "")


def test_a_follower_with_a_limit_ends_by_itself(person: Person) -> None:
    follower = person.starts("events", "--follow", "--limit", "3")
    person.enqueues("build")
    person.enqueues("build")
    answer = person.awaits(follower)
    assert (answer.code, len(answer.out.splitlines())) == (0, 3)


def test_an_event_that_can_t_be_read_is_shown_as_what_it_is(person: Person, tmp_path: Path) -> None:
    job_id = person.enqueues("build")
    person.types("cancel", job_id)
    with closing(sqlite3.connect(tmp_path / "ci.db")) as connection, connection:
        connection.execute(
            "UPDATE log SET body = ? WHERE instr(body, ?)", (b"not JSON", b"job.enqueued")
        )
    page = person.asks("events", "--limit", "1")
    rest = person.asks("events", "--cursor", page["cursor"], "--type", "*.cancelled")
    broken, cancelled = rest["items"]
    assert (broken["subject"], cancelled["type"]) == (["jobs", job_id], "job.cancelled")
    assert "type" not in broken
    assert f"can't be read: {broken['event_id']}" in person.types("events").out


def test_a_record_that_can_t_be_read_is_named_below_the_list(
    person: Person, tmp_path: Path
) -> None:
    broken, fine = person.enqueues("build"), person.enqueues("test")
    with closing(sqlite3.connect(tmp_path / "ci.db")) as connection, connection:
        connection.execute("UPDATE c_jobs SET body = ? WHERE key = ?", (b"not JSON", broken))
    page = person.asks("jobs")
    assert [each["job_id"] for each in page["items"]] == [fine]
    assert page["unreadable"] == [broken]
    assert f"can't be read: {broken}" in person.types("jobs").out
