"""Callers that enqueue jobs, and repeat each call until it is answered."""

from __future__ import annotations

import threading
from collections import defaultdict
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import anyio
from attrs import evolve

from cicd_core.errors import CicdError, IllegalTransition, NotFound
from cicd_core.http.client import RemoteControlPlane
from cicd_core.model.job import Delivery, RetryPolicy
from cicd_core.model.spec import JobSpec
from cicd_core.testing.seeds import drawn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from random import Random

    from tests.http.lab.witness import Witness

#: How likely an acknowledged call is made a second time, and a job is cancelled.
_TWICE: Final = 0.15
_CANCELLED: Final = 0.06
#: Before a call that was not answered is made again, in seconds.
_PAUSE: Final = 0.1


#: How many calls are made at once.
_CALLERS: Final = 4


class SteadyCaller(threading.Thread):
    """Enqueues jobs through a network that breaks, until it is to stop."""

    def __init__(self, url: str, witness: Witness, seed: int, pauses: tuple[float, float]) -> None:
        """Draw the jobs, and the pauses (s) of each caller between two calls, from a seed."""
        super().__init__(daemon=True)
        self._url = url
        self._witness = witness
        self._random = drawn(seed, "caller")
        self._pauses = pauses
        self._stopped = threading.Event()
        #: The ids that were answered, by idempotency key.
        self.acknowledged: defaultdict[str, set[str]] = defaultdict(set)
        #: Calls without an answer, which were made again.
        self.unknown = 0
        self._numbers = count(1)
        self._failure: BaseException | None = None

    def run(self) -> None:
        """Call until :meth:`stop`."""
        try:
            anyio.run(self._call)
        except BaseException as failure:  # noqa: BLE001 - raised again in `stop`
            self._failure = failure

    def check(self) -> None:
        """Raise what ended it early."""
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """End after the calls that are being made, which must be answered."""
        self._stopped.set()
        if self.ident is not None:
            self.join()
        self.check()

    async def _call(self) -> None:
        async with RemoteControlPlane(self._url) as plane, anyio.create_task_group() as tasks:
            for _ in range(_CALLERS):
                tasks.start_soon(self._call_in_turn, plane)

    async def _call_in_turn(self, plane: RemoteControlPlane) -> None:
        while not self._stopped.is_set():
            spec = _drawn_spec(self._random, self._witness, next(self._numbers))
            job_id = await self._enqueue(plane, spec)
            if self._random.random() < _TWICE:
                await self._enqueue(plane, spec)
            await anyio.sleep(self._random.uniform(*self._pauses))
            if self._random.random() < _CANCELLED:
                await self._cancel(plane, job_id)

    async def _enqueue(self, plane: RemoteControlPlane, spec: JobSpec) -> str:
        job = await self._answered(lambda: plane.queue.enqueue(spec))
        self.acknowledged[spec.idempotency_key or ""].add(job.job_id)
        job_id: str = job.job_id
        return job_id

    async def _cancel(self, plane: RemoteControlPlane, job_id: str) -> None:
        try:
            await self._answered(lambda: plane.jobs.cancel(job_id))
        except IllegalTransition:  # it has ended, or an earlier call did it
            return
        except NotFound:  # the audit finds that a job is lost, and names it
            return

    async def _answered(self, call: Callable[[], Awaitable[Any]]) -> Any:
        while True:
            try:
                return await call()
            except CicdError as failed:
                if not failed.recoverable:
                    raise
                self.unknown += 1
                await anyio.sleep(_PAUSE)


def _drawn_spec(random: Random, witness: Witness, number: int) -> JobSpec:
    """Return a job: most succeed at once, some fail first, run too long, or may run only once."""
    steps = random.randrange(1, 10) if random.random() < 0.85 else random.randrange(20, 50)
    failures = random.choice((0, 0, 0, 0, 1, 2))
    habits = [habit for habit in ("stubborn", "parent") if random.random() < 0.25]
    retry = RetryPolicy(
        max_attempts=random.randrange(2, 7),
        retry_on=random.choice((("error",), ("error", "failed", "timeout"))),
        backoff_base=random.choice((0.0, 0.5)),
    )
    spec = JobSpec(
        job_type="shell",
        payload=witness.payload(steps, failures, *habits),
        retry=retry,
        timeout_seconds=random.choice((2.0, 600.0)) if steps >= 20 else 600.0,
        idempotency_key=f"storm-{number}",
    )
    once = random.random() < 0.15
    return evolve(spec, delivery=Delivery.AT_MOST_ONCE) if once else spec
