"""``enqueue --wait``: the job's output, its exit code, why it waits, and Ctrl-C."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.lowlevel import checkpoint

from cicd_core import ControlPlane, JobSpec, Outcome
from cicd_core.cli.following import JobFollower
from cicd_core.cli.screen import Screen
from tests.cli.person import agent_line
from tests.patience import PATIENCE

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.cli.person import Person


@pytest.fixture
def agent(person: Person) -> subprocess.Popen[str]:
    """An agent that runs shell jobs in a process of its own."""
    process = person.starts("agent", "--json")
    while "registered" not in agent_line(process)["message"]:
        pass
    return process


def test_output_goes_to_stdout_and_the_exit_code_is_the_jobs(
    person: Person, agent: subprocess.Popen[str]
) -> None:
    good = person.types("enqueue", "--wait", "--", "sh", "-c", "echo one; sleep 0.3; echo two")
    assert (good.code, good.out) == (0, "one\ntwo\n")
    assert "job.started" in good.err
    assert good.err.splitlines()[-1].startswith("success ")
    bad = person.types("enqueue", "--shell", "echo oh no; exit 7", "--wait")
    assert (bad.code, bad.out) == (7, "oh no\n")
    assert "exit code 7" in bad.err
    killed = person.types("enqueue", "--shell", "kill -9 $$", "--wait")
    assert (killed.code, killed.out) == (137, "")


def test_json_has_the_job_as_it_ended(
    person: Person, agent: subprocess.Popen[str], tmp_path: Path
) -> None:
    ended = person.types("enqueue", "--shell", "echo x; exit 3", "--wait", "--json")
    assert (ended.code, ended.json["state"], ended.json["exit_code"]) == (3, "failed", 3)
    words = ("--shell", "exit 3", "--retry-on", "failed", "--max-attempts", "1", "--wait")
    dead = person.types("enqueue", *words, "--json")
    assert (dead.code, dead.json["state"]) == (3, "dead_lettered")
    lines = [{"job_type": "shell", "payload": {"shell": f"exit {code}"}} for code in (0, 0, 5)]
    (tmp_path / "jobs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    many = person.types("enqueue", "--from", "jobs.jsonl", "--wait", "--json")
    assert many.code == 1
    assert many.json["by_state"] == {"success": 2, "failed": 1}


def test_log_of_another_machine_is_named_and_its_end_is_shown(
    person: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("agent", "--until-idle", "--quiet", "--send-log-tail", "--log-dir", "logs")
    job_id = person.enqueues("--key", "k1", "--", "sh", "-c", "echo oh no; exit 3")
    agent = person.types(*words)
    assert agent.code == 0, agent.err
    (tmp_path / "logs" / f"{job_id}-1.log").unlink()
    monkeypatch.setattr("socket.gethostname", lambda: "another-host")
    waited = person.types(
        "enqueue", "--key", "k1", "--wait", "--", "sh", "-c", "echo oh no; exit 3"
    )
    assert (waited.code, waited.out) == (3, "")
    assert f"run `cicd-core logs {job_id}` there" in waited.err
    assert waited.err.endswith("oh no\n")


def test_end_that_came_before_ends_the_wait_at_once(person: Person) -> None:
    person.types("cancel", person.enqueues("build", "--key", "k1"))
    ended = person.types("enqueue", "build", "--key", "k1", "--wait", "--json")
    assert (ended.code, ended.json["state"]) == (1, "cancelled")
    assert person.types("enqueue", "build", "--key", "k1", "--wait").code == 1


@pytest.mark.anyio
@pytest.mark.asyncio_only
async def test_reasons_are_shown_after_a_while_without_a_claim(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with ControlPlane.open("memory://", maintenance=False) as plane:
        cursor = await plane.events.end()
        job = await plane.queue.enqueue(JobSpec(job_type="build"))
        follower = JobFollower(plane, Screen(job.created_at, stderr=True), why_after=0)
        said = ""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follower.follow, job, cursor)
            with anyio.fail_after(PATIENCE):
                while "start an agent in pool" not in said:
                    await checkpoint()
                    said += capsys.readouterr().err
            await plane.jobs.cancel(job.job_id)
    assert f"no agent has claimed {job.job_id}" in said


@pytest.mark.anyio
@pytest.mark.asyncio_only
async def test_no_reasons_are_shown_of_a_job_that_was_claimed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with ControlPlane.open("memory://", maintenance=False) as plane:
        cursor = await plane.events.end()
        job = await plane.queue.enqueue(JobSpec(job_type="build"))
        (claimed,) = await plane.queue.claim(agent_id="a1", start=True)
        follower = JobFollower(plane, Screen(job.created_at, stderr=True), why_after=0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follower.follow, job, cursor)
            await plane.queue.complete(claimed, Outcome.exited(0))
    said = capsys.readouterr().err
    assert "job.succeeded" in said
    assert "no agent has claimed" not in said
