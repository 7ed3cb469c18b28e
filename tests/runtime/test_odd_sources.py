"""Repositories, refs and folders that are easily misread, or made to be."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from cicd_core.agent.shell import CheckoutSettings
from cicd_core.model.git import GitContext, Submodules
from cicd_core.model.job import Verdict
from tests.runtime.git_servers import SSH, git_server
from tests.runtime.repositories import commit, git, repository
from tests.runtime.shell_jobs import Shell, shell, work_dir

if TYPE_CHECKING:
    from pathlib import Path

    from cicd_core.model.outcome import Outcome

# Git does the work, in processes: what the event loop changes is tested in `test_shell.py`.
pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]

__all__ = ["repository", "shell", "work_dir"]  # fixtures

SHOW = {"argv": ["cat", "greeting.txt"]}


def shown(outcome: Outcome) -> list[str]:
    assert outcome.verdict is Verdict.SUCCESS, outcome.error_message
    return str(outcome.logs_summary).strip("\n").split("\n")[1:]


def reason_of(outcome: Outcome) -> str:
    assert outcome.verdict is Verdict.ERROR
    return str(outcome.error_message)


def new(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "-b", "main")
    commit(folder, text)
    return folder


def add_submodule(folder: Path, inner: Path, path: str, url: str | None = None) -> None:
    allowed = ("-c", "protocol.file.allow=always")
    git(folder, *allowed, "submodule", "--quiet", "add", inner.as_uri(), path)
    if url is not None:
        git(folder, "config", "--file", ".gitmodules", f"submodule.{path}.url", url)
    commit(folder, f"with {path}")


@pytest.mark.thorough
@pytest.mark.parametrize(
    "name", ["no\u00a0break", "wide\u3000space", "line\u2028end", "next\u0085line"]
)
async def test_a_ref_may_hold_every_character_that_git_allows(
    shell: Shell, repository: Path, name: str
) -> None:
    git(repository, "update-ref", f"refs/heads/{name}", "v1")
    for ref in (name, f"refs/heads/{name}"):
        outcome = await shell.run(SHOW, GitContext(repo=str(repository), ref=ref))
        assert shown(outcome) == ["hello"]


@pytest.mark.parametrize("ref", ["refs/tags/HEAD", "refs/HEAD", "refs/heads/HEAD"])
async def test_a_ref_may_be_called_head(shell: Shell, repository: Path, ref: str) -> None:
    git(repository, "update-ref", ref, "v1")
    outcome = await shell.run(SHOW, GitContext(repo=str(repository), ref=ref))
    assert shown(outcome) == ["hello"]


async def test_the_banner_of_a_server_is_no_part_of_what_git_prints(
    shell: Shell, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text(SSH.replace("exec sh", "printf 'Welcome! ' >&2\nexec sh"))
    ssh.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(ssh))
    context = GitContext(repo=f"git@example.org:{repository}", ref="main")
    assert shown(await shell.run(SHOW, context)) == ["goodbye"]


async def test_a_repository_around_the_jobs_folders_configures_nothing(
    shell: Shell, repository: Path, tmp_path: Path
) -> None:
    """A job, or another user where all may write, can put one there."""
    spy = tmp_path / "spy"
    spy.write_text(f"#!/bin/sh\ntouch {tmp_path}/spied\nexit 1\n")
    spy.chmod(0o755)
    other = new(tmp_path / "other", "another repository")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "config", "core.sshCommand", str(spy))
    git(tmp_path, "config", f"url.{other}.insteadOf", str(repository))
    assert shown(await shell.run(SHOW, GitContext(repo=str(repository)))) == ["goodbye"]
    away = GitContext(repo="ssh://127.0.0.1:1/web")
    assert "git ls-remote failed" in reason_of(await shell.run(SHOW, away))
    assert not (tmp_path / "spied").exists()


async def test_a_folder_may_be_named_without_its_ending(shell: Shell, tmp_path: Path) -> None:
    new(tmp_path / "source", "in web.git")
    git(tmp_path, "clone", "--quiet", "--bare", "source", "web.git")
    web = tmp_path / "web"
    for _ in range(2):
        for repo in (str(web), f"{web}/", web.as_uri()):
            assert shown(await shell.run(SHOW, GitContext(repo=repo))) == ["in web.git"]
        web.mkdir(exist_ok=True)  # no repository: git takes the other one still


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
async def test_the_owner_counts_of_the_folder_that_git_takes(shell: Shell, tmp_path: Path) -> None:
    new(tmp_path / "source", "theirs")
    git(tmp_path, "clone", "--quiet", "--bare", "source", "web.git")
    os.chown(tmp_path / "web.git", 54321, 54321)
    (tmp_path / "web").mkdir()
    outcome = await shell.run(SHOW, GitContext(repo=str(tmp_path / "web")))
    assert "belongs to the user 54321" in reason_of(outcome)


@pytest.mark.thorough
async def test_a_relative_submodule_begins_at_the_address_that_was_named(
    shell: Shell, tmp_path: Path
) -> None:
    web = new(tmp_path / "disk" / "web", "web")
    new(tmp_path / "disk" / "lib", "beside the folder")
    add_submodule(web, new(tmp_path / "lib", "beside the link"), "lib", "../lib")
    link = tmp_path / "web"
    link.symlink_to(web)
    for repo in (str(link), f"{link}/", link.as_uri()):
        context = GitContext(repo=repo, submodules=Submodules.RECURSIVE)
        outcome = await shell.run({"argv": ["cat", "lib/greeting.txt"]}, context)
        assert shown(outcome) == ["beside the link"]


async def test_a_section_of_gitmodules_without_a_path_means_nothing(
    shell: Shell, tmp_path: Path
) -> None:
    web = new(tmp_path / "web", "web")
    git(web, "config", "--file", ".gitmodules", "submodule.old.ignore", "dirty")
    add_submodule(web, new(tmp_path / "lib", "lib"), "lib")
    context = GitContext(repo=str(web), submodules=Submodules.RECURSIVE)
    outcome = await shell.run({"argv": ["cat", "lib/greeting.txt"]}, context)
    assert shown(outcome) == ["lib"]


@pytest.mark.thorough
@pytest.mark.parametrize(
    "target",
    [
        pytest.param("lib/" + "here/" * 30 + "../" * 31 + "etc", id="out"),
        pytest.param("lib/.git/config", id="into its .git"),
        pytest.param("lib/here/.git", id="into its .git, by a link"),
    ],
)
async def test_a_link_is_followed_through_the_links_of_submodules(
    shell: Shell, tmp_path: Path, target: str
) -> None:
    lib = new(tmp_path / "lib", "lib")
    (lib / "here").symlink_to(".")
    commit(lib, "with a link")
    web = new(tmp_path / "web", "web")
    (web / "bad").symlink_to(target)
    add_submodule(web, lib, "lib")
    context = GitContext(repo=str(web), submodules=Submodules.RECURSIVE)
    said = reason_of(await shell.run({"argv": ["true"]}, context))
    assert "the symbolic link 'bad' points out of the checkout" in said


@pytest.mark.thorough
async def test_a_submodules_link_may_lead_into_its_parent_and_no_further(
    shell: Shell, tmp_path: Path
) -> None:
    for target, works in (("../greeting.txt", True), ("../../x", False), ("../.git/HEAD", False)):
        lib = new(tmp_path / f"lib{len(target)}", "lib")
        (lib / "up").symlink_to(target)
        commit(lib, "with a link")
        web = new(tmp_path / f"web{len(target)}", "web")
        add_submodule(web, lib, "lib")
        context = GitContext(repo=str(web), submodules=Submodules.RECURSIVE)
        outcome = await shell.run({"argv": ["cat", "lib/up"]}, context)
        if works:
            assert shown(outcome) == ["with lib"]
        else:
            assert "the symbolic link 'lib/up' points out" in reason_of(outcome)


@pytest.mark.thorough
async def test_the_limit_is_for_a_checkout_with_its_submodules(
    shell: Shell, tmp_path: Path
) -> None:
    web = new(tmp_path / "web", "web")
    for name in ("one", "two"):
        lib = new(tmp_path / name, name)
        (lib / "noise").write_bytes(os.urandom(60_000))
        commit(lib, name)
        add_submodule(web, lib, name)
    context = GitContext(repo=str(web), submodules=Submodules.SHALLOW)
    for limit, works in ((200_000, True), (100_000, False)):
        settings = CheckoutSettings(max_bytes=limit)
        outcome = await shell.run({"argv": ["true"]}, context, checkout=settings)
        if works:
            assert outcome.verdict is Verdict.SUCCESS, outcome.error_message
        else:
            said = reason_of(outcome)
            assert "'two': " in said
            assert "over the limit of 100000 bytes" in said


@pytest.mark.thorough
async def test_a_commit_of_ten_million_files_is_refused(shell: Shell, tmp_path: Path) -> None:
    """Seven trees name ten of each other: a few hundred bytes, and no room for a list of them."""
    folder = new(tmp_path / "web", "small")

    def written(kind: str, content: bytes) -> str:
        command = ["git", "hash-object", "-w", "-t", kind, "--stdin"]
        done = subprocess.run(command, cwd=folder, input=content, check=True, capture_output=True)
        return done.stdout.decode().strip()

    oid, mode = written("blob", b""), b"100644"
    for _ in range(7):
        entries = [b"%s f%d\0%s" % (mode, at, bytes.fromhex(oid)) for at in range(10)]
        oid, mode = written("tree", b"".join(entries)), b"40000"
    git(folder, "update-ref", "refs/heads/bomb", git(folder, "commit-tree", "-m", "bomb", oid))
    outcome = await shell.run(SHOW, GitContext(repo=str(folder), ref="bomb"))
    assert "git ls-tree wrote more than the limit of 134217728 bytes" in reason_of(outcome)


@pytest.mark.thorough
async def test_refs_that_can_t_stand_side_by_side_follow_one_another(
    shell: Shell, tmp_path: Path
) -> None:
    """A server that gives no commit by its id is asked for the ref."""
    folder = new(tmp_path / "web", "first")

    def next_one(ref: str, text: str) -> GitContext:
        made = commit(folder, text)
        git(folder, "commit", "--quiet", "--allow-empty", "-m", "newer")
        git(folder, "update-ref", ref, "HEAD")
        return GitContext(repo=f"{server.url}/web", ref=ref, commit_sha=made)

    git(folder, "checkout", "--quiet", "--detach")
    with git_server(tmp_path, modern=False) as server:
        for name in ("refs/pull/7", "refs/heads/topic"):
            assert shown(await shell.run(SHOW, next_one(name, f"{name} one"))) == [f"{name} one"]
            git(folder, "update-ref", "-d", name)
            below = next_one(f"{name}/head", f"{name} two")
            assert shown(await shell.run(SHOW, below)) == [f"{name} two"]


async def test_a_damaged_file_is_found_that_no_archive_would_have(
    shell: Shell, repository: Path, tmp_path: Path
) -> None:
    (repository / ".gitattributes").write_text("* export-ignore\n")
    (repository / "noise").write_bytes(os.urandom(60_000))
    commit(repository, "not to be exported")
    context = GitContext(repo=str(repository))
    settings = CheckoutSettings(cache_dir=tmp_path / "cache")
    assert shown(await shell.run(SHOW, context, checkout=settings)) == ["not to be exported"]
    (pack,) = (tmp_path / "cache").glob("*/objects/pack/*.pack")
    content = bytearray(pack.read_bytes())
    content[20_000:40_000] = bytes(20_000)
    pack.chmod(0o600)
    pack.write_bytes(content)
    assert shown(await shell.run(SHOW, context, checkout=settings)) == ["not to be exported"]


async def test_line_ends_are_those_of_the_commit(
    shell: Shell, repository: Path, tmp_path: Path
) -> None:
    config = tmp_path / "agent.gitconfig"
    git(tmp_path, "config", "--file", str(config), "core.autocrlf", "true")
    commit(repository, "one\ntwo\n")
    line = {"shell": "tr '\\r' '!' < greeting.txt; git status --short"}
    settings = CheckoutSettings(git_config=config)
    outcome = await shell.run(line, GitContext(repo=str(repository)), checkout=settings)
    assert shown(outcome) == ["one", "two"]
