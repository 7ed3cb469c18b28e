"""Mirrors are shared, repaired, dropped and rewritten, and no checkout fails of it."""

from __future__ import annotations

import os
import random
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from cicd_core.agent import SetupFailed
from cicd_core.agent.shell import CheckoutSettings, ShellHandler
from cicd_core.agent.shell.checkout import mirror as mirror_module
from cicd_core.agent.shell.file_lock import locked, try_lock
from cicd_core.forks import close_unshared
from cicd_core.model.git import GitContext
from cicd_core.model.job import JobState, Verdict
from tests.patience import PATIENCE
from tests.runtime.checkout_storms import Storm, kill_some, run_all
from tests.runtime.embedding import agent_of, run_until_idle
from tests.runtime.git_servers import git_server
from tests.runtime.repositories import commit, git, repository
from tests.runtime.shell_jobs import Shell, nothing_is_left, shell, work_dir

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.runtime.fake_source import FakeSource

# Git does the work, in processes: what the event loop changes is tested in `test_shell.py`.
pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]

__all__ = ["repository", "shell", "work_dir"]  # fixtures

SHOW = {"argv": ["cat", "greeting.txt"]}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def settings(cache: Path) -> CheckoutSettings:
    return CheckoutSettings(cache_dir=cache)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def mirrors_in(cache: Path) -> list[Path]:
    return sorted(path for path in cache.iterdir() if path.is_dir())


def below(mirror: Path, pattern: str) -> Iterator[Path]:
    found = list(mirror.glob(pattern))
    assert found, pattern
    return iter(found)


def cut(pattern: str) -> Callable[[Path], None]:
    """Return what leaves half of each file that matches, as a power loss may."""

    def damage(mirror: Path) -> None:
        for file in below(mirror, pattern):
            file.chmod(0o600)
            os.truncate(file, file.stat().st_size // 2)

    return damage


def empty(pattern: str) -> Callable[[Path], None]:
    def damage(mirror: Path) -> None:
        for file in below(mirror, pattern):
            file.chmod(0o600)
            os.truncate(file, 0)

    return damage


def remove(pattern: str) -> Callable[[Path], None]:
    def damage(mirror: Path) -> None:
        for file in below(mirror, pattern):
            file.unlink()

    return damage


def flip(mirror: Path) -> None:
    """Change bytes in the middle of each pack."""
    for pack in below(mirror, "objects/pack/*.pack"):
        pack.chmod(0o600)
        data = bytearray(pack.read_bytes())
        for place in range(len(data) // 3, 2 * len(data) // 3):
            data[place] ^= 0xFF
        pack.write_bytes(data)


def leave_locks(mirror: Path) -> None:
    for name in ("config.lock", "HEAD.lock", "shallow.lock", "packed-refs.lock"):
        (mirror / name).touch()
    for pin in list(below(mirror, "refs/pins/*")):
        pin.with_name(f"{pin.name}.lock").touch()
    (mirror / "objects" / "pack" / "tmp_pack_XXXX").touch()


@pytest.mark.thorough
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(cut("objects/pack/*.pack"), id="half a pack"),
        pytest.param(cut("objects/pack/*.idx"), id="half an index"),
        pytest.param(empty("objects/pack/*"), id="empty packs"),
        pytest.param(remove("objects/pack/*"), id="no packs"),
        pytest.param(flip, id="other bytes"),
        pytest.param(empty("refs/pins/*"), id="empty refs"),
        pytest.param(remove("refs/pins/*"), id="no refs"),
        pytest.param(empty("config"), id="empty configuration"),
        pytest.param(empty("HEAD"), id="empty HEAD"),
        pytest.param(empty("trees/*"), id="empty facts"),
        pytest.param(leave_locks, id="locks of git"),
        pytest.param(shutil.rmtree, id="no mirror"),
    ],
)
async def test_a_damaged_mirror_is_repaired_or_made_again(
    shell: Shell,
    repository: Path,
    cache: Path,
    settings: CheckoutSettings,
    damage: Callable[[Path], None],
) -> None:
    context = GitContext(repo=str(repository), ref="main")
    first = await shell.run(SHOW, context, checkout=settings)
    assert first.verdict is Verdict.SUCCESS, first.error_message
    (mirror,) = mirrors_in(cache)
    damage(mirror)
    again = await shell.run(SHOW, context, checkout=settings)
    assert (again.verdict, again.error_message) == (Verdict.SUCCESS, None)
    text = "a" * 1000
    commit(repository, text)
    for _ in range(2):
        newer = await shell.run(SHOW, context, checkout=settings)
        assert (newer.verdict, newer.error_message) == (Verdict.SUCCESS, None)
        assert str(newer.logs_summary).endswith(text)
    (mirror,) = mirrors_in(cache)
    assert git(mirror, "fsck", "--connectivity-only", "--no-dangling") == ""
    assert [*mirror.rglob("*.lock"), *mirror.rglob("tmp_*")] == []


