"""The same request gives the same commit, however the repository is addressed."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme
from attrs import define, evolve

from cicd_core.model.git import GitContext
from cicd_core.model.job import Verdict
from tests.runtime.git_servers import SSH, git_server
from tests.runtime.repositories import commit, git
from tests.runtime.shell_jobs import Shell, shell, work_dir

if TYPE_CHECKING:
    from collections.abc import Generator

    from cicd_core.model.outcome import Outcome

# Git does the work, in processes: what the event loop changes is tested in `test_shell.py`.
pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]

__all__ = ["shell", "work_dir"]  # fixtures


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """One event loop: the subject is git; the tests of the shell handler run on both."""
    return "asyncio"


NAMES = (
    "feature/#123",
    "ünï/côde",
    "a@b",
    "x$(id)",
    "q'uote",
    "back`tick",
    "perc%20ent",
    "fix;touch-pwned",
    "very/deep/branch/name/with/many/parts",
)
SHOW = {"shell": "cat greeting.txt; echo; git rev-parse HEAD; git status --porcelain"}


@define
class Scene:
    """A repository with names that are easily mistaken, in every form of an address."""

    folder: Path
    address: str
    first: str
    tagged: str
    branched: str
    evil: str
    pull: str


def scene_in(folder: Path) -> Scene:
    folder.mkdir()
    git(folder, "init", "--quiet", "-b", "main")
    first = commit(folder, "first")
    git(folder, "tag", "release")
    git(folder, "tag", "-a", "v1", "-m", "a tag with a message")
    git(folder, "checkout", "--quiet", "-b", "release")
    branched = commit(folder, "branched")
    git(folder, "checkout", "--quiet", "--detach")
    evil = commit(folder, "evil")
    git(folder, "update-ref", f"refs/heads/{first}", evil)
    pull = commit(folder, "pull")
    git(folder, "update-ref", "refs/pull/7/head", pull)
    git(folder, "update-ref", "refs/merge-requests/7/head", evil)
    git(folder, "checkout", "--quiet", "main")
    for name in NAMES:
        git(folder, "branch", "--", name, branched)
    return Scene(folder, str(folder), first, first, branched, evil, pull)


#: Addresses whose transports are those of `folder`, `ssh` or `https`.
VARIANTS = ("file", "bare", "packed", "http", "plain http")


@pytest.fixture(
    params=[
        *(pytest.param(each, marks=pytest.mark.thorough) for each in ("folder", "ssh", *VARIANTS)),
        "https",
    ]
)
def scene(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Generator[Scene]:
    made = scene_in(tmp_path / "repository")
    kind = request.param
    if kind == "packed":
        git(made.folder, "pack-refs", "--all")
        git(made.folder, "gc", "--quiet", "--prune=now")
    if kind == "file":
        yield evolve(made, address=made.folder.as_uri())
    elif kind == "bare":
        git(tmp_path, "clone", "--quiet", "--mirror", str(made.folder), "bare.git")
        yield evolve(made, address=str(tmp_path / "bare.git"))
    elif kind == "ssh":
        ssh = tmp_path / "ssh"
        ssh.write_text(SSH)
        ssh.chmod(0o755)
        monkeypatch.setenv("GIT_SSH_COMMAND", str(ssh))
        yield evolve(made, address=f"ssh://git@example.org{made.folder}")
    elif kind == "https":
        authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("GIT_SSL_CAINFO", str(tmp_path / "ca.pem"))
        with git_server(tmp_path, tls=context) as server:
            yield evolve(made, address=f"{server.url}/repository")
    elif "http" in kind:
        with git_server(tmp_path, modern=kind == "http") as server:
            yield evolve(made, address=f"{server.url}/repository")
    else:
        yield made


def head_of(outcome: Outcome) -> tuple[str, str]:
    """The content of the file, and the commit; nothing else may be there."""
    assert outcome.verdict is Verdict.SUCCESS, outcome.error_message
    said = str(outcome.logs_summary).splitlines()
    assert said[0].startswith("checked out ")
    assert len(said) == 3
    return said[1], said[2]


async def test_every_address_gives_the_same_commit_for_the_same_request(
    shell: Shell, scene: Scene
) -> None:
    """One test, since each address is a server: a table of requests and what they give."""
    requests = {
        (None, None): ("first", scene.first),
        ("HEAD", None): ("first", scene.first),
        ("main", None): ("first", scene.first),
        ("v1", None): ("first", scene.first),
        ("release", None): ("branched", scene.branched),
        ("refs/tags/release", None): ("first", scene.first),
        ("refs/heads/release", None): ("branched", scene.branched),
        (None, scene.first): ("first", scene.first),
        (scene.first, None): ("first", scene.first),
        (f"refs/heads/{scene.first}", None): ("evil", scene.evil),
        ("refs/pull/7/head", None): ("pull", scene.pull),
        ("refs/merge-requests/7/head", None): ("evil", scene.evil),
        ("refs/pull/7/head", scene.pull): ("pull", scene.pull),
        ("main", scene.branched): ("branched", scene.branched),
        ("v1", scene.first.upper()): ("first", scene.first),
    } | {(name, None): ("branched", scene.branched) for name in NAMES}
    for (ref, sha), expected in requests.items():
        outcome = await shell.run(SHOW, GitContext(repo=scene.address, ref=ref, commit_sha=sha))
        assert head_of(outcome) == expected, (ref, sha)
    assert not (Path(os.getcwd()) / "pwned").exists()  # noqa: PTH109


async def test_every_address_refuses_what_names_no_commit(shell: Shell, scene: Scene) -> None:
    tree = git(scene.folder, "rev-parse", "main^{tree}")
    tag = git(scene.folder, "rev-parse", "v1")
    for ref, sha, says in (
        ("no-such", None, "the repository has no refs/heads/no-such and no refs/tags/no-such"),
        ("refs/pull/8/head", None, "the repository has no refs/pull/8/head"),
        (None, "f" * 40, "f" * 40),
        ("release~1", None, "git.ref"),
        (None, scene.branched[:7], "git.commit_sha"),
        (None, tree, f"{tree} is a tree that does not lead to a commit"),
        (None, tag, f"commit {tag} was requested, but {scene.first} is checked out"),
    ):
        outcome = await shell.run(SHOW, GitContext(repo=scene.address, ref=ref, commit_sha=sha))
        assert outcome.verdict is Verdict.ERROR, (ref, sha)
        assert says in str(outcome.error_message)


async def test_a_commit_that_no_branch_has_comes_where_the_server_gives_it(
    shell: Shell, tmp_path: Path
) -> None:
    scene = scene_in(tmp_path / "repository")
    git(scene.folder, "checkout", "--quiet", "refs/pull/7/head")
    git(scene.folder, "update-ref", "refs/pull/7/head", commit(scene.folder, "newer"))
    git(scene.folder, "checkout", "--quiet", "main")
    for modern in (True, False):
        with git_server(tmp_path, modern=modern) as server:
            address = f"{server.url}/repository"
            by_id = await shell.run(SHOW, GitContext(repo=address, commit_sha=scene.pull))
            named = GitContext(repo=address, ref="refs/pull/7/head", commit_sha=scene.pull)
            by_name = await shell.run(SHOW, named)
        assert head_of(by_name) == ("pull", scene.pull)
        if modern:
            assert head_of(by_id) == ("pull", scene.pull)
        else:
            missing = f"no commit {scene.pull} below refs/heads/* and refs/tags/*"
            assert missing in str(by_id.error_message)


async def test_a_ref_that_moves_is_followed_and_a_commit_stays(
    shell: Shell, tmp_path: Path
) -> None:
    scene = scene_in(tmp_path / "repository")
    moved = ""
    for text in ("second", "third"):
        moved = commit(scene.folder, text)
        outcome = await shell.run(SHOW, GitContext(repo=scene.address, ref="main"))
        assert head_of(outcome) == (text, moved)
    git(scene.folder, "reset", "--quiet", "--hard", scene.first)
    rewritten = commit(scene.folder, "rewritten")
    git(scene.folder, "reflog", "expire", "--expire=now", "--all")
    git(scene.folder, "gc", "--quiet", "--prune=now")
    outcome = await shell.run(SHOW, GitContext(repo=scene.address, ref="main"))
    assert head_of(outcome) == ("rewritten", rewritten)
    # The mirror has it, though the repository does not any more.
    outcome = await shell.run(SHOW, GitContext(repo=scene.address, ref="main", commit_sha=moved))
    assert head_of(outcome) == ("third", moved)


async def test_a_commit_that_the_mirror_has_needs_no_server(shell: Shell, tmp_path: Path) -> None:
    scene = scene_in(tmp_path / "repository")
    with git_server(tmp_path) as server:
        context = GitContext(repo=f"{server.url}/repository", commit_sha=scene.first)
        assert head_of(await shell.run(SHOW, context)) == ("first", scene.first)
        before = list(server.requests)
        assert head_of(await shell.run(SHOW, context)) == ("first", scene.first)
        assert server.requests == before


async def test_a_repository_of_sha256_is_checked_out(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet", "-b", "main", "--object-format=sha256")
    made = commit(folder, "long")
    assert len(made) == 64
    for context in (
        GitContext(repo=str(folder)),
        GitContext(repo=str(folder), commit_sha=made),
    ):
        assert head_of(await shell.run(SHOW, context)) == ("long", made)


async def test_a_clone_has_the_ref_of_its_request_and_no_other(
    shell: Shell, tmp_path: Path
) -> None:
    scene = scene_in(tmp_path / "repository")
    refs = {"shell": "git for-each-ref --format='%(refname)'; git describe --tags --exact-match"}
    for ref, expected in (
        ("v1", ["refs/tags/v1", "v1"]),
        ("release", ["refs/remotes/origin/release"]),
        ("refs/pull/7/head", ["refs/pull/7/head"]),
    ):
        outcome = await shell.run(refs, GitContext(repo=scene.address, ref=ref))
        said = str(outcome.logs_summary).splitlines()[1:]
        assert [line for line in said if not line.startswith("fatal")] == expected


async def test_a_checkout_depends_on_no_folder_of_its_source(shell: Shell, tmp_path: Path) -> None:
    scene = scene_in(tmp_path / "repository")
    line = f"mv {scene.folder} {tmp_path}/away; git fsck && git log --oneline | wc -l"
    outcome = await shell.run({"shell": line}, GitContext(repo=scene.address, ref="release"))
    assert (outcome.exit_code, str(outcome.logs_summary).split()[-1]) == (0, "2")


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["two words", "ünï", "a:b", 'quo"te', "back\\slash", "per%41cent"])
async def test_a_folder_may_have_any_name(shell: Shell, tmp_path: Path, name: str) -> None:
    scene = scene_in(tmp_path / name)
    for address in (str(scene.folder), scene.folder.as_uri()):
        outcome = await shell.run(SHOW, GitContext(repo=address, ref="release"))
        assert head_of(outcome) == ("branched", scene.branched)


async def test_a_repository_without_a_commit_is_an_error(shell: Shell, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "empty")
    for address in (str(tmp_path / "empty"), (tmp_path / "empty").as_uri()):
        outcome = await shell.run(SHOW, GitContext(repo=address))
        assert outcome.verdict is Verdict.ERROR
        assert "HEAD of the repository points to no commit" in str(outcome.error_message)
