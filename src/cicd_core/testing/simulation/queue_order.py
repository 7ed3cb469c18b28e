"""The order of the queue: every move of a ready job, for the monitor of queues.

Calls do not overlap here, so each one has its own instant: only one order explains the answers.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from cicd_core.testing.histories.queue_model import Enqueue, Take, Withdraw
from cicd_core.testing.histories.queue_monitor import check_queue
from cicd_core.testing.recording.operation import Operation

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from cicd_core.queueing.lanes import Lane
    from cicd_core.testing.histories.queue_model import (
        QueueArgument,
        QueuedJob,
        QueueOperation,
        QueueResult,
    )
    from cicd_core.testing.histories.queue_monitor import QueueViolation


class QueueOrder:
    """The ready jobs, and their moves since the last check."""

    def __init__(self, step: Callable[[], int]) -> None:
        """Start with an empty queue; ``step`` returns the number of the current step."""
        self._step = step
        self._instant = 0
        self._operations: list[QueueOperation] = []
        #: The enqueue of each ready job, by name.
        self._ready: dict[str, QueueOperation] = {}
        self._numbers: dict[Lane, int] = defaultdict(int)

    @property
    def ready(self) -> dict[Lane, int]:
        """The number of ready jobs by lane: all lanes that ever had one."""
        return self._numbers

    def enters(self, lane: Lane, job: QueuedJob) -> None:
        """Note a job that became ready; its name must be new."""
        self._numbers[lane] += 1
        self._ready[job.name] = self._add("", Enqueue(job), None)

    def leaves(self, lane: Lane, name: str) -> None:
        """Note a job that is not ready any more, without a claim if none was noted."""
        self._numbers[lane] -= 1
        if self._ready.pop(name, None) is not None:
            self._add("", Withdraw(name), None)

    def claimed(
        self, agent_id: str, lanes: Collection[Lane], limit: int, names: Sequence[str]
    ) -> None:
        """Note the answer of a claim."""
        keys = tuple(lane.key for lane in lanes)
        self._add(agent_id, Take(keys, limit), tuple(names))
        for name in names:
            self._ready.pop(name, None)

    def check(self) -> list[QueueViolation]:
        """Check the moves since the last check; a violation's operations have the steps as numbers.

        Later, only the jobs that are ready now can be part of a violation.
        """
        violations = check_queue(self._operations)
        self._operations = list(self._ready.values())
        return violations

    def _add(self, client: str, argument: QueueArgument, result: QueueResult) -> QueueOperation:
        operation: QueueOperation = Operation(
            client=client,
            number=self._step(),
            argument=argument,
            result=result,
            invoked=self._instant,
            returned=self._instant + 1,
        )
        self._instant += 2  # operations that touch count as concurrent
        self._operations.append(operation)
        return operation