async def test_a_server_that_does_not_answer_costs_no_mirror(
    shell: Shell, repository: Path, tmp_path: Path, cache: Path, settings: CheckoutSettings
) -> None:
    with git_server(tmp_path) as server:
        repo = f"{server.url}/repository"
        done = await shell.run(SHOW, GitContext(repo=repo), checkout=settings)
        assert done.verdict is Verdict.SUCCESS, done.error_message
    before = mirrors_in(cache)
    for context in (GitContext(repo=repo), GitContext(repo=repo, commit_sha="f" * 40)):
        gone = await shell.run(SHOW, context, checkout=settings)
        assert gone.verdict is Verdict.ERROR
    assert mirrors_in(cache) == before
    missing = GitContext(repo=str(repository), commit_sha="f" * 40)
    for _ in range(2):
        outcome = await shell.run(SHOW, missing, checkout=settings)
        assert outcome.verdict is Verdict.ERROR
    assert len(mirrors_in(cache)) == 2
    assert not [mirror for mirror in mirrors_in(cache) if (mirror / "damaged").exists()]


def made(tmp_path: Path, name: str) -> str:
    folder = tmp_path / name
    folder.mkdir()
    git(folder, "init", "--quiet", "-b", "main")
    (folder / "noise").write_bytes(os.urandom(100_000))
    commit(folder, name)
    return str(folder)


def kept_in(cache: Path, repos: Iterable[str]) -> set[str]:
    """Return the repositories that have a mirror."""
    texts = [(mirror / "config").read_text() for mirror in mirrors_in(cache)]
    return {repo for repo in repos if any(repo in text for text in texts)}


async def test_the_mirror_used_longest_ago_makes_room(
    shell: Shell, tmp_path: Path, cache: Path
) -> None:
    settings = CheckoutSettings(cache_dir=cache, cache_bytes=350_000)
    repos = {name: made(tmp_path, name) for name in ("a", "b", "c", "d")}

    async def use(*names: str) -> None:
        for name in names:
            outcome = await shell.run(SHOW, GitContext(repo=repos[name]), checkout=settings)
            assert str(outcome.logs_summary).endswith(name)

    def kept() -> set[str]:
        return {Path(repo).name for repo in kept_in(cache, repos.values())}

    await use("a", "b", "c", "a", "d")
    assert kept() == {"a", "c", "d"}
    await use("b")
    assert kept() == {"a", "b", "d"}
    assert len(names_in(cache)) == 3 + 3 + 4  # mirrors, their locks, and one for each repository


async def test_a_mirror_that_a_job_borrows_is_not_dropped(
    source: FakeSource, tmp_path: Path, cache: Path, work_dir: Path
) -> None:
    settings = CheckoutSettings(cache_dir=cache, cache_bytes=0)
    first, *others = (made(tmp_path, name) for name in ("a", "b", "c"))
    wait = f"touch {tmp_path}/at-work; while ! test -e {tmp_path}/go; do sleep 0.01; done"
    long = source.add(
        payload={"shell": f"{wait}; git fsck && git show HEAD:greeting.txt"},
        git=GitContext(repo=first),
    )
    handler = ShellHandler(work_dir=work_dir, checkout=settings)
    other = ShellHandler(work_dir=work_dir, checkout=settings)

    async def drop() -> None:
        with anyio.fail_after(PATIENCE):
            while not await anyio.Path(tmp_path / "at-work").exists():  # noqa: ASYNC110
                await anyio.sleep(0.01)
        for repo in others:
            source.add("other", payload=SHOW, git=GitContext(repo=repo))
            neighbour = agent_of(source, other)
            neighbour.add_handler("other", other)
            await run_until_idle(neighbour)
        # That of the first job, and that of the last one, which had it at the time.
        assert kept_in(cache, (first, *others)) == {first, others[-1]}
        (tmp_path / "go").touch()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_until_idle, agent_of(source, handler))
        tasks.start_soon(drop)
    assert source.outcomes[long].verdict is Verdict.SUCCESS
    assert nothing_is_left(work_dir)


@pytest.mark.thorough
async def test_many_jobs_of_one_repository_at_once(
    source: FakeSource, tmp_path: Path, repository: Path, settings: CheckoutSettings, work_dir: Path
) -> None:
    commits = [commit(repository, f"{number}") for number in range(6)]
    for number in range(48):
        sha = commits[number % 8] if number % 8 < 6 else None
        payload = {"shell": f"test $(git rev-parse HEAD) = {sha or commits[-1]}"}
        source.add(payload=payload, git=GitContext(repo=str(repository), commit_sha=sha))
    agents = [
        agent_of(source, ShellHandler(work_dir=work_dir, checkout=settings), slots=12)
        for _ in range(2)
    ]
    async with anyio.create_task_group() as tasks:
        for agent in agents:
            tasks.start_soon(run_until_idle, agent)
    errors = {outcome.error_message for outcome in source.outcomes.values()}
    assert (len(source.outcomes), errors) == (48, {None})
    assert nothing_is_left(work_dir)


