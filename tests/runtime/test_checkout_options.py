"""How much of a repository a job gets: depth, filter, folders, submodules, and files of Git LFS."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from cicd_core.agent.shell import CheckoutSettings
from cicd_core.errors import InvalidInput
from cicd_core.model.git import GitContext, ObjectFilter, Submodules
from cicd_core.model.job import Verdict
from tests.runtime.git_servers import git_server
from tests.runtime.repositories import commit, git
from tests.runtime.shell_jobs import Shell, shell, work_dir

if TYPE_CHECKING:
    from pathlib import Path

    from cicd_core.model.outcome import Outcome

# Git does the work, in processes: what the event loop changes is tested in `test_shell.py`.
pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]

__all__ = ["shell", "work_dir"]  # fixtures


def made(folder: Path, commits: int = 3) -> Path:
    """A repository with so many commits, and folders."""
    folder.mkdir()
    git(folder, "init", "--quiet", "-b", "main")
    for name in ("docs/de", "docs/en", "web/app", "web/lib"):
        (folder / name).mkdir(parents=True)
        (folder / name / "page").write_text(name)
        (folder / name).parent.joinpath("index").touch()
    for number in range(commits):
        commit(folder, f"commit {number}")
    return folder


def lines_of(outcome: Outcome) -> list[str]:
    assert outcome.verdict is Verdict.SUCCESS, outcome.error_message
    return str(outcome.logs_summary).splitlines()[1:]


COUNT = {
    "shell": "git rev-list --count HEAD; git fsck --connectivity-only --no-dangling; "
    "git status --short"
}


@pytest.mark.thorough
@pytest.mark.parametrize(
    "form",
    [
        "folder",
        "http",
        pytest.param("file", marks=pytest.mark.thorough),
        pytest.param("plain http", marks=pytest.mark.thorough),
    ],
)
async def test_a_history_is_cut_where_the_job_says(shell: Shell, tmp_path: Path, form: str) -> None:
    folder = made(tmp_path / "repository", commits=4)
    with git_server(tmp_path, modern=form == "http") as server:
        addresses = {"folder": str(folder), "file": folder.as_uri()}
        repo = addresses.get(form, f"{server.url}/repository")
        for depth, count in ((1, "1"), (3, "3"), (2, "2"), (0, "4"), (None, "4"), (100, "4")):
            outcome = await shell.run(COUNT, GitContext(repo=repo, depth=depth))
            assert lines_of(outcome) == [count], depth
        earlier = git(folder, "rev-parse", "HEAD~1")
        pinned = GitContext(repo=repo, ref="main", commit_sha=earlier, depth=2)
        assert lines_of(await shell.run(COUNT, pinned)) == ["2"]
        branchless = evolve(pinned, ref=None, depth=1)
        assert lines_of(await shell.run(COUNT, branchless)) == ["1"]


async def test_the_depth_of_one_commit_does_not_change_with_those_of_others(
    shell: Shell, tmp_path: Path
) -> None:
    folder = made(tmp_path / "repository", commits=2)
    context = GitContext(repo=str(folder), depth=2)
    first = git(folder, "rev-parse", "HEAD")
    assert lines_of(await shell.run(COUNT, context)) == ["2"]
    commit(folder, "one more")
    assert lines_of(await shell.run(COUNT, context)) == ["2"]
    assert lines_of(await shell.run(COUNT, evolve(context, commit_sha=first))) == ["2"]


async def test_the_history_of_a_shallow_repository_ends_where_its_own_does(
    shell: Shell, tmp_path: Path
) -> None:
    folder = made(tmp_path / "repository", commits=4)
    git(tmp_path, "clone", "--quiet", "--depth", "2", folder.as_uri(), "shallow")
    shallow = tmp_path / "shallow"
    for repo in (str(shallow), shallow.as_uri()):
        assert lines_of(await shell.run(COUNT, GitContext(repo=repo))) == ["2"]
        assert lines_of(await shell.run(COUNT, GitContext(repo=repo, depth=1))) == ["1"]
    git(shallow, "fetch", "--quiet", "--unshallow")
    commit(shallow, "one more")
    assert lines_of(await shell.run(COUNT, GitContext(repo=str(shallow)))) == ["5"]


@pytest.mark.parametrize("filters", [True, False])
async def test_a_filter_leaves_the_tree_as_it_is(
    shell: Shell, tmp_path: Path, *, filters: bool
) -> None:
    folder = made(tmp_path / "repository")
    git(folder, "config", "uploadpack.allowFilter", str(filters).lower())
    old = git(folder, "rev-parse", "HEAD~1:greeting.txt")
    with git_server(tmp_path) as server:
        context = GitContext(repo=f"{server.url}/repository", filter=ObjectFilter.BLOBS)
        missing = "git rev-list --objects --all --missing=print HEAD"
        line = f"cat greeting.txt web/app/page; echo; {missing} | grep -c '^?{old}'"
        for _ in range(2):
            outcome = await shell.run({"shell": f"{line}; true"}, context)
            assert lines_of(outcome) == ["commit 2web/app", str(int(filters))]


async def test_a_sparse_checkout_has_the_folders_and_the_files_above_them(
    shell: Shell, tmp_path: Path
) -> None:
    folder = made(tmp_path / "repository")
    find = {"shell": "find . -name .git -prune -o -type f -print | sort; git status --short"}
    context = GitContext(repo=str(folder), sparse_paths=("docs/en", "web"))
    assert lines_of(await shell.run(find, context)) == [
        "./docs/en/page",
        "./docs/index",
        "./greeting.txt",
        "./web/app/page",
        "./web/index",
        "./web/lib/page",
    ]
    outcome = await shell.run(find, evolve(context, sparse_paths=("docs/en", "no/such")))
    assert outcome.verdict is Verdict.ERROR
    assert "git.sparse_paths: the commit has no folder 'no/such'" in str(outcome.error_message)


def with_submodules(tmp_path: Path, url: str) -> Path:
    """A repository with a submodule, which has one itself; relative addresses."""
    made(tmp_path / "inner", commits=2)
    middle = made(tmp_path / "middle", commits=2)
    allowed = ("-c", "protocol.file.allow=always")
    git(middle, *allowed, "submodule", "--quiet", "add", (tmp_path / "inner").as_uri(), "deep")
    git(middle, "config", "--file", ".gitmodules", "submodule.deep.url", "../inner")
    commit(middle, "with the inner one")
    outer = made(tmp_path / "outer", commits=2)
    name = ("--name", 'a "name".with [all]')
    git(outer, *allowed, "submodule", "--quiet", "add", *name, middle.as_uri(), "lib/middle")
    git(outer, "config", "--file", ".gitmodules", f"submodule.{name[1]}.url", url)
    commit(outer, "with the middle one")
    commit(middle, "newer than the outer one wants")
    return outer


LIST = {
    "shell": "cat lib/middle/greeting.txt; echo; ls lib/middle/deep | wc -l; "
    "git -C lib/middle rev-list --count HEAD; git status --short; git submodule status | cut -c1"
}


@pytest.mark.thorough
@pytest.mark.parametrize("form", ["folder", "http"])
async def test_submodules_are_off_shallow_or_recursive(
    shell: Shell, tmp_path: Path, form: str
) -> None:
    outer = with_submodules(tmp_path, "../middle")
    with git_server(tmp_path) as server:
        repo = str(outer) if form == "folder" else f"{server.url}/outer"
        off = await shell.run({"shell": "ls lib/middle | wc -l"}, GitContext(repo=repo))
        assert lines_of(off) == ["0"]
        for which, inner, history in (
            (Submodules.SHALLOW, "0", "1"),
            (Submodules.RECURSIVE, "3", "3"),
        ):
            outcome = await shell.run(LIST, GitContext(repo=repo, submodules=which))
            assert lines_of(outcome) == ["with the inner one", inner, history, " "]


async def test_what_a_job_leaves_out_the_agent_decides(shell: Shell, tmp_path: Path) -> None:
    outer = with_submodules(tmp_path, "../middle")
    settings = CheckoutSettings(depth=1, submodules=Submodules.RECURSIVE)
    line = {"shell": "git rev-list --count HEAD; ls lib/middle | wc -l"}
    outcome = await shell.run(line, GitContext(repo=str(outer)), checkout=settings)
    assert lines_of(outcome) == ["1", "4"]
    own = GitContext(repo=str(outer), depth=0, submodules=Submodules.OFF)
    assert lines_of(await shell.run(line, own, checkout=settings)) == ["3", "0"]


async def test_a_payload_may_have_options_of_its_own(shell: Shell, tmp_path: Path) -> None:
    folder = made(tmp_path / "repository")
    first = git(folder, "rev-parse", "HEAD~2")
    context = GitContext(repo=str(folder), ref="main", commit_sha=git(folder, "rev-parse", "HEAD"))
    count = "git rev-list --count HEAD"
    for checkout, expected in (
        ({"depth": 1}, "1"),
        ({"commit_sha": first}, "1"),
        ({"ref": first}, "1"),
        ({"ref": "main"}, "3"),
        ({"repo": str(folder), "ref": "main", "depth": 2}, "2"),
    ):
        outcome = await shell.run({"shell": count, "checkout": checkout}, context)
        assert lines_of(outcome) == [expected], checkout


@pytest.mark.thorough
@pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed")
async def test_files_of_git_lfs_come_when_they_are_asked_for(shell: Shell, tmp_path: Path) -> None:
    folder = made(tmp_path / "repository")
    git(folder, "lfs", "install", "--local")
    git(folder, "lfs", "track", "*.bin")
    (folder / "large.bin").write_bytes(b"large" * 1000)
    commit(folder, "with a large file")
    line = {"shell": "wc -c < large.bin; git status --short"}
    for repo in (str(folder), folder.as_uri()):
        context = GitContext(repo=repo)
        for lfs, size in ((True, "5000"), (None, "129"), (False, "129"), (True, "5000")):
            outcome = await shell.run(line, evolve(context, lfs=lfs))
            assert lines_of(outcome) == [size], lfs


async def test_files_of_git_lfs_need_git_lfs(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made(tmp_path / "repository")
    (tmp_path / "bin").mkdir()
    for program in ("git", "sh"):
        (tmp_path / "bin" / program).symlink_to(str(shutil.which(program)))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    outcome = await shell.run({"argv": ["true"]}, GitContext(repo=str(folder), lfs=True))
    assert outcome.verdict is Verdict.ERROR
    assert "this machine has no git-lfs" in str(outcome.error_message)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cache_dir", 3),
        ("cache_bytes", -1),
        ("timeout_seconds", 0.0),
        ("max_bytes", 0),
        ("depth", -1),
        ("depth", None),
        ("filter", "tree:0"),
        ("submodules", "some"),
        ("lfs", "yes"),
        ("git_config", "/no/such/file"),
        ("git_config", 3),
        ("ssh_key", "/no/such/file"),
        ("trusted_repositories", "/srv"),
        ("trusted_repositories", [""]),
        ("trusted_repositories", 3),
        ("outside_links", 1),
    ],
)
def test_a_setting_that_is_wrong_is_refused_by_its_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        CheckoutSettings(**{name: value})
    assert refused.value.field == name
