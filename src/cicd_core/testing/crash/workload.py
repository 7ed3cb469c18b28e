"""The workload of a worker: the whole life of jobs, with random choices from a seed."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.lowlevel

from cicd_core.clock import boot_micros
from cicd_core.errors import CicdError, OperationRejected, StoreError, StoreUnavailable
from cicd_core.model.agent import AgentSpec
from cicd_core.model.claim import ClaimedJob, ClaimRef
from cicd_core.model.instants import from_micros
from cicd_core.model.job import Delivery, Priority, RetryPolicy, Verdict
from cicd_core.model.outcome import Outcome
from cicd_core.model.spec import JobSpec
from cicd_core.testing.crash.access import REFUSALS
from cicd_core.testing.recording.service_calls import (
    Ending,
    ServiceAnswer,
    ServiceCall,
    failed,
    granted,
    nothing,
    outcome,
    owner,
    renewed,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from random import Random  # noqa: TID251 - the caller's, seeded

    from cicd_core.model.job import Job
    from cicd_core.testing.crash.access import Access
    from cicd_core.testing.crash.memory import Memory
    from cicd_core.testing.recording.recorder import CallRecorder

POOLS: Final = ("lab-a", "lab-b")
_JOB_TYPES: Final = ("build", "test")
#: How long all workers use the same few idempotency keys, in microseconds.
_SAME_KEYS: Final = 250_000
_KEYS: Final = 4
_RETRY: Final = RetryPolicy(
    max_attempts=3,
    retry_on=(Verdict.ERROR, Verdict.TIMEOUT),
    backoff_base=0.05,
    backoff_max=0.2,
)
_VERDICTS: Final = {
    Verdict.SUCCESS: 60,
    Verdict.FAILED: 12,
    Verdict.ERROR: 22,
    Verdict.TIMEOUT: 4,
}
#: The weights of a holder's ways to end a claimed job.
_ENDS: Final = {"complete": 78, "release": 6, "forget": 2, "cancel": 6, "twice": 6, "hold": 2}
#: To hold a job for longer than its first lease: the number of renewals, and their interval (s).
_RENEWALS: Final = 5
_APART: Final = 0.35
#: How long to wait while the store is unavailable, in seconds.
_AWAY: Final = 0.05


class Hand:
    """One of many callers in a worker: it makes one call after the other."""

    def __init__(
        self,
        access: Access,
        recorder: CallRecorder[ServiceCall, ServiceAnswer],
        memory: Memory,
        random: Random,
        *,
        name: str,
        refusals: bool = False,
    ) -> None:
        """Act as a part of the agent ``name``, whose shared state is ``memory``.

        With ``refusals``, refusals by the store are not faults: the calls may be repeated.
        """
        self._access = access
        self._plane = access.plane
        self._queue = access.plane.queue
        self._recorder = recorder
        self._memory = memory
        self._random = random
        self._name = name
        self._passing = (StoreUnavailable, *(REFUSALS if refusals else ()))
        #: A unique prefix of the tags of this worker's jobs.
        self._prefix = f"{name}/{random.getrandbits(48):x}"
        self._specs = 0

    async def run(self) -> None:
        """Work until the process ends."""
        actions: dict[Callable[[], Awaitable[None]], int] = {
            self._enqueue: 26,
            self._claim_and_work: 60,
            self._act_on_a_lost_lease: 8,
            self._cancel_some_job: 3,
            self._look_after_dead_letters: 3,
        }
        while True:
            (action,) = self._random.choices(list(actions), list(actions.values()))
            await action()
            await anyio.lowlevel.checkpoint()

    async def sweep(self) -> None:
        """Run maintenance repeatedly."""
        while True:
            await self._call("sweep", self._access.sweep, nothing)
            await anyio.sleep(self._random.uniform(0.1, 0.3))

    async def beat(self, agent_id: str) -> None:
        """Register an agent again, replacing its former incarnation, and send heartbeats."""
        agent = None
        spec = AgentSpec(agent_id=agent_id, pool_name=POOLS[0])
        while True:
            if agent is None:
                agent = await self._call(
                    "register", lambda: self._plane.agents.register(spec), nothing
                )
            elif not await self._beat(agent_id, agent.incarnation):
                agent = None
            await anyio.sleep(self._random.uniform(0.1, 0.4))

    async def _beat(self, agent_id: str, incarnation: str) -> bool:
        beaten = await self._call(
            "heartbeat", lambda: self._plane.agents.heartbeat(agent_id, incarnation), nothing
        )
        return beaten is not None

    async def _call(
        self,
        verb: str,
        call: Callable[[], Awaitable[Any]],
        tell: Callable[[Any], dict[str, Any]],
        **asked: Any,
    ) -> Any:
        """Make a call, and record it; None: it was not acknowledged."""
        _, answer = await self._recorder.record(
            self._name,
            [ServiceCall(verb=verb, details=asked)],
            self._answered(verb, call, tell),
            lambda both: [both[0]],
        )
        return answer

    async def _answered(
        self, verb: str, call: Callable[[], Awaitable[Any]], tell: Callable[[Any], dict[str, Any]]
    ) -> tuple[ServiceAnswer, Any]:
        """Make a call; return its ending and its answer."""
        try:
            answer = await self._access.ask(verb, call)
        except OperationRejected as refused:
            return failed(Ending.REFUSED, refused), None
        except StoreError as away:
            unknown = isinstance(away, self._passing) or away.retryable
            return failed(Ending.UNKNOWN if unknown else Ending.BROKEN, away), None
        except (CicdError, LookupError, TypeError, ValueError, AssertionError) as broken:
            return failed(Ending.BROKEN, broken), None
        return ServiceAnswer(ending=Ending.ACKNOWLEDGED, details=tell(answer)), answer

    async def _now(self) -> int:
        """Return the store's steady clock (µs); wait while the store is unavailable."""
        while True:
            try:
                return await self._access.now()
            except self._passing:
                await anyio.sleep(_AWAY)

    async def _asked(self) -> int | None:
        """Return the instant from which the seconds in the next answer count; None: it has none."""
        return await self._now() if self._access.tells_seconds else None

    # ---------------------------------------------------------------- enqueuing

    async def _enqueue(self) -> None:
        # By the steady clock: by a clock that jumped, a delay could last until next year.
        now = await self._now()
        specs = [self._spec(now) for _ in range(self._random.choice((1, 1, 1, 2, 5)))]
        jobs = await self._call(
            "enqueue",
            lambda: self._queue.enqueue_many(specs, actor=self._name),
            lambda jobs: {"jobs": [job.job_id for job in jobs]},
            tags=[spec.payload["tag"] for spec in specs],
        )
        for job in jobs or ():
            self._memory.know_job(job.job_id)

    def _spec(self, now: int) -> JobSpec:
        if self._random.random() < 0.1:
            return self._keyed_spec()
        random = self._random
        self._specs += 1
        kind = random.random()
        return JobSpec(
            job_type=random.choice(_JOB_TYPES),
            pool_name=random.choice(POOLS),
            labels=random.choice(((), (), ("gpu",))),
            priority=random.choice(tuple(Priority)),
            payload={"tag": f"{self._prefix}/{self._specs}"},
            retry=_RETRY,
            delivery=random.choice((Delivery.AT_LEAST_ONCE,) * 9 + (Delivery.AT_MOST_ONCE,)),
            timeout_seconds=random.choice((1.0, 30.0, 30.0, 30.0)),
            run_at=from_micros(now) + timedelta(seconds=0.3) if kind < 0.05 else None,
            deadline_at=from_micros(now) + timedelta(seconds=2) if kind > 0.97 else None,
        )

    def _keyed_spec(self) -> JobSpec:
        """Return a spec that other workers enqueue at the same time, with the same key."""
        key = f"key-{boot_micros() // _SAME_KEYS}-{self._random.randrange(_KEYS)}"
        return JobSpec(
            job_type="build",
            pool_name=POOLS[0],
            payload={"tag": key},
            idempotency_key=key,
            retry=_RETRY,
        )

    # ------------------------------------------------------------ claiming and working

    async def _claim_and_work(self) -> None:
        random = self._random
        limit, start = random.choice((1, 1, 2, 4)), random.random() < 0.5
        wait, asked = random.choice(self._access.waits), await self._asked()
        claimed = await self._call(
            "claim",
            lambda: self._queue.claim(
                agent_id=self._name,
                pool_name=random.choice(POOLS),
                labels=("gpu", "linux"),
                limit=limit,
                start=start,
                wait=wait,
            ),
            lambda claims: {"got": [granted(claim, asked) for claim in claims]},
            limit=limit,
            start=start,
        )
        for item in claimed or ():
            self._memory.know_claim(item.job.job_id, item.token)
            await self._work(item, started=start)

    async def _work(self, claimed: ClaimedJob, *, started: bool) -> None:
        random = self._random
        if not started and random.random() < 0.97:
            begun = await self._on("start", self._queue.start, claimed)
            if begun is None:
                return
            claimed = begun
        if random.random() < 0.15:
            await self._on("progress", self._report, claimed)
        if random.random() < 0.25:
            await self._renew(claimed)
        (end,) = random.choices(list(_ENDS), list(_ENDS.values()))
        if end == "hold":
            await self._hold(claimed)
        elif end == "release":
            await self._on("release", self._queue.release, claimed)
        elif end == "cancel":
            await self._cancel(claimed.job.job_id)
            await self._complete(claimed, Verdict.CANCELLED)
        elif end != "forget":
            verdict = random.choices(list(_VERDICTS), list(_VERDICTS.values()))[0]
            await self._complete(claimed, verdict)
            if end == "twice":  # like an agent that did not get the answer
                await self._complete(claimed, verdict)

    async def _hold(self, claimed: ClaimedJob) -> None:
        """Work for longer than a lease, perhaps without a renewal, perhaps without a report."""
        renews = self._random.random() < 0.5
        for _ in range(self._random.randint(2, _RENEWALS)):
            await anyio.sleep(_APART)
            if renews:
                await self._renew(claimed)
        if self._random.random() < 0.7:
            await self._complete(claimed, Verdict.SUCCESS)

    async def _complete(self, claimed: ClaimedJob | ClaimRef, verdict: Verdict) -> None:
        end = Outcome(verdict=verdict)
        await self._on(
            "complete",
            lambda item: self._queue.complete(item, end),
            claimed,
            verdict=verdict.value,
        )

    async def _report(self, claimed: ClaimedJob | ClaimRef) -> ClaimedJob:
        return await self._queue.progress(claimed, percent=50.0)

    async def _renew(self, claimed: ClaimedJob | ClaimRef) -> None:
        asked = await self._now()
        await self._call(
            "renew",
            lambda: self._queue.renew([claimed]),
            lambda answers: renewed(answers[0], asked),
            **owner(claimed),
        )

    async def _on(
        self,
        verb: str,
        call: Callable[[Any], Awaitable[Any]],
        claimed: ClaimedJob | ClaimRef,
        **asked: Any,
    ) -> Any:
        """Use a token; sometimes like a caller that has only the token."""
        holder: ClaimedJob | ClaimRef = claimed
        if not isinstance(claimed, ClaimRef) and self._random.random() < 0.2:
            holder = ClaimRef(job_id=claimed.job.job_id, token=claimed.token)
        since = await self._asked()
        return await self._call(
            verb,
            lambda: call(holder),
            lambda answer: outcome(answer, since),
            **owner(claimed),
            **asked,
        )

    # ---------------------------------------------------------------- invalid calls

    async def _act_on_a_lost_lease(self) -> None:
        """Use an expired token, or a token of a killed predecessor."""
        known = self._memory.some_claim(self._random)
        if known is None:
            return
        token = ClaimRef(job_id=known[0], token=known[1])
        verb = self._random.choice(("start", "progress", "renew", "complete", "release"))
        if verb == "complete":
            await self._complete(token, self._random.choice(list(_VERDICTS)))
        elif verb == "renew":
            await self._renew(token)
        else:
            calls: dict[str, Callable[[Any], Awaitable[Any]]] = {
                "start": self._queue.start,
                "progress": self._report,
                "release": self._queue.release,
            }
            await self._on(verb, calls[verb], token)

    async def _cancel_some_job(self) -> None:
        job_id = self._memory.some_job(self._random)
        if job_id is not None:
            await self._cancel(job_id)

    async def _cancel(self, job_id: str) -> None:
        await self._call(
            "cancel",
            lambda: self._plane.jobs.cancel(job_id, actor=self._name),
            lambda job: {"state": job.state.value},
            job=job_id,
        )

    async def _look_after_dead_letters(self) -> None:
        page = await self._call(
            "dead_letters", lambda: self._plane.jobs.dead_letters(limit=20), nothing
        )
        dead: list[Job] = [] if page is None else list(page.items)
        for job in self._random.sample(dead, min(2, len(dead))):
            await self._call(
                "replay",
                partial(self._plane.jobs.replay, job.job_id, actor=self._name),
                lambda replayed: {"state": replayed.state.value},
                job=job.job_id,
            )
