"""What the page on containers says, in namespaces: process 1, no user name, a read-only root."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.cli.containers import (
    FIRST,
    NAMELESS,
    WITH_PROC,
    children,
    need_namespaces,
    read_only_but,
)
from tests.cli.person import agent_line
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.cli.person import Person

pytestmark = pytest.mark.usefixtures("namespaces")

CICD: Final = (sys.executable, "-m", "cicd_core.cli")


@pytest.fixture
def namespaces() -> None:
    need_namespaces()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """As little of one as a container may have: no HOME and no USER."""
    (tmp_path / "tmp").mkdir()
    return {
        "PATH": os.environ["PATH"],
        "CICD_STORE": f"sqlite:///{tmp_path}/ci.db",
        "TMPDIR": str(tmp_path / "tmp"),
    }


def run(command: Sequence[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE
    )


def until(come_true: Callable[[], object]) -> None:
    ends = time.monotonic() + PATIENCE
    while not come_true():
        assert time.monotonic() < ends
        time.sleep(0.02)


@pytest.fixture
def first(person: Person) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a program as process 1 of a namespace; it ends with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*command: str) -> subprocess.Popen[str]:
        process = subprocess.Popen([*WITH_PROC, *command], stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_an_agent_as_process_one_buries_what_jobs_leave_behind(
    person: Person, tmp_path: Path, first: Callable[..., subprocess.Popen[str]]
) -> None:
    ended, go = tmp_path / "orphan", tmp_path / "go"
    orphan = f"echo $$ > {ended}; until [ -e {go} ]; do sleep 0.02; done"
    leaves = person.enqueues(
        "--shell", f"setsid sh -c '{orphan}' & until [ -s {ended} ]; do :; done"
    )
    gone = f"touch {go}; while [ -e /proc/$(cat {ended}) ]; do sleep 0.02; done"
    agent = first(*CICD, "agent", "--quiet", "--workdir", str(tmp_path / "work"))
    until(lambda: person.asks("job", leaves)["state"] == "success")
    looks = person.enqueues("--shell", gone, "--timeout", str(PATIENCE))
    until(lambda: person.asks("job", looks)["state"] not in {"queued", "running"})
    assert person.asks("job", looks)["state"] == "success"
    (init,) = children(agent.pid)
    os.kill(init, signal.SIGTERM)
    assert agent.wait(PATIENCE) == 0


def test_an_agent_as_process_one_drains_at_one_signal(
    person: Person, first: Callable[..., subprocess.Popen[str]]
) -> None:
    job = person.enqueues("shell", "--", "sleep", "1000")
    agent = first(*CICD, "agent", "--json", "--grace", "600")
    while "running" not in agent_line(agent)["message"]:
        pass
    (init,) = children(agent.pid)
    os.kill(init, signal.SIGTERM)
    while "draining" not in (message := agent_line(agent)["message"]):
        pass
    assert "stopping at once" not in message
    assert person.asks("job", job)["state"] == "running"
    os.kill(init, signal.SIGINT)
    assert agent.wait(PATIENCE) == 0
    job_now = person.asks("job", job)
    assert (job_now["state"], job_now["attempts_used"]) == ("queued", 0)


@pytest.mark.parametrize(
    ("end", "code"),
    [("sys.exit(7)", 7), ("os.kill(os.getpid(), signal.SIGKILL)", 137), ("pass", 0)],
)
def test_process_one_ends_as_its_child_does(end: str, code: int) -> None:
    program = (
        "import os, signal, sys\n"
        "from cicd_core.agent import leave_process_one\n"
        "assert os.getpid() == 1\n"
        "leave_process_one()\n"
        f"assert os.getpid() != 1\n{end}\n"
    )
    assert subprocess.run([*FIRST, sys.executable, "-c", program], check=False).returncode == code


def test_a_program_that_is_not_the_first_process_stays_as_it_is() -> None:
    program = "import os; from cicd_core.agent import leave_process_one; before = os.getpid();"
    program += "leave_process_one(); assert os.getpid() == before"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_user_without_a_name_and_a_home_runs_jobs(environment: dict[str, str]) -> None:
    enqueued = run([*NAMELESS, *CICD, "enqueue", "--json", "--shell", "id -u"], environment)
    assert (enqueued.returncode, enqueued.stderr) == (0, "")
    agent = run([*NAMELESS, *CICD, "agent", "--once", "--quiet"], environment)
    assert (agent.returncode, agent.stderr) == (0, "")
    (log,) = Path(environment["TMPDIR"]).rglob("*-1.log")
    assert log.read_text() == "54321\n"


@pytest.mark.thorough
def test_a_read_only_root_needs_folders_for_the_store_and_the_jobs(
    person: Person, environment: dict[str, str], tmp_path: Path
) -> None:
    inside = [*read_only_but(tmp_path), *NAMELESS, *CICD]
    assert run([*inside, "enqueue", "--shell", "touch here"], environment).returncode == 0
    places = ["--workdir", str(tmp_path / "work"), "--log-dir", str(tmp_path / "logs")]
    agent = run([*inside, "agent", "--once", "--quiet", *places], environment)
    assert (agent.returncode, agent.stderr) == (0, "")
    assert [job["state"] for job in person.asks("jobs")["items"]] == ["success"]


@pytest.mark.thorough
@pytest.mark.parametrize("home", ["/", "/nowhere"])
def test_a_home_that_cannot_be_written_is_refused_before_a_job_is_claimed(
    person: Person, environment: dict[str, str], tmp_path: Path, home: str
) -> None:
    environment["HOME"] = home
    inside = [*read_only_but(tmp_path), *NAMELESS, *CICD]
    job = person.enqueues("--shell", "true")
    agent = run([*inside, "agent", "--once", "--quiet"], environment)
    assert agent.returncode == 71
    assert "Read-only file system; choose another log_dir (--log-dir)" in agent.stderr
    assert "Traceback" not in agent.stderr
    assert person.asks("job", job)["state"] == "queued"


@pytest.mark.thorough
def test_few_descriptors_lose_no_attempt(person: Person, tmp_path: Path) -> None:
    for _ in range(12):
        person.enqueues("--shell", "sleep 0.1", "--max-attempts", "1")
    # Without maintenance, what it gives back stays queued: the agent does not wait to try it again.
    words = "agent --once --slots 12 --quiet --no-maintenance"
    line = f'ulimit -n 40; exec "$0" -m cicd_core.cli {words}'
    agent = subprocess.run(
        ["/bin/sh", "-c", line, sys.executable], capture_output=True, text=True, check=False
    )
    assert "Traceback" not in agent.stderr
    left = person.asks("jobs")["items"]
    assert {job["state"] for job in left} <= {"success", "queued"}
    assert {job["attempts_used"] for job in left if job["state"] == "queued"} <= {0}
