"""The picture of a demo fits the terminal, whatever it has to tell."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from cicd_core import Event, Job, JobState, Priority
from cicd_core.cli.demo.live import can_show, picture
from cicd_core.cli.demo.state import KILLED, AgentLine, Board, Course, Scene

NOW = datetime(2027, 1, 15, 8, tzinfo=UTC)
LONG = "long " * 60


class Lines:
    """What was told line by line."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __call__(self, seconds: float, subject: str, text: str) -> None:
        self.told.append(f"{seconds} {subject}: {text}")


def console(width: int = 80, height: int = 24, encoding: str = "utf-8") -> Console:
    class File(StringIO):
        @property
        def encoding(self) -> str:  # type: ignore[override] # a stream that is told its encoding
            return encoding

    return Console(file=File(), width=width, height=height, force_terminal=True, color_system=None)


def shown(board: Board, to: Console) -> list[str]:
    to.print(picture(board, to), end="")
    assert isinstance(to.file, StringIO)
    return to.file.getvalue().splitlines()


def event(kind: str, subject: tuple[str, str] = ("jobs", "j1"), **data: Any) -> Event:
    return Event(subject=subject, version=1, ordinal=0, type=kind, at=NOW, data=data)


def board(lines: Lines | None = None) -> Board:
    made = Board("a project", "demo", lambda: 12.0, lines or Lines())
    made.agents = {"agent-a": AgentLine(pid=1), "agent-b": AgentLine(KILLED, pid=2)}
    return made


def busy_board() -> Board:
    """A board on which every line is too long."""
    made = board()
    made.title = LONG
    for number in range(50):
        key = f"j{number}"
        made.add_job(key, f"job {number}", Priority.LOW)
        made.note(event("job.claimed", ("jobs", key), to="claimed", actor="agent-a", attempt=1))
        made.note(event("job.retried", ("jobs", key), to="queued", reason=LONG))
        made.note(event("job.claimed", ("jobs", key), to="claimed", actor="agent-b", attempt=2))
    for scene in Scene:
        made.say(scene, LONG)
    made.note(event("agent.draining", ("agents", "agent-a"), to="terminating"))
    made.note(event("deployment.live", ("deployments", "d"), to="live", version="1" * 40))
    return made


@pytest.mark.parametrize(("width", "height"), [(60, 20), (80, 24), (120, 40), (200, 60)])
def test_a_picture_is_as_large_as_the_terminal(width: int, height: int) -> None:
    lines = shown(busy_board(), console(width, height))
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    for scene in Scene:
        assert sum(line[4:].startswith(f"{scene.value} ") for line in lines) == 1


def test_a_terminal_without_unicode_gets_ascii() -> None:
    made = busy_board()
    made.title = "a project"
    made.done(Scene.KILL, "back")
    to = console(encoding="ascii")
    lines = shown(made, to)
    marked = [line.split()[:2] for line in lines if " kill -9 " in line]
    assert marked == [["+", "kill"]]
    assert [line for line in lines if set(line) == {"-"}]


@pytest.mark.parametrize(("width", "height"), [(59, 24), (80, 19)])
def test_a_small_terminal_gets_lines_instead(width: int, height: int) -> None:
    assert not can_show(console(width, height))
    assert can_show(console(60, 20))


def test_a_job_is_known_by_its_events_before_its_name_is() -> None:
    made = board()
    made.note(event("job.created", to="pending", pool="demo"))
    made.note(event("job.enqueued", to="queued", pool="demo"))
    made.note(event("job.created", ("jobs", "of somebody else"), to="pending", pool="default"))
    made.add_job("j1", "compile", Priority.HIGH)
    assert list(made.jobs) == ["j1"]
    assert made.jobs["j1"].name == "compile"
    assert made.queued_by_priority() == {Priority.HIGH: 1}


def test_setbacks_and_ends_are_told_line_by_line() -> None:
    lines = Lines()
    made = board(lines)
    made.add_job("j1", "compile", Priority.HIGH)
    made.note(event("job.claimed", to="claimed", actor="agent-b", attempt=1))
    made.note(event("job.lease_expired", to="queued", reason="nobody renewed it"))
    made.note(event("job.claimed", to="claimed", actor="agent-a", attempt=2))
    made.note(event("job.started", to="running"))
    made.note(event("job.progress", percent=50))
    made.note(event("job.succeeded", to="success"))
    assert lines.told == [
        "12.0 compile: lease expired: nobody renewed it",
        "12.0 compile: succeeded on agent-a",
    ]
    assert (made.ended, made.changed) == (1, 12.0)


def test_what_a_killed_agent_still_holds_is_told() -> None:
    made = board()
    made.add_job("j1", "soak", Priority.CRITICAL)
    began = NOW - timedelta(seconds=3)
    running = Job(
        job_id="j1",
        job_type="shell",
        state=JobState.RUNNING,
        created_at=began,
        started_at=began,
        agent_id="agent-b",
        attempt=1,
    )
    other = Job(job_id="x", job_type="shell", state=JobState.RUNNING, created_at=began)
    made.see_running([running, other], NOW)
    made.note(event("agent.status_changed", ("agents", "agent-b"), to="healthy"))
    (line,) = [line for line in shown(made, console()) if "agent-b" in line and "killed" in line]
    assert "leases expire: soak (3.0s)" in line


def test_a_scene_keeps_what_it_found() -> None:
    made = board()
    assert made.scenes[Scene.DELAY].course is Course.WAITING
    made.done(Scene.DELAY, "in time", job_id="j1")
    assert made.scenes[Scene.DELAY].facts == {"job_id": "j1"}
    made.failed(Scene.DRAIN, "it did not go")
    assert made.scenes[Scene.DRAIN].course is Course.FAILED
