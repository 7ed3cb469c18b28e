"""What a checkout takes beside git's own ways, on a repository of 3,400 files.

    python -m benchmarks.checkouts

measures, in turns, on this machine: ``git worktree add``, ``git clone --shared``, and a job's
checkout from a mirror that is there, by a commit and by a branch. The ratios of the medians are
what counts: milliseconds are those of one machine.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import anyio

from cicd_core.agent.shell.checkout import CheckoutContext, CheckoutSettings, check_out
from cicd_core.agent.shell.checkout.mirror_cache import MirrorCache
from cicd_core.agent.shell.workspace import open_workspace
from cicd_core.model.git import GitContext
from tests.runtime.repositories import git

FILES = 3_400
FOLDERS = 200
Contestant = Callable[[int], Awaitable[None]]


def make_repository(folder: Path, files: int) -> str:
    folder.mkdir()
    git(folder, "init", "--quiet", "-b", "main")
    for number in range(files):
        file = folder / f"d{number % FOLDERS}" / f"f{number}.txt"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"{number}\n" * 150)
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "all")
    return git(folder, "rev-parse", "HEAD")


async def _git(*args: str) -> None:
    await anyio.run_process(["git", *args])


async def worktree(repository: Path, place: Path, number: int) -> None:
    await _git("-C", str(repository), "worktree", "add", "-q", "--detach", f"{place}/w{number}")


async def shared_clone(repository: Path, place: Path, number: int) -> None:
    await _git("clone", "-q", "--shared", str(repository), f"{place}/c{number}")


async def checkout(git: GitContext, place: Path, cache: Path, name: str, number: int) -> None:
    settings = CheckoutSettings(cache_dir=cache)
    workspace = open_workspace(place / "work", f"{name}{number}")
    context = CheckoutContext(
        settings=settings,
        cache=MirrorCache(settings.folder, settings.cache_bytes),
        workspace=workspace,
        environ=os.environ,
        kill_after=1.0,
        followed=lambda _: contextlib.nullcontext(),
    )
    await check_out(git, context)


async def measure(contestants: dict[str, Contestant], rounds: int) -> dict[str, list[float]]:
    """Let the contestants take turns: what else the machine does befalls all of them."""
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        for name, contestant in contestants.items():
            began = time.perf_counter()
            await contestant(number)
            taken[name].append(1000 * (time.perf_counter() - began))
    return taken


async def main(files: int, rounds: int) -> None:
    place = Path(tempfile.mkdtemp(prefix="cicd-core-checkouts-"))
    try:
        repository, cache = place / "repository", place / "cache"
        head = make_repository(repository, files)
        branch = GitContext(repo=str(repository), ref="main")
        commit = GitContext(repo=str(repository), commit_sha=head)
        began = time.perf_counter()
        await checkout(branch, place, cache, "first", 0)
        print(
            f"{1000 * (time.perf_counter() - began):7.0f} ms  the first one, which makes the mirror"
        )
        ours = "a job's checkout"
        taken = await measure(
            {
                "git worktree add": partial(worktree, repository, place),
                "git clone --shared": partial(shared_clone, repository, place),
                f"{ours}, by commit": partial(checkout, commit, place, cache, "commit"),
                f"{ours}, by branch": partial(checkout, branch, place, cache, "branch"),
            },
            rounds,
        )
    finally:
        shutil.rmtree(place, ignore_errors=True)
    medians = {name: statistics.median(times) for name, times in taken.items()}
    for name, median in medians.items():
        print(f"{median:7.0f} ms  {name}")
    for name, median in medians.items():
        if name.startswith(ours):
            for other in ("git worktree add", "git clone --shared"):
                print(f"{median / medians[other]:7.2f}     {name} / {other}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=FILES)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    anyio.run(main, given.files, given.rounds)
