"""What every scene works with: the control plane, the agents, the board, and patience."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import anyio
from attrs import define, field, frozen

from cicd_core.cli.demo.agents import AgentProcess
from cicd_core.cli.demo.place import Place
from cicd_core.cli.demo.polling import eventually
from cicd_core.cli.demo.repository import Repository
from cicd_core.cli.demo.state import Board
from cicd_core.cli.demo.work import ExecutorContext, Work
from cicd_core.control_plane.plane import ControlPlane
from cicd_core.model.job import Job

Found = TypeVar("Found")


class SceneFailed(Exception):
    """Something did not happen as it should."""


@frozen(kw_only=True)
class Pace:
    """How long things take. Seconds, all of them."""

    #: How long an agent may be silent before its jobs are taken away.
    lease: float = 3.0
    #: What a person gets to see something.
    look: float = 1.5
    #: How far in the future the delayed job lies.
    delay: float = 5.0
    #: What a drain waits for running jobs.
    grace: float = 20.0
    #: How long nothing at all may happen before a scene gives up.
    patience: float = 90.0


#: As fast as leases allow that a busy machine must renew in time.
FAST: Final = Pace(lease=2.0, look=0.0, delay=2.0)


@define(kw_only=True)
class Stage:
    """One demo, from the start of its agents to their end."""

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
        """Put a job into the queue, and remember it."""
        job = await self.plane.queue.enqueue(work.spec, by="demo")
        self._remember(job, work)
        return job

    async def until(self, job_id: str, wanted: Callable[[Job], bool], what: str) -> Job:
        """Return the job when it is as wanted.

        Raises:
            SceneFailed: it has ended otherwise, or for too long nothing happened to any job.
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
        """Look until there is something to return.

        Raises:
            SceneFailed: for too long nothing happened to any job.
        """
        began = self.board.clock()

        async def look_again() -> Found | None:
            found = await look()
            idle = self.board.clock() - max(began, self.board.changed)
            if found is None and idle > self.pace.patience:
                raise SceneFailed(f"{failure}, and nothing has happened for {idle:.0f} s")
            return found

        return await eventually(look_again)

    async def enqueue_many(self, works: Sequence[Work]) -> list[str]:
        """Put many jobs into the queue at once; return their ids."""
        made = await self.plane.queue.enqueue_many([work.spec for work in works], by="demo")
        for job, work in zip(made, works, strict=True):
            self._remember(job, work)
        return [job.job_id for job in made]

    async def ended(self, job_id: str) -> Job:
        """Return the job when it has its final verdict."""
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
        """Let people see what there is to see, for a part of the usual time."""
        await anyio.sleep(self.pace.look * part)

    def _remember(self, job: Job, work: Work) -> None:
        self.jobs[job.job_id] = work.name
        self.board.add_job(job.job_id, work.name, job.priority)


def require(holds: object, text: str) -> None:
    """Go on only if something holds.

    Raises:
        SceneFailed: it does not.
    """
    if not holds:
        raise SceneFailed(text)
