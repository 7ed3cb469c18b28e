"""Nothing that an agent started outlives it, whatever it died of."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import cicd_core.agent.shell
from cicd_core.agent.shell import ShellHandler
from cicd_core.clock import boot_micros
from cicd_core.model.git import GitContext
from cicd_core.model.job import Verdict
from tests.runtime.embedding import agent_of, run_until_idle, running
from tests.runtime.processes import is_alive, number_in, until
from tests.runtime.repositories import repository

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.runtime.fake_source import FakeSource

pytestmark = pytest.mark.anyio

__all__ = ["repository"]  # a fixture

ROOT = Path(__file__).parents[2]
GUARD = Path(cicd_core.agent.shell.__file__).with_name("guard.py")


@contextmanager
def shell_agent(backend: str, folder: Path) -> Generator[subprocess.Popen[bytes]]:
    """An agent in a process of its own, whose job never ends."""
    command = [sys.executable, "-m", "tests.runtime.shell_agent", backend, str(folder)]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


async def test_the_command_and_its_children_die_with_their_agent(
    anyio_backend_name: str, repository: Path, tmp_path: Path
) -> None:
    with shell_agent(anyio_backend_name, tmp_path) as process:
        pids = [await number_in(tmp_path / name) for name in ("leader", "child", "guard")]
        assert all(is_alive(pid) for pid in pids)
        process.send_signal(signal.SIGKILL)
        await until(lambda: not any(is_alive(pid) for pid in pids))


@pytest.mark.thorough
async def test_what_a_killed_agent_left_behind_is_removed_by_the_next_one(
    source: FakeSource, anyio_backend_name: str, repository: Path, tmp_path: Path
) -> None:
    with shell_agent(anyio_backend_name, tmp_path) as process:
        leader = await number_in(tmp_path / "leader")
        process.send_signal(signal.SIGKILL)
        await until(lambda: not is_alive(leader))
    assert list((tmp_path / "work").glob("*")) != []
    source.add(payload={"argv": ["true"]})
    await run_until_idle(agent_of(source, ShellHandler(work_dir=tmp_path / "work")))
    assert list((tmp_path / "work").glob("*")) == []


@pytest.mark.thorough
async def test_the_folder_of_an_agent_that_lives_is_left_alone(
    source: FakeSource, repository: Path, tmp_path: Path
) -> None:
    work_dir = tmp_path / "work"
    wait = f"while ! test -e {tmp_path}/go; do sleep 0.01; done"
    line = f"echo $$ > {tmp_path}/pid; {wait}; cat sub/*"
    first = source.add(payload={"shell": line}, git=GitContext(repo=str(repository)))
    async with running(agent_of(source, ShellHandler(work_dir=work_dir))):
        await number_in(tmp_path / "pid")
        second = source.add("other", payload={"argv": ["true"]})
        other = ShellHandler(work_dir=work_dir)
        neighbour = agent_of(source, other)
        neighbour.add_handler("other", other)
        await run_until_idle(neighbour)
        (tmp_path / "go").touch()
        await source.until(lambda: first in source.outcomes)
    assert source.outcomes[first].verdict is Verdict.SUCCESS
    assert source.outcomes[second].verdict is Verdict.SUCCESS


async def test_the_command_of_a_guard_that_is_killed_is_killed_too(
    source: FakeSource, tmp_path: Path
) -> None:
    line = f"sleep 600 & echo $! > {tmp_path}/child; echo $PPID > {tmp_path}/guard; wait"
    job = source.add(payload={"shell": line})
    async with running(agent_of(source, ShellHandler(work_dir=tmp_path / "work"))):
        child, guard = [await number_in(tmp_path / name) for name in ("child", "guard")]
        os.kill(guard, signal.SIGKILL)
        await source.until(lambda: source.outcomes)
        await until(lambda: not is_alive(child))
    assert source.outcomes[job].verdict is Verdict.ERROR
    assert "guard" in str(source.outcomes[job].error_message)


def test_a_guard_notices_a_parent_that_died_while_a_copy_holds_the_pipe() -> None:
    # The shell in the middle dies; the pipe to the guard stays open here.
    script = f'exec 3<&0; "{sys.executable}" -I -S "{GUARD}" sleep 600 <&3 & wait'
    with subprocess.Popen(
        ["sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as middle:
        assert middle.stdout is not None
        leader = int(middle.stdout.readline().split()[1])
        assert is_alive(leader)
        middle.kill()
        assert middle.stdout.readline() == b"signalled 9\n"
    assert not is_alive(leader)


@contextmanager
def guarded(*command: str) -> Generator[subprocess.Popen[bytes]]:
    """A guard and its command; what is written to it are orders."""
    argv = [sys.executable, "-I", "-S", str(GUARD), *command]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as guard:
        try:
            yield guard
        finally:
            guard.kill()


def told(guard: subprocess.Popen[bytes]) -> list[str]:
    assert guard.stdout is not None
    return guard.stdout.readline().decode().split()


def order(guard: subprocess.Popen[bytes], text: str) -> None:
    assert guard.stdin is not None
    guard.stdin.write(text.encode())


def test_a_command_whose_lease_nobody_renews_is_killed_at_its_end() -> None:
    with guarded("sleep", "600") as guard:
        leader = int(told(guard)[1])
        order(guard, f"u {boot_micros() + 100_000}\n")
        assert told(guard) == ["overdue", "0"]
    assert not is_alive(leader)


def test_a_command_whose_lease_is_renewed_goes_on() -> None:
    with guarded("sh", "-c", "read line < /dev/null; sleep 0.3") as guard:
        told(guard)
        # In two parts, as a pipe may deliver them.
        order(guard, f"u {boot_micros() + 100_000}\nu {boot_micros()}")
        order(guard, "000\n")
        assert told(guard) == ["exited", "0"]


def test_a_command_that_ends_by_itself_in_time_says_so() -> None:
    with guarded("sh", "-c", "exit 3") as guard:
        told(guard)
        order(guard, f"u {boot_micros() + 60_000_000}\n")
        assert told(guard) == ["exited", "3"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LD_LIBRARY_PATH", "{bad}"),
        ("LD_PRELOAD", "/nope.so"),
        ("LD_DEBUG", "statistics"),
        ("GLIBC_TUNABLES", "glibc.malloc.check=3"),
        ("PYTHONHOME", "/nope"),
        ("PYTHONPATH", "{bad}"),
        ("PYTHONMALLOC", "debug"),
        ("PYTHONDEVMODE", "1"),
        ("PATH", "/nowhere"),
        ("LC_ALL", "xx_YY"),
        ("HOME", "/nope"),
        ("TMPDIR", "/nope"),
        ("JOB_X", "as the guard has them"),
    ],
)
async def test_the_environment_of_a_job_reaches_its_command_alone(
    source: FakeSource, tmp_path: Path, name: str, value: str
) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    for library in ("libm.so.6", "libz.so.1", "os.py", "signal.py"):  # Python's, and no shell's
        (bad / library).write_text("nothing that can be loaded")
    value = value.format(bad=bad)
    shown, guards = tmp_path / "shown", tmp_path / "guards"
    line = f'echo "${name}" > {shown}; /bin/cat /proc/$PPID/environ > {guards}'
    job = source.add(payload={"shell": line, "env": {name: value}})
    await run_until_idle(agent_of(source, ShellHandler(work_dir=tmp_path / "work")))
    assert source.outcomes[job].verdict is Verdict.SUCCESS
    assert shown.read_text() == f"{value}\n"
    assert f"{name}={value}" not in guards.read_text().split("\0")


async def test_a_guard_has_none_of_its_agents_secrets(
    source: FakeSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPLOY_TOKEN", "hunter2")
    guards = tmp_path / "guards"
    job = source.add(payload={"shell": f"cat /proc/$PPID/environ > {guards}"})
    await run_until_idle(agent_of(source, ShellHandler(work_dir=tmp_path / "work")))
    assert source.outcomes[job].verdict is Verdict.SUCCESS
    assert "hunter2" not in guards.read_text()


async def test_a_command_that_its_own_environment_breaks_has_failed_by_itself(
    source: FakeSource, tmp_path: Path
) -> None:
    (tmp_path / "libc.so.6").write_text("nothing that can be loaded")
    job = source.add(payload={"argv": ["/bin/cat"], "env": {"LD_LIBRARY_PATH": str(tmp_path)}})
    await run_until_idle(agent_of(source, ShellHandler(work_dir=tmp_path / "work")))
    assert (source.outcomes[job].verdict, source.outcomes[job].exit_code) == (Verdict.FAILED, 127)
    assert "libc.so.6" in str(source.outcomes[job].logs_summary)


def test_a_guard_imports_nothing_but_python_itself() -> None:
    said = subprocess.run(
        [sys.executable, "-I", "-S", "-X", "importtime", str(GUARD), "true"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    modules = {line.rpartition("|")[2].strip() for line in said.stderr.splitlines()[1:]}
    assert {name.partition(".")[0] for name in modules} <= set(sys.stdlib_module_names)
    assert not {"asyncio", "contextlib", "re", "subprocess", "typing"} & modules
