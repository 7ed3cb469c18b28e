"""The shell handler runs real commands, in fresh folders and worktrees, and cleans up."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from cicd_core.agent import SetupFailed
from cicd_core.agent.shell import INHERITED, CheckoutSettings, ShellHandler
from cicd_core.errors import InvalidInput
from cicd_core.model.git import GitContext
from cicd_core.model.job import Verdict
from tests.patience import PATIENCE
from tests.runtime.embedding import agent_of, run_until_idle, running
from tests.runtime.processes import is_alive, number_in, until
from tests.runtime.repositories import commit, git, repository, worktrees
from tests.runtime.shell_jobs import Shell, nothing_is_left, shell, text_of, work_dir

if TYPE_CHECKING:
    from pathlib import Path

    from tests.runtime.fake_source import FakeSource

pytestmark = pytest.mark.anyio

__all__ = ["repository", "shell", "work_dir"]  # fixtures


async def test_an_exit_code_is_the_verdict(shell: Shell) -> None:
    good = await shell.run({"argv": ["true"]})
    bad = await shell.run({"shell": "exit 3"})
    assert (good.verdict, good.exit_code) == (Verdict.SUCCESS, 0)
    assert (bad.verdict, bad.exit_code) == (Verdict.FAILED, 3)
    assert bad.error_message == "the shell line exited with code 3"


async def test_both_streams_go_to_the_log_of_the_attempt(shell: Shell) -> None:
    outcome = await shell.run({"shell": "echo out; echo err >&2"})
    assert outcome.logs_url == (shell.logs / "job-1-1.log").as_uri()
    assert text_of(outcome) == outcome.logs_summary == "out\nerr\n"


async def test_without_a_log_folder_the_end_of_the_output_is_kept(
    source: FakeSource, work_dir: Path
) -> None:
    job = source.add(payload={"argv": ["echo", "hello"]})
    await run_until_idle(agent_of(source, ShellHandler(work_dir=work_dir)))
    assert source.outcomes[job].logs_summary == "hello\n"


async def test_a_command_has_no_input_and_an_empty_folder(shell: Shell) -> None:
    outcome = await shell.run({"shell": "cat; ls -A"})
    assert (outcome.verdict, outcome.logs_summary) == (Verdict.SUCCESS, None)


async def test_a_command_knows_its_job_and_none_of_the_agent_s_secrets(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_TOKEN", "s3cret")
    monkeypatch.setenv("LC_TIME", "C")
    outcome = await shell.run({"argv": ["env"], "env": {"MODE": "fast", "CICD_FENCE": "0"}})
    seen = dict(line.split("=", 1) for line in str(outcome.logs_summary).splitlines())
    assert seen["PATH"] == os.environ["PATH"]
    assert (seen["LC_TIME"], seen["MODE"]) == ("C", "fast")
    job = {name: value for name, value in seen.items() if name.startswith("CICD")}
    assert job == {"CICD_JOB_ID": "job-1", "CICD_FENCE": "1", "CICD_ATTEMPT": "1"}
    assert "AGENT_TOKEN" not in seen


async def test_what_the_agent_allows_is_inherited(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPLOY_KEY", "k")
    payload = {"shell": 'test "$DEPLOY_KEY" = k'}
    allowed = await shell.run(payload, inherit_env=[*INHERITED, "DEPLOY_*"])
    assert allowed.exit_code == 0


async def test_a_command_that_can_t_be_started_is_named(shell: Shell) -> None:
    outcome = await shell.run({"argv": ["no-such-command", "-x"]})
    assert outcome.verdict is Verdict.ERROR
    assert outcome.error_message == (
        "'no-such-command' can't be started: No such file or directory"
    )


async def test_an_argument_list_that_is_too_long_is_an_error(shell: Shell) -> None:
    outcome = await shell.run({"argv": ["echo", "x" * 200_000]})
    assert outcome.verdict is Verdict.ERROR
    assert "'echo' can't be started" in str(outcome.error_message)


async def test_a_command_that_a_signal_kills_has_failed(shell: Shell) -> None:
    outcome = await shell.run({"shell": "kill -TERM $$"})
    assert (outcome.verdict, outcome.exit_code) == (Verdict.FAILED, 143)
    assert outcome.error_message == "the shell line was killed by SIGTERM"


async def test_what_a_command_leaves_in_the_background_dies_with_it(
    shell: Shell, tmp_path: Path
) -> None:
    await shell.run({"shell": f"sleep 600 & echo $! > {tmp_path}/pid"})
    pid = await number_in(tmp_path / "pid")
    await until(lambda: not is_alive(pid))


async def test_a_command_that_takes_too_long_gets_sigterm(shell: Shell, tmp_path: Path) -> None:
    line = f"trap 'echo stopped; exit' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.01; done"
    outcome = await shell.run({"shell": line}, timeout_seconds=0.5)
    assert outcome.verdict is Verdict.TIMEOUT
    assert "stopped\n" in str(outcome.logs_summary)
    assert not is_alive(await number_in(tmp_path / "pid"))


async def test_a_command_that_ignores_sigterm_gets_sigkill(shell: Shell, tmp_path: Path) -> None:
    line = f"trap '' TERM; (sleep 600 & echo $! > {tmp_path}/pid; wait); sleep 600"
    outcome = await shell.run({"shell": line}, timeout_seconds=0.5, kill_after=0.1)
    assert outcome.verdict is Verdict.TIMEOUT
    pid = await number_in(tmp_path / "pid")
    await until(lambda: not is_alive(pid))


async def test_a_cancel_stops_the_command(
    quick_source: FakeSource, work_dir: Path, tmp_path: Path
) -> None:
    source = quick_source
    job = source.add(payload={"shell": f"echo $$ > {tmp_path}/pid; sleep 600"})
    async with running(agent_of(source, ShellHandler(work_dir=work_dir))):
        pid = await number_in(tmp_path / "pid")
        source.cancel(job)
        await source.until(lambda: source.outcomes)
    assert source.outcomes[job].verdict is Verdict.CANCELLED
    assert not is_alive(pid)


async def test_a_drain_stops_the_command_and_gives_the_job_back(
    source: FakeSource, work_dir: Path, tmp_path: Path
) -> None:
    job = source.add(payload={"shell": f"echo $$ > {tmp_path}/pid; sleep 600"})
    async with running(agent_of(source, ShellHandler(work_dir=work_dir), grace_seconds=0.0)):
        pid = await number_in(tmp_path / "pid")
    assert job in source.releases
    assert not is_alive(pid)
    assert nothing_is_left(work_dir)


async def test_a_folder_on_this_machine_gets_a_clone_and_is_left_as_it_is(
    shell: Shell, repository: Path
) -> None:
    payload = {"shell": "cat greeting.txt; git rev-parse --abbrev-ref HEAD"}
    outcome = await shell.run(payload, GitContext(repo=str(repository), ref="v1"))
    assert outcome.verdict is Verdict.SUCCESS
    said = str(outcome.logs_summary).splitlines()
    assert said[0].startswith("checked out ")
    assert said[1] == "helloHEAD"
    assert worktrees(repository) == []
    assert git(repository, "status", "--porcelain") == ""


async def test_the_commit_of_a_job_comes_before_its_branch(shell: Shell, repository: Path) -> None:
    first = git(repository, "rev-parse", "v1")
    context = GitContext(repo=str(repository), ref="main", commit_sha=first)
    outcome = await shell.run({"argv": ["git", "rev-parse", "HEAD"]}, context)
    assert str(outcome.logs_summary).splitlines()[-1] == first


@pytest.mark.thorough
@pytest.mark.parametrize("ref", ["main", "v1", "side"])
async def test_a_url_gives_the_same_as_its_folder(shell: Shell, repository: Path, ref: str) -> None:
    git(repository, "checkout", "--quiet", "-b", "side")
    wanted = commit(repository, "aside") if ref == "side" else git(repository, "rev-parse", ref)
    git(repository, "checkout", "--quiet", "main")
    checkout = {"repo": repository.as_uri(), "ref": ref}
    outcome = await shell.run({"argv": ["git", "rev-parse", "HEAD"], "checkout": checkout})
    assert str(outcome.logs_summary).splitlines()[-1] == wanted


async def test_a_payload_may_name_another_repository_than_the_job(
    shell: Shell, repository: Path
) -> None:
    context = GitContext(repo="https://git.invalid/x", commit_sha="0" * 40)
    payload = {"argv": ["cat", "greeting.txt"], "checkout": {"repo": str(repository)}}
    outcome = await shell.run(payload, context)
    assert str(outcome.logs_summary).endswith("goodbye")


async def test_a_payload_may_do_without_a_checkout(shell: Shell, repository: Path) -> None:
    payload = {"argv": ["ls", "-A"], "checkout": False}
    outcome = await shell.run(payload, GitContext(repo=str(repository)))
    assert outcome.logs_summary is None


async def test_the_hooks_of_a_repository_do_not_run(
    shell: Shell, repository: Path, tmp_path: Path
) -> None:
    await shell.run({"argv": ["true"]}, GitContext(repo=str(repository)))
    assert not (tmp_path / "hooked").exists()


async def test_an_agent_that_a_hook_started_checks_out_what_it_was_told(
    shell: Shell, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    outcome = await shell.run({"argv": ["cat", "greeting.txt"]}, GitContext(repo=str(repository)))
    assert outcome.exit_code == 0


@pytest.mark.parametrize(
    ("repo", "ref", "says"),
    [
        (None, "no-such-branch", "no-such-branch of "),
        ("file:///no/such/repository", "main", "no folder /no/such/repository"),
        ("https://ada:s3cret@127.0.0.1:1/x", "main", "remove the credentials"),
        (f"http://oauth2:{'s3cret' * 60}@127.0.0.1:1/x", "main", "remove the credentials"),
        ("http://a:s3/cret@127.0.0.1:1/x#s3cret@x", "main", "remove the credentials"),
    ],
)
async def test_a_checkout_that_fails_is_an_error(
    shell: Shell, repository: Path, repo: str | None, ref: str, says: str
) -> None:
    context = GitContext(repo=repo or str(repository), ref=ref)
    outcome = await shell.run({"argv": ["true"]}, context)
    assert outcome.verdict is Verdict.ERROR
    assert says in str(outcome.error_message)
    assert "s3cret" not in f"{outcome.error_message}{outcome.logs_summary}"
    assert worktrees(repository) == []


async def test_the_checkout_of_a_command_that_fails_is_removed(
    shell: Shell, repository: Path
) -> None:
    line = "rm -rf .git; mkdir locked; touch locked/x; chmod a-w locked; exit 1"
    outcome = await shell.run({"shell": line}, GitContext(repo=str(repository)))
    assert outcome.exit_code == 1
    assert worktrees(repository) == []


async def test_a_checkout_that_is_cancelled_leaves_nothing(
    source: FakeSource, repository: Path, work_dir: Path
) -> None:
    job = source.add(payload={"argv": ["true"]}, git=GitContext(repo=str(repository)))
    agent = agent_of(source, ShellHandler(work_dir=work_dir), grace_seconds=0.0)
    async with running(agent):
        await until(lambda: list(work_dir.glob("job-*.lock")))
    assert job in {**source.releases, **source.outcomes}
    assert nothing_is_left(work_dir)
    assert worktrees(repository) == []


async def test_a_command_runs_where_it_is_told_to(shell: Shell, repository: Path) -> None:
    context = GitContext(repo=str(repository))
    outcome = await shell.run({"argv": ["ls"], "cwd": "sub"}, context)
    assert str(outcome.logs_summary).endswith("\nhere\n")


@pytest.mark.parametrize("cwd", ["..", "/etc", "sub/../..", "out", "missing", "greeting.txt"])
async def test_a_command_stays_inside_its_checkout(
    shell: Shell, repository: Path, tmp_path: Path, cwd: str
) -> None:
    (repository / "out").symlink_to(tmp_path)
    commit(repository, "with a link")
    settings = CheckoutSettings(outside_links=True)
    payload = {"argv": ["ls"], "cwd": cwd}
    outcome = await shell.run(payload, GitContext(repo=str(repository)), checkout=settings)
    assert outcome.verdict is Verdict.ERROR
    assert "payload.cwd" in str(outcome.error_message)


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({}, "payload.argv"),
        ({"argv": ["a"], "shell": "b"}, "payload.argv"),
        ({"argv": []}, "payload.argv"),
        ({"argv": "ls"}, "payload.argv"),
        ({"argv": ["ls", 1]}, "payload.argv[1]"),
        ({"argv": [""]}, "payload.argv[0]"),
        ({"argv": ["a\0b"]}, "payload.argv[0]"),
        ({"shell": ["ls"]}, "payload.shell"),
        ({"shell": ""}, "payload.shell"),
        ({"shell": "ls", "env": ["A=b"]}, "payload.env"),
        ({"shell": "ls", "env": {"A=": "b"}}, "payload.env"),
        ({"shell": "ls", "env": {"A": 1}}, "payload.env.A"),
        ({"shell": "ls", "cwd": 1}, "payload.cwd"),
        ({"shell": "ls", "checkout": True}, "payload.checkout"),
        ({"shell": "ls", "checkout": "here"}, "payload.checkout"),
        ({"shell": "ls", "checkout": {"repo": "r", "branch": "b"}}, "payload.checkout.branch"),
        ({"shell": "ls", "checkout": {"ref": "main"}}, "payload.checkout.repo"),
        ({"shell": "ls", "checkout": {"repo": "--upload-pack=x"}}, "payload.checkout.repo"),
        ({"shell": "ls", "checkout": {"repo": "/r", "ref": "-x"}}, "payload.checkout.ref"),
        ({"shell": "ls", "timeuot": 3}, "payload.timeuot"),
    ],
)
async def test_a_payload_that_is_wrong_is_refused_by_the_name_of_its_field(
    shell: Shell, payload: dict[str, Any], field: str
) -> None:
    outcome = await shell.run(payload)
    assert outcome.verdict is Verdict.ERROR
    assert str(outcome.error_message).startswith(f"InvalidInput: {field}: ")


@pytest.mark.parametrize(
    "payload",
    [
        {"env": {"TOKEN": "s3cret\0"}},
        {"env": {"TOKEN": ["s3cret"]}},
        {"env": "TOKEN=s3cret"},
        {"environment": {"TOKEN": "s3cret"}},
    ],
)
async def test_a_wrong_variable_is_refused_without_its_value(
    shell: Shell, payload: dict[str, Any]
) -> None:
    outcome = await shell.run({"shell": "true", **payload})
    assert "payload.env" in str(outcome.error_message)
    assert "s3cret" not in str(outcome.error_message)


async def test_a_work_folder_that_is_a_link_is_refused(source: FakeSource, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    source.add(payload={"argv": ["true"]})
    with pytest.raises(SetupFailed, match="work_dir"):
        await run_until_idle(agent_of(source, ShellHandler(work_dir=tmp_path / "link")))
    assert not source.called("claim")


@pytest.mark.parametrize(
    ("option", "value"), [("inherit_env", "PATH"), ("kill_after", -1.0), ("kill_after", True)]
)
async def test_an_option_that_is_wrong_is_refused(option: str, value: Any) -> None:
    with pytest.raises(InvalidInput, match=option):
        ShellHandler(**{option: value})


async def test_many_commands_run_at_once(shell: Shell, source: FakeSource) -> None:
    for _ in range(8):
        source.add(payload={"shell": "echo $CICD_JOB_ID; sleep 0.05"})
    handler = ShellHandler(work_dir=shell.work_dir)
    with anyio.fail_after(PATIENCE):
        await run_until_idle(agent_of(source, handler, slots=8))
    said = {job: outcome.logs_summary for job, outcome in source.outcomes.items()}
    assert said == {f"job-{number}": f"job-{number}\n" for number in range(1, 9)}
