"""Jobs: listed, looked at, cancelled, replayed, explained."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anyio
import pytest

from cicd_core import ControlPlane, JobSpec, Outcome, RetryPolicy

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.person import Person


def types_of(page: dict[str, list[dict[str, str]]]) -> list[str]:
    return [each["job_type"] for each in page["items"]]


@pytest.fixture
def dead_letter(person: Person, tmp_path: Path) -> str:
    """The id of a dead letter, which used its one attempt."""

    async def fail() -> str:
        url = f"sqlite:///{tmp_path}/ci.db"
        async with ControlPlane.open(url, maintenance=False) as plane:
            spec = JobSpec(job_type="deploy", retry=RetryPolicy(max_attempts=1))
            job = await plane.queue.enqueue(spec)
            (claimed,) = await plane.queue.claim(agent_id="a1", start=True)
            await plane.queue.complete(claimed, Outcome.error("the network broke"))
            return job.job_id

    return anyio.run(fail)


def test_jobs_are_listed_the_newest_first_by_their_filters(person: Person) -> None:
    for kind, pool in (("a", "linux"), ("b", "mac"), ("c", "linux")):
        person.types("enqueue", kind, "--pool", pool, "--tag", f"of-{kind}", "--meta", "x=1")
    cancelled = person.asks("jobs", "--pool", "mac")["items"][0]["job_id"]
    person.types("cancel", cancelled)
    assert types_of(person.asks("jobs")) == ["c", "b", "a"]
    assert types_of(person.asks("jobs", "--pool", "linux")) == ["c", "a"]
    assert types_of(person.asks("jobs", "--status", "Cancelled")) == ["b"]
    assert types_of(person.asks("jobs", "--type", "a")) == ["a"]
    assert types_of(person.asks("jobs", "--tag", "of-b")) == ["b"]
    assert types_of(person.asks("jobs", "--tag", "x=1", "--pool", "linux")) == ["c", "a"]
    assert types_of(person.asks("jobs", "--since", "1h")) == ["c", "b", "a"]
    assert types_of(person.asks("jobs", "--until", "1h")) == []
    assert types_of(person.asks("jobs", "--agent", "nobody")) == []


def test_a_cursor_leads_through_all_pages(person: Person) -> None:
    for kind in "abcde":
        person.types("enqueue", kind)
    seen: list[str] = []
    cursor: list[str] = []
    while True:
        page = person.asks("jobs", "--limit", "2", *cursor)
        seen += types_of(page)
        if page["cursor"] is None:
            break
        cursor = ["--cursor", page["cursor"]]
    assert seen == list("edcba")


def test_a_page_of_a_rare_pool_is_full_where_there_are_enough(
    person: Person, tmp_path: Path
) -> None:
    pools = ["rare" if number % 10 == 0 else "usual" for number in range(30)]
    lines = [json.dumps({"job_type": "build", "pool_name": pool}) for pool in pools]
    (tmp_path / "jobs.jsonl").write_text("\n".join(lines))
    person.types("enqueue", "--from", "jobs.jsonl")
    page = person.asks("jobs", "--pool", "rare", "--limit", "3")
    assert len(page["items"]) == 3


def test_the_list_says_how_to_go_on_also_after_a_duration(person: Person) -> None:
    for kind in "abc":
        person.types("enqueue", kind)
    told = person.types("jobs", "--since", "1h", "--limit", "2").out
    more = told.splitlines()[-1].removeprefix("more: ").split()
    assert types_of(person.asks("jobs", "--limit", "2", *more)) == ["a"]


def test_a_cursor_of_another_query_is_refused(person: Person) -> None:
    for kind in "abc":
        person.types("enqueue", kind)
    cursor = person.asks("jobs", "--limit", "2")["cursor"]
    refused = person.types("jobs", "--status", "queued", "--cursor", cursor)
    assert refused.code == 2
    assert "it belongs to another query" in refused.err


def test_a_job_is_shown_with_its_history(person: Person) -> None:
    job_id = person.enqueues("build", "--label", "gpu", "--payload", '{"x": "[bold]y[/bold]"}')
    told = person.types("job", job_id).out
    assert job_id in told
    assert '{"x": "[bold]y[/bold]"}' in told
    assert "history" in told


def test_a_dead_letter_is_shown_with_its_attempt(person: Person, dead_letter: str) -> None:
    told = person.types("job", dead_letter).out
    assert "dead letter" in told
    assert "the network broke" in told
    job = person.asks("job", dead_letter)
    assert (job["state"], job["status"], job["queue_status"]) == (
        "dead_lettered",
        "error",
        "dead_lettered",
    )


def test_statuses_that_are_advised_are_those_that_are_taken(person: Person) -> None:
    refused = person.types("jobs", "--status", "lost")
    advised = refused.err.strip().partition("give one of ")[2].split(", ")
    assert "dead_lettered" in advised
    for status in (*advised, "dead-lettered"):
        assert person.asks("jobs", "--status", status)["items"] == []
    filtered = person.types("jobs", "--status", "dead_lettered", "--pool", "x", "--json")
    assert filtered.error["field"] == "status"


def test_a_job_that_nobody_runs_is_cancelled(person: Person) -> None:
    job_id = person.enqueues("build")
    assert person.types("cancel", job_id, "--reason", "a mistake").out == f"{job_id} cancelled\n"
    job = person.asks("job", job_id)
    assert (job["state"], job["cancel_reason"]) == ("cancelled", "a mistake")
    assert (job["history"][-1]["actor"], job["history"][-1]["reason"]) == ("ada", "a mistake")


def test_one_refusal_keeps_no_other_job_from_its_cancel(person: Person) -> None:
    first, last = person.enqueues("build"), person.enqueues("build")
    answer = person.types("cancel", first, "nobody", last, "--json")
    assert answer.code == 3
    assert answer.error["key"] == "nobody"
    assert [each["job_id"] for each in answer.json["items"]] == [first, last]
    assert types_of(person.asks("jobs", "--status", "cancelled")) == ["build", "build"]


def test_a_dead_letter_is_replayed_with_more_attempts(person: Person, dead_letter: str) -> None:
    assert types_of(person.asks("jobs", "--dead")) == ["deploy"]
    told = person.types("replay", dead_letter, "--attempts", "4").out
    assert told == f"{dead_letter} queued again, with 4 more attempts\n"
    assert person.asks("jobs", "--dead")["items"] == []
    assert person.asks("job", dead_letter)["state"] == "queued"


def test_all_dead_letters_are_replayed_at_once(person: Person, dead_letter: str) -> None:
    (replayed,) = person.asks("replay", "--all")["items"]
    assert replayed["job_id"] == dead_letter
    assert person.types("replay", "--all").out == "there are no dead letters\n"


def test_replay_wants_ids_or_all_of_them(person: Person) -> None:
    assert person.types("replay").code == 2
    assert person.types("replay", "j1", "--all").code == 2


def test_refusals_and_numbers_are_plain_english(person: Person, dead_letter: str) -> None:
    assert person.types("replay").err.startswith("error: job: '' was refused: give ids")
    assert person.types("jobs", "--dead", "--pool", "x").err.startswith("error: dead: '--dead' was")
    late = person.types("jobs", "--since", "1h", "--until", "2h").err
    assert "datetime" not in late
    one = person.types("replay", dead_letter, "--attempts", "1").out
    assert one == f"{dead_letter} queued again, with 1 more attempt\n"


def test_a_job_that_is_no_dead_letter_is_not_replayed(person: Person) -> None:
    refused = person.types("replay", person.enqueues("build"))
    assert refused.code == 4
    assert refused.err.endswith(
        " is queued: replay is not possible now; possible: cancel, reprioritise\n"
    )


def test_a_job_gets_another_priority(person: Person) -> None:
    job_id = person.enqueues("build")
    told = person.types("reprioritise", job_id, "critical").out
    assert told == f"{job_id} now has priority critical\n"
    assert person.asks("job", job_id)["priority"] == "critical"
    assert person.types("reprioritise", job_id, "urgent").code == 2


def test_why_tells_what_stands_in_the_way_and_what_helps(person: Person) -> None:
    job_id = person.enqueues("build", "--pool", "mac")
    (reason, *_) = person.asks("why", job_id)
    assert reason["code"] == "no_pool"
    told = person.types("why", job_id).out
    assert "pool 'mac' does not exist" in told
    assert "start an agent in pool 'mac'" in told


def test_dead_takes_no_other_filter(person: Person) -> None:
    refused = person.types("jobs", "--dead", "--pool", "linux", "--json")
    assert (refused.code, refused.error["field"]) == (2, "dead")


def test_sweeps_say_what_they_did(person: Person) -> None:
    assert person.types("sweep").out == "nothing was due\n"
    assert person.asks("requeue-expired") == {
        "promoted": 0,
        "requeued": 0,
        "dead_lettered": 0,
        "ended": 0,
        "silenced": 0,
        "unreadable": [],
        "total": 0,
    }


def test_a_deadline_that_has_passed_is_swept(person: Person) -> None:
    person.types("enqueue", "build", "--deadline", "2020-01-01T00:00:00Z")
    assert person.types("sweep").out == "1 ended\n"
    assert types_of(person.asks("jobs", "--status", "timeout")) == ["build"]


def test_stats_count_what_there_is(person: Person, dead_letter: str) -> None:
    person.types("enqueue", "build", "--pool", "linux")
    everything = person.asks("stats")
    assert everything["depth"]["queued"] == 1
    assert everything["depth"]["dead_lettered"] == 1
    assert everything["ready"] == 1
    assert everything["failure_rate"] == 1.0
    linux = person.asks("stats", "--pool", "linux")
    assert (linux["pool_name"], linux["depth"]["queued"]) == ("linux", 1)
    assert list(linux["by_lane"].values()) == [1]
    told = person.types("stats").out
    assert "1 queued, 1 dead letter" in told


def test_stats_of_an_unknown_pool_are_refused(person: Person) -> None:
    job = person.enqueues("build", "--pool", "linux")
    person.types("cancel", job)
    person.types("pools", "put", "mac")
    for known in ("linux", "mac", "default"):
        assert person.types("stats", "--pool", known).code == 0
    refused = person.types("stats", "--pool", "lnux", "--json")
    assert (refused.code, refused.error["kind"], refused.error["key"]) == (3, "pool", "lnux")


def test_the_summary_counts_the_day_of_a_time_zone(person: Person, dead_letter: str) -> None:
    seen = person.asks("summary", "--tz", "Asia/Tokyo")
    assert seen["jobs_by_status"]["error"] == 1
    assert seen["recent_jobs"][0]["job_id"] == dead_letter
    assert seen["today_since"].endswith("T15:00:00.000000Z")
    assert "newest jobs" in person.types("summary").out
    assert person.types("summary", "--tz", "Mars/Olympus").code == 2


def test_top_shows_the_queue_once(person: Person) -> None:
    person.types("enqueue", "build")
    told = person.types("top", "--once").out
    assert "1 queued" in told
    assert "agents" in told


def test_an_audit_of_sound_data_finds_nothing(person: Person, dead_letter: str) -> None:
    assert person.types("audit").code == 0


def test_the_default_store_is_a_file_here_and_a_note_says_so(
    person: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CICD_STORE")
    person.types("enqueue", "--shell", "true")
    answer = person.types("jobs", "--status", "running")
    assert answer.out == "no jobs\n"
    assert answer.err == "store: sqlite:///cicd.db (--store or CICD_STORE set another)\n"
    assert (tmp_path / "cicd.db").exists()
    assert person.types("jobs", "--json").err == ""
