"""What git sees and runs: nothing of the agent's secrets, of its source, or of the job before."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cicd_core.agent.shell import CheckoutSettings, ShellHandler
from cicd_core.model.git import GitContext
from cicd_core.model.job import Verdict
from tests.runtime.embedding import agent_of, running
from tests.runtime.git_servers import SSH, git_server
from tests.runtime.processes import is_alive, number_in, until
from tests.runtime.repositories import commit, git, repository
from tests.runtime.shell_jobs import Shell, nothing_is_left, shell, text_of, work_dir

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.runtime.fake_source import FakeSource

# Git does the work, in processes: what the event loop changes is tested in `test_shell.py`.
pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]

__all__ = ["repository", "shell", "work_dir"]  # fixtures

ROOT = Path(__file__).parents[2]
#: An ssh that never answers, and does not die of what can be caught.
SILENT = """#!/bin/sh
trap '' TERM HUP INT
sleep 600 & echo $! > {folder}/child
echo $$ > {folder}/ssh
wait
"""


def program(file: Path, text: str) -> Path:
    file.write_text(text)
    file.chmod(0o755)
    return file


def spy(tmp_path: Path, name: str) -> Path:
    """A program that would be noticed, with all that it sees."""
    return program(tmp_path / name, f"#!/bin/sh\nenv > {tmp_path}/{name}.ran\ncat\n")


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def files_with(text: bytes, folder: Path) -> list[Path]:
    files = [file for file in folder.rglob("*") if file.is_file()]
    return [file for file in files if text in file.read_bytes()]


async def test_nothing_that_a_repository_or_a_user_configures_runs(
    shell: Shell, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / ".gitattributes").write_text("*.txt filter=spy\n*.bin filter=lfs\n")
    (repository / "a.bin").write_text("a")
    commit(repository, "with filters")
    template = tmp_path / "template" / "hooks"
    template.mkdir(parents=True)
    shutil.copy(spy(tmp_path, "post-checkout"), template)
    options = {
        "filter.spy.smudge": spy(tmp_path, "smudge"),
        "filter.spy.process": spy(tmp_path, "process"),
        "filter.lfs.smudge": spy(tmp_path, "lfs"),
        "core.fsmonitor": spy(tmp_path, "fsmonitor"),
        "core.sshCommand": spy(tmp_path, "ssh"),
        "core.hooksPath": template,
        "core.alternateRefsCommand": spy(tmp_path, "alternates"),
        "uploadpack.packObjectsHook": spy(tmp_path, "pack"),
        "init.templateDir": template.parent,
        "credential.helper": f"!{spy(tmp_path, 'credentials')}",
    }
    home = tmp_path / "home"
    (home / ".config" / "git").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    before = names_in(tmp_path)
    for name, value in options.items():
        git(tmp_path, "config", "--file", str(home / ".gitconfig"), name, str(value))
        git(repository, "config", "--local", name, str(value))
    shutil.copy(home / ".gitconfig", home / ".config" / "git" / "config")
    monkeypatch.setenv("AGENT_SECRET", "hunter2")
    for repo in (str(repository), repository.as_uri()):
        outcome = await shell.run({"shell": "cat greeting.txt a.bin"}, GitContext(repo=repo))
        assert str(outcome.logs_summary).endswith("with filtersa")
    assert names_in(tmp_path) - before <= {"logs", "work"}


async def test_a_job_starts_with_the_configuration_of_no_other_job(
    shell: Shell, repository: Path, tmp_path: Path
) -> None:
    smudge = spy(tmp_path, "smudge")
    line = f"git config filter.spy.smudge {smudge}; git config core.hooksPath {tmp_path}; \
        echo '* filter=spy' >> .git/info/attributes; git config user.name left"
    await shell.run({"shell": line}, GitContext(repo=str(repository)))
    shown = await shell.run({"shell": "git config user.name; ls .git/hooks .git/info"})
    outcome = await shell.run({"argv": ["cat", ".git/config"]}, GitContext(repo=str(repository)))
    assert "left" not in f"{outcome.logs_summary}{shown.logs_summary}"
    assert git(repository, "config", "--local", "--list").count("spy") == 0
    assert not (tmp_path / "smudge.ran").exists()


async def test_git_runs_with_a_small_environment(
    shell: Shell, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = SSH.replace("exec sh", f"env > {tmp_path}/seen\nexec sh")
    monkeypatch.setenv("GIT_SSH_COMMAND", str(program(tmp_path / "ssh", text)))
    monkeypatch.setenv("AGENT_SECRET", "hunter2")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_TRACE", "1")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")
    repo = f"ssh://git@example.org{repository}"
    outcome = await shell.run({"argv": ["env"]}, GitContext(repo=repo))
    assert outcome.verdict is Verdict.SUCCESS, outcome.error_message
    seen = (tmp_path / "seen").read_text()
    assert "hunter2" not in f"{seen}{outcome.logs_summary}"
    names = {line.partition("=")[0] for line in seen.splitlines()}
    assert not {"GIT_TRACE", "LD_PRELOAD"} & names
    assert "SSH_AUTH_SOCK=/run/agent" in seen.splitlines()
    assert "SSH_AUTH_SOCK" not in str(outcome.logs_summary)


async def test_credentials_come_from_the_agents_configuration_and_go_nowhere(
    shell: Shell, repository: Path, tmp_path: Path
) -> None:
    helper = program(
        tmp_path / "helper", "#!/bin/sh\ncat >/dev/null\necho username=ada\necho password=s3cret\n"
    )
    config = tmp_path / "agent.gitconfig"
    git(tmp_path, "config", "--file", str(config), "credential.helper", str(helper))
    settings = CheckoutSettings(git_config=config)
    with git_server(tmp_path, credentials="ada:s3cret") as server:
        context = GitContext(repo=f"{server.url}/repository")
        look = {"shell": "cat greeting.txt; env; grep -r . .git/config; git remote -v"}
        outcome = await shell.run(look, context, checkout=settings)
        assert outcome.verdict is Verdict.SUCCESS, outcome.error_message
        refused = await shell.run(look, GitContext(repo=f"{server.url}/repository", ref="v1"))
    assert "s3cret" not in text_of(outcome)
    assert refused.verdict is Verdict.ERROR
    assert "could not read Username" in str(refused.error_message)
    assert not files_with(b"s3cret", Path(os.environ["XDG_CACHE_HOME"]))


async def test_a_deploy_key_is_the_only_one_that_ssh_uses(
    shell: Shell, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "deploy 'key'"
    key.write_text("no real one: it is only named")
    bin_dir = tmp_path / "bin"
    bin_dir.mkdir()
    program(bin_dir / "ssh", SSH.replace("while", f'echo "$@" > {tmp_path}/said\nwhile', 1))
    monkeypatch.setenv("PATH", f"{bin_dir}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("GIT_SSH_COMMAND", "/no/such/program")
    repo = f"git@example.org:{repository}"
    settings = CheckoutSettings(ssh_key=key)
    outcome = await shell.run({"argv": ["true"]}, GitContext(repo=repo), checkout=settings)
    assert outcome.verdict is Verdict.SUCCESS, outcome.error_message
    said = (tmp_path / "said").read_text()
    assert f"-F /dev/null -o IdentitiesOnly=yes -i {key} " in said
    assert "BatchMode=yes" in said


@pytest.mark.parametrize("how", ["cancel", "timeout", "drain"])
async def test_a_checkout_that_is_stopped_leaves_no_process(  # noqa: PLR0917 - fixtures
    quick_source: FakeSource,
    repository: Path,
    work_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    source = quick_source
    ssh = program(tmp_path / "silent", SILENT.format(folder=tmp_path))
    monkeypatch.setenv("GIT_SSH_COMMAND", str(ssh))
    context = GitContext(repo=f"ssh://git@example.org{repository}")
    seconds = 5.0 if how == "timeout" else 600.0
    job = source.add(payload={"argv": ["true"]}, git=context, timeout_seconds=seconds)
    handler = ShellHandler(work_dir=work_dir, kill_after=0.1)
    async with running(agent_of(source, handler, grace_seconds=0.0)):
        pids = [await number_in(tmp_path / name) for name in ("ssh", "child")]
        if how == "cancel":
            source.cancel(job)
        if how != "drain":
            await source.until(lambda: source.outcomes)
    await until(lambda: not any(is_alive(pid) for pid in pids))
    assert nothing_is_left(work_dir)
    if how != "drain":
        expected = {"cancel": Verdict.CANCELLED, "timeout": Verdict.TIMEOUT}[how]
        assert source.outcomes[job].verdict is expected


def ended(pid: int) -> bool:
    return not is_alive(pid)


async def test_a_git_command_that_takes_too_long_is_stopped(
    shell: Shell, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh = program(tmp_path / "silent", SILENT.format(folder=tmp_path))
    monkeypatch.setenv("GIT_SSH_COMMAND", str(ssh))
    context = GitContext(repo=f"ssh://git@example.org{repository}")
    settings = CheckoutSettings(timeout_seconds=3.0)
    outcome = await shell.run({"argv": ["true"]}, context, checkout=settings, kill_after=0.1)
    assert outcome.verdict is Verdict.ERROR
    assert "git ls-remote took longer than 3 seconds" in str(outcome.error_message)
    for name in ("ssh", "child"):
        if names_in(tmp_path) & {name}:  # a busy machine may not have come so far
            pid = await number_in(tmp_path / name)
            await until(partial(ended, pid))


@contextmanager
def agent_process(*arguments: str) -> Generator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tests.runtime.shell_agent", *arguments]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            yield process
        finally:
            process.kill()


async def test_git_dies_with_an_agent_that_is_killed(
    anyio_backend_name: str, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh = program(tmp_path / "silent", SILENT.format(folder=tmp_path))
    repo = f"ssh://git@example.org{repository}"
    monkeypatch.setenv("GIT_SSH_COMMAND", str(ssh))
    with agent_process(anyio_backend_name, str(tmp_path), repo) as process:
        pids = [await number_in(tmp_path / name) for name in ("ssh", "child")]
        process.send_signal(signal.SIGKILL)
        await until(lambda: not any(is_alive(pid) for pid in pids))