@pytest.mark.thorough
async def test_the_packs_of_many_fetches_are_joined_and_lose_nothing(
    shell: Shell,
    repository: Path,
    cache: Path,
    settings: CheckoutSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mirror_module, "MOST_PACKS", 4)
    context = GitContext(repo=str(repository), ref="main")
    commits: list[str] = []
    for number in range(12):
        git(repository, "reset", "--quiet", "--hard", "v1")
        commits.append(commit(repository, f"rewritten {number}"))
        outcome = await shell.run(SHOW, context, checkout=settings)
        assert str(outcome.logs_summary).endswith(f"rewritten {number}")
    (mirror,) = mirrors_in(cache)
    assert len(list(below(mirror, "objects/pack/*.pack"))) <= 5
    for sha in commits:
        assert git(mirror, "cat-file", "-t", sha) == "commit"


@pytest.mark.thorough
async def test_a_repository_that_is_rewritten_all_the_time_is_checked_out(
    shell: Shell, repository: Path, settings: CheckoutSettings
) -> None:
    stop = threading.Event()

    def rewrite() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            git(repository, "reset", "--quiet", "--hard", "v1")
            commit(repository, f"rewritten {number}")
            git(repository, "reflog", "expire", "--expire=now", "--all")
            git(repository, "gc", "--quiet", "--prune=now")

    thread = threading.Thread(target=rewrite)
    thread.start()
    try:
        for number in range(12):
            depth = number % 2
            context = GitContext(repo=str(repository), ref="main", depth=depth)
            outcome = await shell.run(SHOW, context, checkout=settings)
            assert outcome.verdict is Verdict.SUCCESS, outcome.error_message
    finally:
        stop.set()
        thread.join()


@pytest.mark.thorough
async def test_a_cache_folder_that_can_t_be_used_is_the_machines_fault(
    source: FakeSource, repository: Path, tmp_path: Path, work_dir: Path
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    for cache in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / "link"):
        settings = CheckoutSettings(cache_dir=cache)
        job = source.add(payload=SHOW, git=GitContext(repo=str(repository)))
        handler = ShellHandler(work_dir=work_dir, checkout=settings)
        with pytest.raises(SetupFailed, match="cache"):
            await run_until_idle(agent_of(source, handler))
        assert job not in source.outcomes


async def test_a_folder_that_can_t_be_removed_is_removed_by_a_later_job(
    shell: Shell, source: FakeSource, work_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        """Remove nothing, as where a file is in use on a network's file system."""

    source.add(payload={"argv": ["true"]})
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", refuse)
        await run_until_idle(agent_of(source, ShellHandler(work_dir=work_dir)))
    assert len(names_in(work_dir)) >= 2
    await shell.run({"argv": ["true"]})


async def test_what_agents_left_half_made_is_removed(
    shell: Shell, repository: Path, cache: Path, settings: CheckoutSettings, work_dir: Path
) -> None:
    context = GitContext(repo=str(repository))
    await shell.run(SHOW, context, checkout=settings)
    (mirror,) = mirrors_in(cache)
    key = mirror.name.partition("-")[0]
    for name in (f"{key}-2.new", f"{key}-1.gone", f"{'0' * 32}-1.new"):
        (cache / name / "refs").mkdir(parents=True)
    (cache / f"{'0' * 32}.writer").touch()
    (mirror / "shallow.lock").touch()
    (work_dir / "job-1.new").touch()
    outcome = await shell.run(SHOW, context, checkout=settings)
    assert outcome.verdict is Verdict.SUCCESS, outcome.error_message
    assert names_in(cache) == {
        mirror.name,
        f"{mirror.name}.users",
        f"{key}.writer",
    }
    assert not (mirror / "shallow.lock").exists()


async def test_a_lock_is_held_by_one_at_a_time_and_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    inside = 0

    async def hold() -> None:
        nonlocal inside
        async with locked(file):
            inside += 1
            assert inside == 1
            await anyio.sleep(0.001)
            inside -= 1

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(hold)
    shared = [try_lock(file, exclusive=False) for _ in range(2)]
    assert try_lock(file, exclusive=True) is None
    with anyio.move_on_after(0.05) as waited:
        async with locked(file):
            raise AssertionError
    assert waited.cancelled_caught
    for lock in shared:
        assert lock is not None
        close_unshared(lock)
    alone = try_lock(file, exclusive=True)
    assert alone is not None
    close_unshared(alone)


@pytest.mark.asyncio_only
@pytest.mark.thorough
async def test_agents_share_mirrors_and_leave_nothing(tmp_path: Path) -> None:
    storm = Storm(tmp_path, commits=10)
    states = await anyio.to_thread.run_sync(lambda: run_all(storm, 60, agents=2, slots=16))
    assert states == {JobState.SUCCESS: 60}
    assert not storm.leftovers()


@pytest.mark.thorough
@pytest.mark.asyncio_only
async def test_an_agent_that_is_killed_leaves_no_process_and_no_lock(tmp_path: Path) -> None:
    storm = Storm(tmp_path, commits=10)
    await anyio.to_thread.run_sync(lambda: kill_some(storm, 4, random.Random(4)))
