"""Storms of checkouts: many jobs of one repository on several agents, and agents that are killed.

    python -m tests.runtime.checkout_storms --jobs 1000 --kills 200

The agents are processes of `cicd-core agent`; the store is a SQLite file.
"""

from __future__ import annotations

import argparse
import fcntl
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import anyio
from attrs import frozen

from cicd_core import ControlPlane, GitContext, JobSpec, JobState, RetryPolicy
from cicd_core.model.job import FINAL_STATES
from tests.lifeline import Guarded
from tests.patience import PATIENCE
from tests.runtime.processes import processes_in
from tests.runtime.repositories import commit, git

#: The longest that an agent lives before it is killed, in seconds: from its start to jobs at work.
_LONGEST_LIFE = 4.0
#: How many jobs are added before each agent that is killed.
_JOBS_OF_A_LIFE = 8


@frozen
class Leftovers:
    """What should not be there when all agents have gone."""

    #: What is in the folder of workspaces.
    workspaces: list[str]
    #: Locks that a process holds.
    held: list[str]
    #: Locks and half-written files of git, in the mirrors.
    of_git: list[str]
    #: Processes that work in the storm's folder.
    processes: list[str]

    def __bool__(self) -> bool:
        return bool(self.workspaces or self.held or self.of_git or self.processes)


class Storm:
    """One folder with a repository, a store, and the agents' folders."""

    def __init__(self, folder: Path, *, commits: int) -> None:
        """Make the repository: each commit changes a file."""
        self.folder = folder
        self.repository = folder / "repository"
        self.work, self.cache = folder / "work", folder / "cache"
        self.url = f"sqlite:///{folder}/jobs.db"
        self.repository.mkdir()
        git(self.repository, "init", "--quiet", "-b", "main")
        for number in range(40):
            (self.repository / f"f{number}").write_text(f"{number}\n" * 50)
        self.commits = [commit(self.repository, f"commit {number}") for number in range(commits)]

    async def enqueue(self, number: int, dice: random.Random, *, attempts: int) -> None:
        """Add jobs: of the branch, of old commits, whole and cut."""
        requests = [
            GitContext(
                repo=str(self.repository),
                ref="main" if dice.random() < 0.3 else None,
                commit_sha=dice.choice(self.commits) if dice.random() < 0.8 else None,
                depth=dice.choice((0, 0, 1, 2)),
            )
            for _ in range(number)
        ]
        retry = RetryPolicy(max_attempts=attempts, backoff_base=0.0)
        specs = [
            JobSpec(
                job_type="shell",
                payload={"shell": f"test $(git rev-parse HEAD) = {request.commit_sha or '$CHECK'}"}
                | ({} if request.commit_sha else {"env": {"CHECK": self.commits[-1]}}),
                git=request,
                retry=retry,
            )
            for request in requests
        ]
        async with ControlPlane.open(self.url) as plane:
            for first in range(0, number, 500):
                await plane.queue.enqueue_many(specs[first : first + 500])

    async def states(self) -> Counter[JobState]:
        """Count the jobs by their states."""
        found: Counter[JobState] = Counter()
        async with ControlPlane.open(self.url) as plane:
            cursor = None
            while True:
                page = await plane.jobs.list(limit=100, cursor=cursor)
                found.update(job.state for job in page.items)
                cursor = page.cursor
                if cursor is None:
                    return found

    def agent(self, *options: str, slots: int) -> subprocess.Popen[bytes]:
        """Start an agent."""
        command = [
            *(sys.executable, "-m", "cicd_core.cli", "agent", "--quiet", "--lease", "5"),
            *("--store", self.url, "--slots", str(slots), "--workdir", str(self.work)),
            *("--cache-dir", str(self.cache), "--log-dir", str(self.folder / "logs"), *options),
        ]
        return Guarded(command, stdin=subprocess.DEVNULL)

    def leftovers(self) -> Leftovers:
        """Look at what is there."""
        locks = [*self.work.glob("*"), *self.cache.glob("*.writer"), *self.cache.glob("*.users")]
        patterns = ("*/*.lock", "*/refs/**/*.lock", "*/objects/pack/tmp_*")
        of_git = [str(found) for each in patterns for found in self.cache.glob(each)]
        return Leftovers(
            workspaces=[each.name for each in self.work.glob("*")],
            held=[lock.name for lock in locks if lock.is_file() and is_held(lock)],
            of_git=of_git,
            processes=processes_in(self.folder),
        )


def is_held(lock: Path) -> bool:
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def run_all(storm: Storm, jobs: int, *, agents: int, slots: int) -> Counter[JobState]:
    """Let agents do jobs until none is left; return how the jobs ended."""
    anyio.run(lambda: storm.enqueue(jobs, random.Random(jobs), attempts=1))
    started = [storm.agent("--until-idle", slots=slots) for _ in range(agents)]
    for agent in started:
        assert agent.wait() == 0
    return anyio.run(storm.states)


def kill_some(storm: Storm, kills: int, dice: random.Random) -> None:
    """Kill agents at random moments; after each one, no process and no lock may be left."""
    for number in range(kills):
        anyio.run(lambda: storm.enqueue(_JOBS_OF_A_LIFE, dice, attempts=100))
        if dice.random() < 0.3:  # let the next one make its mirrors again
            shutil.rmtree(storm.cache, ignore_errors=True)
        agent = storm.agent(slots=8)
        time.sleep(dice.uniform(0.0, _LONGEST_LIFE))
        agent.send_signal(signal.SIGKILL)
        agent.wait()
        deadline = time.monotonic() + PATIENCE
        while (left := storm.leftovers()).processes or left.held:
            assert time.monotonic() < deadline, f"after kill {number}: {left}"
            time.sleep(0.01)


def finish(storm: Storm) -> Counter[JobState]:
    """Run agents until every job has ended: those of killed agents come back with their leases."""
    deadline = time.monotonic() + PATIENCE
    while True:
        assert storm.agent("--until-idle", slots=8).wait() == 0
        states = anyio.run(storm.states)
        if states.keys() <= FINAL_STATES | {JobState.DEAD_LETTERED}:
            return states
        assert time.monotonic() < deadline, states


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(jobs: int, kills: int) -> None:
    """Run both storms and say what came of them."""
    with tempfile.TemporaryDirectory(prefix="checkout-storm-") as folder:
        storm = Storm(Path(folder).resolve(), commits=60)
        states = run_all(storm, jobs, agents=2, slots=16)
        say(f"{jobs} jobs on 2 agents of 16 slots: {dict(states)}; left: {storm.leftovers()}")
        kill_some(storm, kills, random.Random(kills))
        say(f"{kills} agents were killed; each left no process and no lock")
        states = finish(storm)
        say(f"the next ones did the rest: {dict(states)}; left: {storm.leftovers()}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=200)
    given = parser.parse_args()
    main(given.jobs, given.kills)
