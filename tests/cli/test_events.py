"""The log: once, from a cursor, and as it grows."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import anyio

from cicd_core import AgentSpec, ControlPlane, Outcome
from cicd_core.persistence.event_bodies import TYPE_IDS

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
    assert page["truncated"] is False


def test_cursor_goes_on_where_the_last_page_ended(person: Person) -> None:
    for _ in range(3):
        person.enqueues("build")
    first = person.asks("events", "--oldest", "--limit", "4")
    rest = person.asks("events", "--cursor", first["cursor"])
    assert types_of(first) + types_of(rest) == ["job.created", "job.enqueued"] * 3
    assert (first["more"], rest["more"]) == (True, False)
    assert person.asks("events", "--cursor", rest["cursor"])["items"] == []


def test_newest_are_shown_and_stderr_says_that_there_are_older_ones(person: Person) -> None:
    ids = [person.enqueues("build") for _ in range(3)]
    newest = person.types("events", "--tail", "2")
    assert [line.split()[2] for line in newest.out.splitlines()] == [ids[-1]] * 2
    assert newest.err == (
        "older events are not shown: --tail N shows more, --oldest starts with the first\n"
    )
    page = person.asks("events", "-n", "5")
    assert (len(page["items"]), page["more"]) == (5, True)
    assert page["items"][-1]["subject"] == ["jobs", ids[-1]]
    assert person.asks("events", "--cursor", page["cursor"])["items"] == []
    assert person.types("events", "--tail", "6").err == ""
    page = person.asks("events")
    assert (len(page["items"]), page["more"]) == (6, False)


def test_line_on_stderr_says_how_to_go_on(person: Person) -> None:
    for _ in range(2):
        person.enqueues("build")
    first = person.types("events", "--oldest", "--limit", "3")
    assert len(first.out.splitlines()) == 3
    rest = person.types("events", *first.err.removeprefix("more: ").split())
    assert (len(rest.out.splitlines()), rest.err) == (1, "")


def test_events_of_one_job_are_chosen(person: Person) -> None:
    other, mine = person.enqueues("build"), person.enqueues("build")
    person.types("cancel", mine)
    person.types("cancel", other)
    chosen = person.asks("events", "--job", mine)
    assert types_of(chosen) == ["job.created", "job.enqueued", "job.cancelled"]
    assert {each["subject"][1] for each in chosen["items"]} == {mine}
    followed = person.types("events", "--job", mine, "--follow")  # and it ends with the job
    assert (followed.code, len(followed.out.splitlines())) == (0, 3)
    assert person.types("events", "--job", "nobody").code == 3
    none = person.types("events", "--job", mine, "--type", "deployment.*")
    assert (none.code, none.out) == (0, "no events\n")


def test_a_glob_chooses_types_and_the_limit_counts_those(person: Person) -> None:
    for _ in range(3):
        person.types("cancel", person.enqueues("build"))
    assert types_of(person.asks("events", "--type", "*.cancelled")) == ["job.cancelled"] * 3
    two = person.asks("events", "--type", "job.cancelled", "--oldest", "--limit", "2")
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


def test_two_places_to_begin_and_a_limit_of_the_newest_are_refused(person: Person) -> None:
    for words in (["--new", "--tail", "3"], ["--oldest", "--tail", "3"], ["--limit", "3"]):
        refused = person.types("events", *words, "--json")
        assert (refused.code, refused.error["error"]) == (2, "InvalidInput")


def test_values_of_events_are_shown_without_python(person: Person) -> None:
    person.types("pools", "put", "mac", "--max", "3")
    person.types("pools", "put", "mac", "--max", "4", "--warm", "1")
    person.types("reprioritise", person.enqueues("build"), "low")
    person.types("keys", "create", "ci", "--scope", "jobs:read", "--scope", "events:read")
    *_, changed, _, _, given, made = person.types("events").out.splitlines()
    assert changed.endswith("by ada, min_agents 0, max_agents 4, changed max_agents, warm_agents")
    assert "scopes events:read, jobs:read" in made
    assert "normal to low, by ada" in given


def test_exit_code_that_there_is_none_of_is_left_out(person: Person) -> None:
    async def run() -> None:
        async with ControlPlane.open(os.environ["CICD_STORE"], maintenance=False) as plane:
            await plane.agents.register(AgentSpec(agent_id="a1"))
            (claimed,) = await plane.queue.claim(agent_id="a1", start=True)
            await plane.queue.complete(claimed, Outcome.failed("broken"))

    person.enqueues("build")
    anyio.run(run)
    last = person.types("events", "--type", "job.failed").out.rstrip()
    assert last.endswith("broken, by a1")


def test_a_follower_of_a_job_that_has_ended_ends(person: Person) -> None:
    job_id = person.enqueues("build")
    person.types("cancel", job_id)
    follow = ("events", "--job", job_id, "--follow")
    assert person.types(*follow, "--new").out == ""
    assert person.types(*follow, "--type", "job.created").out.split()[1] == "job.created"
    assert len(person.types(*follow, "--oldest", "--json").out.splitlines()) == 3


def test_a_follower_of_an_unknown_job_is_refused(person: Person) -> None:
    refused = person.types("events", "--job", "typo", "--follow", "--json")
    assert (refused.code, refused.error["error"]) == (3, "NotFound")


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
        enqueued = f'["{TYPE_IDS["job.enqueued"]}",'.encode()
        damaged = connection.execute(
            "UPDATE log SET body = ? WHERE instr(body, ?) = 1", (b"not JSON", enqueued)
        )
        assert damaged.rowcount == 1
    page = person.asks("events", "--oldest", "--limit", "1")
    rest = person.asks("events", "--cursor", page["cursor"], "--type", "*.cancelled")
    broken, cancelled = rest["items"]
    assert (broken["subject"], cancelled["type"]) == (["jobs", job_id], "job.cancelled")
    assert "type" not in broken
    assert f"unreadable event: {broken['event_id']}" in person.types("events").out


def test_a_record_that_can_t_be_read_is_named_below_the_list(
    person: Person, tmp_path: Path
) -> None:
    broken, fine = person.enqueues("build"), person.enqueues("test")
    with closing(sqlite3.connect(tmp_path / "ci.db")) as connection, connection:
        connection.execute("UPDATE c_jobs SET body = ? WHERE key = ?", (b"not JSON", broken))
    page = person.asks("jobs")
    assert [each["job_id"] for each in page["items"]] == [fine]
    assert page["unreadable"] == [broken]
    assert f"unreadable, skipped: {broken}" in person.types("jobs").out
