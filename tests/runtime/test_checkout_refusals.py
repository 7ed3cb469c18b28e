"""What an agent does not check out, and says why."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from cicd_core.agent.shell import CheckoutSettings
from cicd_core.model.git import GitContext, Submodules
from cicd_core.model.job import Verdict
from tests.runtime.git_servers import git_server
from tests.runtime.repositories import commit, git, repository
from tests.runtime.shell_jobs import Shell, shell, work_dir

if TYPE_CHECKING:
    from pathlib import Path

    from cicd_core.model.outcome import Outcome

# Git does the work, in processes: what the event loop changes is tested in `test_shell.py`.
pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]

__all__ = ["repository", "shell", "work_dir"]  # fixtures

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def reason_of(outcome: Outcome) -> str:
    assert outcome.verdict is Verdict.ERROR
    return str(outcome.error_message)


@pytest.mark.parametrize(
    ("checkout", "field"),
    [
        ({"repo": "ext::sh -c 'touch pwned'"}, "payload.checkout.repo"),
        ({"repo": "-u/bin/sh"}, "payload.checkout.repo"),
        ({"repo": "shop.git"}, "payload.checkout.repo"),
        ({"repo": "https://ada:s3cret@example.org/x"}, "payload.checkout.repo"),
        ({"repo": "/r", "ref": "--upload-pack=x"}, "payload.checkout.ref"),
        ({"repo": "/r", "ref": "HEAD^{/"}, "payload.checkout.ref"),
        ({"repo": "/r", "commit_sha": "abc"}, "payload.checkout.commit_sha"),
        ({"repo": "/r", "depth": -1}, "payload.checkout.depth"),
        ({"repo": "/r", "filter": "tree:0"}, "payload.checkout.filter"),
        ({"repo": "/r", "sparse_paths": ["../x"]}, "payload.checkout.sparse_paths[0]"),
        ({"repo": "/r", "submodules": "all"}, "payload.checkout.submodules"),
        ({"repo": "/r", "lfs": "yes"}, "payload.checkout.lfs"),
    ],
)
async def test_a_request_that_is_wrong_is_refused_by_its_field(
    shell: Shell, checkout: dict[str, Any], field: str
) -> None:
    said = reason_of(await shell.run({"argv": ["true"], "checkout": checkout}))
    assert said.startswith(f"InvalidInput: {field}: ")
    assert "s3cret" not in said


@pytest.mark.thorough
@as_root
@pytest.mark.parametrize("what", ["all", "git folder"])
async def test_a_repository_of_another_user_must_be_trusted(
    shell: Shell, repository: Path, tmp_path: Path, what: str
) -> None:
    given = repository if what == "all" else repository / ".git"
    os.chown(given, 54321, 54321)
    for repo in (str(repository), repository.as_uri()):
        context = GitContext(repo=repo)
        said = reason_of(await shell.run({"argv": ["true"]}, context))
        assert f"{given} belongs to the user 54321" in said
        for trusted in (repository, tmp_path):
            settings = CheckoutSettings(trusted_repositories=(str(trusted),))
            outcome = await shell.run({"argv": ["true"]}, context, checkout=settings)
            assert outcome.verdict is Verdict.SUCCESS, outcome.error_message
        other = CheckoutSettings(trusted_repositories=(f"{repository}-other",))
        reason_of(await shell.run({"argv": ["true"]}, context, checkout=other))


@as_root
async def test_a_worktree_of_another_users_repository_must_be_trusted(
    shell: Shell, repository: Path, tmp_path: Path
) -> None:
    git(repository, "worktree", "add", "--quiet", "--detach", str(tmp_path / "tree"))
    context = GitContext(repo=str(tmp_path / "tree"))
    outcome = await shell.run({"argv": ["cat", "greeting.txt"]}, context)
    assert outcome.verdict is Verdict.SUCCESS, outcome.error_message
    os.chown(repository / ".git" / "worktrees" / "tree", 54321, 54321)
    assert "belongs to the user 54321" in reason_of(await shell.run({"argv": ["true"]}, context))


@pytest.mark.thorough
@pytest.mark.parametrize(
    "target",
    ["/etc", "..", "../../x", ".git/config", "sub/../../x", "loop/loop/loop/../../..", "chain"],
)
async def test_a_link_that_leads_out_is_refused_unless_the_agent_allows_it(
    shell: Shell, repository: Path, target: str
) -> None:
    (repository / "loop").symlink_to(".")
    (repository / "chain").symlink_to("sub/up")
    (repository / "sub" / "up").symlink_to("../..")
    if target != "chain":
        (repository / "chain").unlink()
        (repository / "sub" / "up").unlink()
    (repository / "bad").symlink_to(target)
    commit(repository, "with a link")
    context = GitContext(repo=str(repository))
    said = reason_of(await shell.run({"argv": ["true"]}, context))
    assert "points out of the checkout" in said
    settings = CheckoutSettings(outside_links=True)
    outcome = await shell.run({"argv": ["true"]}, context, checkout=settings)
    assert outcome.verdict is Verdict.SUCCESS, outcome.error_message


async def test_a_link_that_stays_inside_is_kept(shell: Shell, repository: Path) -> None:
    for name, target in (
        ("near", "greeting.txt"),
        ("sub/up", "../greeting.txt"),
        ("dangling", "no/such/file"),
        ("root", "."),
        ("itself", "itself"),
        (".gitignored", ".gitattributes"),
    ):
        (repository / name).symlink_to(target)
    commit(repository, "with links")
    outcome = await shell.run({"shell": "cat sub/up; ls"}, GitContext(repo=str(repository)))
    assert outcome.verdict is Verdict.SUCCESS, outcome.error_message


def with_submodule(folder: Path, inner: Path, **settings: str) -> None:
    """Give a repository a submodule whose entry in `.gitmodules` is changed afterwards."""
    allowed = ("-c", "protocol.file.allow=always")
    git(folder, *allowed, "submodule", "--quiet", "add", "--name", "s", inner.as_uri(), "lib")
    for name, value in settings.items():
        git(folder, "config", "--file", ".gitmodules", f"submodule.s.{name}", value)
    commit(folder, "with a submodule")


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"url": "ext::sh -c 'touch pwned'"}, "a transport that runs a command"),
        ({"url": "-u/bin/sh"}, "the submodule 'lib': url"),
        ({"url": "https://ada:s3cret@example.org/x"}, "remove the credentials"),
        ({"url": "ssh://-oProxyCommand=touch/x"}, "the submodule 'lib': url"),
        ({"url": ""}, "the submodule 'lib': url"),
        ({"path": "../lib"}, "the submodule path '../lib' leads out of the checkout"),
        ({"path": "/etc"}, "the submodule path '/etc' leads out of the checkout"),
        ({"path": ".git/hooks"}, "the submodule path '.git/hooks' leads out of the checkout"),
        ({"path": "sub"}, "the submodule 'lib' has no URL in .gitmodules"),
    ],
)
async def test_a_submodule_that_may_not_be_is_refused(
    shell: Shell, repository: Path, tmp_path: Path, settings: dict[str, str], says: str
) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    git(inner, "init", "--quiet", "-b", "main")
    commit(inner, "inner")
    with_submodule(repository, inner, **settings)
    context = GitContext(repo=str(repository), submodules=Submodules.RECURSIVE)
    said = reason_of(await shell.run({"argv": ["true"]}, context))
    assert says in said
    assert "s3cret" not in said


async def test_a_repository_elsewhere_has_no_submodule_on_the_agents_machine(
    shell: Shell, repository: Path, tmp_path: Path
) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    git(inner, "init", "--quiet", "-b", "main")
    commit(inner, "inner")
    for url in (str(inner), inner.as_uri(), "../../../../inner"):
        git(repository, "reset", "--quiet", "--hard", "v1")
        with_submodule(repository, inner, url=url)
        with git_server(tmp_path) as server:
            repo = f"{server.url}/repository"
            context = GitContext(repo=repo, submodules=Submodules.SHALLOW)
            said = reason_of(await shell.run({"argv": ["true"]}, context))
        assert "the agent's machine" in said or "above its parent's host" in said


async def test_a_submodule_file_that_is_a_link_is_refused(
    shell: Shell, repository: Path, tmp_path: Path
) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    git(inner, "init", "--quiet", "-b", "main")
    commit(inner, "inner")
    with_submodule(repository, inner)
    (repository / ".gitmodules").rename(repository / "modules")
    (repository / ".gitmodules").symlink_to("modules")
    commit(repository, "with a link")
    context = GitContext(repo=str(repository), submodules=Submodules.SHALLOW)
    outcome = await shell.run({"argv": ["true"]}, context)
    assert ".gitmodules" in reason_of(outcome)


async def test_the_limit_of_a_sparse_checkout_is_for_what_it_has(
    shell: Shell, repository: Path
) -> None:
    for name, lines in (("deep/large", 40_000), ("deep/small", 1), ("other", 40_000)):
        (repository / name).mkdir(parents=True)
        (repository / name / "even.txt").write_text("even\n" * lines)
    commit(repository, "large")
    settings = CheckoutSettings(max_bytes=100_000)
    for folders, fits in (
        (("deep/small",), True),
        (("sub", "deep/small"), True),
        (("deep",), False),
        (("deep/small", "other"), False),
        ((), False),
    ):
        context = GitContext(repo=str(repository), sparse_paths=folders)
        outcome = await shell.run({"argv": ["true"]}, context, checkout=settings)
        assert (outcome.verdict is Verdict.SUCCESS) == fits, folders
        assert fits or "over the limit of 100000 bytes" in reason_of(outcome)


@pytest.mark.thorough
@pytest.mark.parametrize("form", ["folder", "http"])
async def test_more_than_the_agents_limit_is_refused(
    shell: Shell, repository: Path, tmp_path: Path, form: str
) -> None:
    (repository / "even.txt").write_text("even\n" * 40_000)  # small in a pack, large in a tree
    commit(repository, "large")
    (repository / "noise").write_bytes(os.urandom(300_000))
    git(repository, "checkout", "--quiet", "-b", "noise", "v1")
    commit(repository, "larger")
    settings = CheckoutSettings(max_bytes=100_000)
    with git_server(tmp_path) as server:
        repo = str(repository) if form == "folder" else f"{server.url}/repository"
        small = await shell.run(
            {"argv": ["true"]}, GitContext(repo=repo, ref="v1"), checkout=settings
        )
        assert small.verdict is Verdict.SUCCESS, small.error_message
        for ref, says in (
            ("main", "its files take 2000"),
            ("noise", "git fetch wrote more than the limit of 100000 bytes"),
        ):
            outcome = await shell.run(
                {"argv": ["true"]}, GitContext(repo=repo, ref=ref), checkout=settings
            )
            assert says in reason_of(outcome)
        again = await shell.run({"argv": ["true"]}, GitContext(repo=repo, ref="noise"))
        assert again.verdict is Verdict.SUCCESS, again.error_message
