"""The shared parts of a simulation: the control plane, the clock, the agenda, the observer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from cicd_core.control_plane.plane import ControlPlane
from cicd_core.entities import COLLECTIONS
from cicd_core.errors import LeaseLost, OperationRejected
from cicd_core.ids import IdSource
from cicd_core.model.instants import SECOND
from cicd_core.settings import Settings
from cicd_core.store.memory import MemoryBackend
from cicd_core.store.retrying import RetryingStore
from cicd_core.testing.clock import START, VirtualClock
from cicd_core.testing.recording.recorder import CallRecorder
from cicd_core.testing.recording.service_calls import (
    Ending,
    ServiceAnswer,
    ServiceCall,
    failed,
    outcome,
    owner,
)
from cicd_core.testing.simulation.agenda import Agenda
from cicd_core.testing.simulation.measuring import Measures
from cicd_core.testing.simulation.observer import Observer
from cicd_core.testing.simulation.plan import DAY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cicd_core.model.claim import ClaimedJob
    from cicd_core.model.job import Job
    from cicd_core.store.contract import Store
    from cicd_core.testing.simulation.observer import JobSight
    from cicd_core.testing.simulation.plan import SimulationPlan

Answer = TypeVar("Answer")
Held = TypeVar("Held", bound="ClaimedJob | Job")

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
        self.observer = Observer(self.store, self._moved, lambda: self.agenda.steps)
        self._recorder: CallRecorder[ServiceCall, ServiceAnswer] = CallRecorder(
            self.observer.oracle.add, clock=self.clock.micros
        )
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

    async def call(
        self,
        caller: str,
        verb: str,
        call: Callable[[], Awaitable[Answer]],
        tell: Callable[[Answer], dict[str, Any]],
        **asked: Any,
    ) -> Answer:
        """Make a call of a service; the oracle gets it with parts of its answer.

        Raises:
            OperationRejected: the call was refused.
        """
        try:
            answer = await call()
        except OperationRejected as refused:
            self._note(caller, verb, asked, failed(Ending.REFUSED, refused))
            raise
        self.acknowledged(caller, verb, tell(answer), **asked)
        return answer

    def acknowledged(self, caller: str, verb: str, details: dict[str, Any], **asked: Any) -> None:
        """Give the oracle a call that was acknowledged now."""
        self._note(caller, verb, asked, ServiceAnswer(ending=Ending.ACKNOWLEDGED, details=details))

    def _note(self, caller: str, verb: str, asked: dict[str, Any], answer: ServiceAnswer) -> None:
        self._recorder.note(caller, ServiceCall(verb=verb, details=asked), answer)

    async def as_holder(
        self,
        verb: str,
        claimed: ClaimedJob,
        call: Callable[[], Awaitable[Held]],
        **asked: Any,
    ) -> Held | None:
        """Make a holder's call: it must be refused exactly if the token does not hold the job.

        Returns:
            The answer; None: it was refused.
        """
        job_id, token = claimed.job.job_id, claimed.token
        owns = self.observer.owns(job_id, token)
        try:
            answer = await self._as_holder(verb, claimed, call, asked)
        except LeaseLost as lost:
            self.count("refused stale calls")
            self.observer.require("owners are accepted", not owns, f"{verb}: {lost}")
            return None
        self.observer.require(
            "stale owners are refused",
            owns,
            f"{verb} of job {job_id} with stale fence {token.fence} was accepted",
        )
        return answer

    async def _as_holder(
        self,
        verb: str,
        claimed: ClaimedJob,
        call: Callable[[], Awaitable[Held]],
        asked: dict[str, Any],
    ) -> Held:
        now = self.now
        caller = claimed.job.agent_id or ""
        return await self.call(
            caller, verb, call, lambda answer: outcome(answer, now), **owner(claimed), **asked
        )

    async def repeated(
        self,
        verb: str,
        claimed: ClaimedJob,
        call: Callable[[], Awaitable[Held]],
        **asked: Any,
    ) -> None:
        """Repeat an applied call whose reply was lost: it must change nothing."""
        self.count("repeated calls")
        job_id = claimed.job.job_id
        before = self.observer.sight(job_id)
        try:
            await self._as_holder(verb, claimed, call, asked)
        except LeaseLost as lost:
            self.observer.require("repetitions change nothing", holds=False, text=f"{verb}: {lost}")
            return
        await self.observer.look()
        self.observer.require(
            "repetitions change nothing",
            self.observer.sight(job_id) == before,
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
