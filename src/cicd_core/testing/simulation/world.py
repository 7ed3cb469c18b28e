"""The shared parts of a simulation: the control plane, the clock, the agenda, the oracle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from cicd_core.control_plane.plane import ControlPlane
from cicd_core.entities import COLLECTIONS
from cicd_core.errors import LeaseLost
from cicd_core.ids import IdSource
from cicd_core.model.instants import SECOND
from cicd_core.settings import Settings
from cicd_core.store.memory import MemoryBackend
from cicd_core.store.retrying import RetryingStore
from cicd_core.testing.clock import START, VirtualClock
from cicd_core.testing.simulation.agenda import Agenda
from cicd_core.testing.simulation.beliefs import Beliefs
from cicd_core.testing.simulation.measuring import Measures
from cicd_core.testing.simulation.oracle import Oracle
from cicd_core.testing.simulation.plan import DAY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cicd_core.model.job import Job, LeaseToken
    from cicd_core.store.contract import Store
    from cicd_core.testing.simulation.oracle import JobSight
    from cicd_core.testing.simulation.plan import SimulationPlan

Answer = TypeVar("Answer")

#: A simulation begins at midnight (UTC), in µs.
MIDNIGHT: Final = START - START % int(DAY * SECOND)
#: Longer than any simulation: nothing may be dropped before the audit.
_KEPT: Final = 365 * DAY


class World:
    """The surroundings of agents and traffic."""

    def __init__(
        self,
        plan: SimulationPlan,
        wrap: Callable[[Store], Store] | None,
        *,
        clock: VirtualClock | None = None,
    ) -> None:
        """Build a control plane over an empty memory store; without a clock, at midnight."""
        self.plan = plan
        self.clock = clock or VirtualClock(MIDNIGHT)
        self.agenda = Agenda(self.clock)
        self.measures = Measures(self.clock.micros())
        #: The real store, even if the control plane gets a wrapper.
        backend = MemoryBackend(COLLECTIONS, clock=self.clock, log_retention=_KEPT)
        self.store: Store = RetryingStore(backend)
        self._given = self.store if wrap is None else wrap(self.store)
        self._ids = IdSource(plan.seed)
        self.plane = self._started()
        self.oracle = Oracle(self.store, self._moved)
        self.beliefs = Beliefs(self.oracle.require)
        #: Whether faults happen; the remaining work at the end is done without faults.
        self.troubled = True
        #: The callback for a job that became a dead letter.
        self.on_dead_letter: Callable[[str], None] = lambda _: None

    @property
    def now(self) -> int:
        """The instant, in µs (UTC)."""
        return self.clock.micros()

    def restart(self) -> None:
        """Start the control plane again, without its memory."""
        self.plane = self._started()

    def count(self, what: str) -> None:
        """Count an event by name."""
        self.measures.tally[what] += 1

    async def as_holder(
        self, verb: str, job_id: str, token: LeaseToken, call: Callable[[], Awaitable[Answer]]
    ) -> Answer | None:
        """Make a holder's call: it must be refused exactly if the token does not hold the job.

        Returns:
            The answer; None: it was refused.
        """
        owner = self.oracle.owns(job_id, token)
        try:
            answer = await call()
        except LeaseLost as lost:
            self.count("refused stale calls")
            self.oracle.require("owners are accepted", not owner, f"{verb}: {lost}")
            return None
        self.oracle.require(
            "stale owners are refused",
            owner,
            f"{verb} of job {job_id} with stale fence {token.fence} was accepted",
        )
        return answer

    async def repeated(self, verb: str, job_id: str, call: Callable[[], Awaitable[object]]) -> None:
        """Repeat an applied call whose reply was lost: it must change nothing."""
        self.count("repeated calls")
        before = self.oracle.sight(job_id)
        try:
            await call()
        except LeaseLost as lost:
            self.oracle.require("repetitions change nothing", holds=False, text=f"{verb}: {lost}")
            return
        await self.oracle.look()
        self.oracle.require(
            "repetitions change nothing",
            self.oracle.sight(job_id) == before,
            f"{verb} of job {job_id} was repeated, and took effect twice",
        )

    def _started(self) -> ControlPlane:
        settings = Settings(
            lease_seconds=self.plan.lease_seconds,
            heartbeat_timeout_seconds=self.plan.heartbeat_timeout_seconds,
            job_retention_seconds=_KEPT,
            agent_retention_seconds=_KEPT,
        )
        return ControlPlane(self._given, settings=settings, ids=self._ids)

    def _moved(self, before: JobSight | None, job: Job) -> None:
        self.measures.moved(before, job, self.now)
        if job.state.value == "dead_lettered":
            self.on_dead_letter(job.job_id)
