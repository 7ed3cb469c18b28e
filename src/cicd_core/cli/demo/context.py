"""The context of every scene: the control plane, the agents, the board, and time limits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import anyio
from attrs import define, field

from cicd_core.cli.demo.agents import AgentProcess
from cicd_core.cli.demo.place import Place
from cicd_core.cli.demo.polling import eventually
from cicd_core.cli.demo.repository import Repository
from cicd_core.cli.demo.state import Board
from cicd_core.cli.demo.work import ExecutorContext, Work
from cicd_core.control_plane.plane import ControlPlane
from cicd_core.model.job import Job
from cicd_core.values import frozen

Found = TypeVar("Found")


class SceneFailed(Exception):
    """A scene did not go as expected."""


@frozen(kw_only=True)
class Pace:
    """Times of the demo, in seconds."""

    #: Lease of a job, after which a silent agent loses it.
    lease: float = 3.0
    #: Pause for people to see a step.
    look: float = 1.5
    #: Delay of the delayed job.
    delay: float = 5.0
    #: Time that a drain waits for running jobs.
    grace: float = 20.0
    #: Time without any event after which a scene fails.
    patience: float = 90.0


#: The fastest leases that a busy machine can renew in time.
FAST: Final = Pace(lease=2.0, look=0.0, delay=2.0)


@define(kw_only=True)
class Stage:
    """A demo, from the start of its agents to their end."""

    plane: ControlPlane
    place: Place
    repository: Repository
    workshop: ExecutorContext
    board: Board
    pace: Pace
    agents: dict[str, AgentProcess] = field(factory=dict[str, AgentProcess])
    #: The ids of all jobs, in the order of their first enqueue, and their names.
    jobs: dict[str, str] = field(factory=dict[str, str])

    async def enqueue(self, work: Work) -> Job:
        """Enqueue a job, and record it."""
        job = await self.plane.queue.enqueue(work.spec, actor="demo")
        self._remember(job, work)
        return job

    async def until(self, job_id: str, wanted: Callable[[Job], bool], what: str) -> Job:
        """Return the job when it meets the condition.

        Raises:
            SceneFailed: it has ended otherwise, or no job has changed for too long.
        """

        async def look() -> Job | None:
            job = await self.plane.jobs.get(job_id)
            if wanted(job):
                return job
            if job.is_final:
                name = self.jobs.get(job_id, job_id)
                raise SceneFailed(f"{name} did not get {what}: it ended with {job.state.value}")
            return None

        return await self.patiently(look, f"{self.jobs.get(job_id, job_id)} did not get {what}")

    async def patiently(self, look: Callable[[], Awaitable[Found | None]], failure: str) -> Found:
        """Repeat a check until it has a result.

        Raises:
            SceneFailed: no job has changed for too long.
        """
        began = self.board.clock()

        async def look_again() -> Found | None:
            found = await look()
            idle = self.board.clock() - max(began, self.board.changed)
            if found is None and idle > self.pace.patience:
                raise SceneFailed(f"{failure}, and no job has changed for {idle:.0f} s")
            return found

        return await eventually(look_again)

    async def enqueue_many(self, works: Sequence[Work]) -> list[str]:
        """Enqueue many jobs at once; return their ids."""
        made = await self.plane.queue.enqueue_many([work.spec for work in works], actor="demo")
        for job, work in zip(made, works, strict=True):
            self._remember(job, work)
        return [job.job_id for job in made]

    async def ended(self, job_id: str) -> Job:
        """Return the job when it has a final verdict."""
        return await self.until(job_id, lambda job: job.is_final, "a final verdict")

    async def run(self, work: Work) -> Job:
        """Enqueue a job that must succeed, and return it when it has ended.

        Raises:
            SceneFailed: it did not succeed.
        """
        job = await self.ended((await self.enqueue(work)).job_id)
        require(
            job.exit_code == 0, f"{work.name} ended with {job.state.value}: {job.error_message}"
        )
        return job

    async def look(self, part: float = 1.0) -> None:
        """Pause so that people can see a step, for a part of the usual time."""
        await anyio.sleep(self.pace.look * part)

    def _remember(self, job: Job, work: Work) -> None:
        self.jobs[job.job_id] = work.name
        self.board.add_job(job.job_id, work.name, job.priority)


def require(holds: object, text: str) -> None:
    """Check a condition.

    Raises:
        SceneFailed: it is false.
    """
    if not holds:
        raise SceneFailed(text)
