"""How the tests write histories: by hand, or drawn and spread over clients."""

from __future__ import annotations

from itertools import combinations, count, permutations
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from attrs import evolve

from cicd_core.store.memory import MemoryBackend
from cicd_core.testing import VirtualClock
from cicd_core.testing.histories import Recorder, Recording, Workload
from cicd_core.testing.histories.queue_model import Enqueue, QueuedJob, Take, Withdraw
from cicd_core.testing.histories.workload import conclude
from cicd_core.testing.histories.workload_client import WorkloadClient
from cicd_core.testing.recording.operation import UNKNOWN, Operation
from cicd_core.testing.samples import COLLECTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from cicd_core.testing.histories.queue_model import QueueOperation

StateT = TypeVar("StateT")
OperationT = TypeVar("OperationT", bound=Operation[Any, Any])
_numbers = count()


def did(argument: Any, result: Any, invoked: int, returned: int) -> Any:
    """Return an operation that was answered."""
    return Operation(
        client=f"client {next(_numbers)}",
        number=0,
        argument=argument,
        result=result,
        invoked=invoked,
        returned=returned,
    )


def asked(argument: Any, invoked: int) -> Any:
    """Return an operation that was never answered."""
    return evolve(did(argument, None, invoked, invoked), result=UNKNOWN, returned=None)


def spread(operations: Iterable[OperationT], random: Random, width: int = 30) -> list[OperationT]:
    """Return operations that happened one after the other as if clients had been concurrent.

    The n-th one happens at the instant 10 n, which its interval holds: so this order explains it.
    """
    return [
        evolve(
            operation,
            client=f"client {number}",
            number=number,
            invoked=10 * number - random.randint(0, width) + width,
            returned=10 * number + random.randint(0, width) + width if operation.is_known else None,
        )
        for number, operation in enumerate(operations)
    ]


def sequential_recording(seed: int, calls: int, **workload: Any) -> Recording:
    """Return what clients that take turns see of the memory store: no two calls overlap."""

    async def run() -> Recording:
        store = MemoryBackend(COLLECTIONS, clock=VirtualClock())
        plan = Workload(seed=seed, cancelled=0, **workload)
        recorder = Recorder()
        names = [f"{number}" for number in range(plan.clients)]
        clients = [WorkloadClient(recorder.wrap(store, name), name, plan) for name in names]
        turns = Random(seed)
        for _ in range(calls):
            await turns.choice(clients).step()
        return await conclude(store, recorder.history())

    return anyio.run(run)


def brute_force(
    operations: Sequence[OperationT],
    initial: StateT,
    steps: Callable[[StateT, OperationT], tuple[StateT, ...]],
) -> bool:
    """Whether an order explains the operations, found by trying all of them."""
    known = [each for each in operations if each.is_known]
    unknown = [each for each in operations if not each.is_known]
    return any(
        _explains(order, initial, steps)
        for number in range(len(unknown) + 1)
        for some in combinations(unknown, number)
        for order in permutations([*known, *some])
    )


def _explains(
    order: Sequence[OperationT],
    initial: StateT,
    steps: Callable[[StateT, OperationT], tuple[StateT, ...]],
) -> bool:
    states = [initial]
    latest = 0
    for operation in order:
        latest = max(latest, operation.invoked)
        if operation.ends < latest:
            return False
        states = [after for state in states for after in steps(state, operation)]
    return bool(states)


def job(name: str, lane: str = "red", *, priority: int = 1) -> QueuedJob:
    """Return a job; of one priority, they go by their names."""
    return QueuedJob(name, lane, f"{priority}.{name}", f"{priority}")


def enqueued(job: QueuedJob, invoked: int, returned: int) -> QueueOperation:
    operation: QueueOperation = did(Enqueue(job), None, invoked, returned)
    return operation


def taken(
    *names: str, at: tuple[int, int], limit: int = 1, lanes: Sequence[str] = ("red", "blue")
) -> QueueOperation:
    operation: QueueOperation = did(Take(tuple(lanes), limit), names, *at)
    return operation


def withdrawn(name: str, invoked: int, returned: int) -> QueueOperation:
    operation: QueueOperation = did(Withdraw(name), None, invoked, returned)
    return operation


def random_queue(
    random: Random, size: int, *, unanswered: float = 0.0, faulty: float = 0.05
) -> list[QueueOperation]:
    """Return operations on a queue at random times with random answers: some order may fit."""
    end = random.choice([6, 12, 20])
    there: list[str] = []
    operations: list[QueueOperation] = []
    for number in range(size):
        begin = random.randrange(end)
        within = (begin, begin + random.randrange(end // 2))
        kind = random.choices(["enqueue", "take", "withdraw"], [9, 9, 2])[0]
        if kind == "enqueue" or not there:
            priority = random.choice([1, 2])
            new = job(
                f"{random.randrange(100):02}-{number}",
                random.choice(["red", "blue"]),
                priority=priority,
            )
            there.append(new.name)
            operation = enqueued(new, *within)
        elif kind == "take":
            lanes = random.sample(["red", "blue"], random.randint(1, 2))
            names = random.sample(there, 1) if random.random() < 0.8 else []
            operation = taken(*names, at=within, lanes=lanes)
            if names and random.random() >= faulty:
                there.remove(names[0])
        else:
            operation = withdrawn(there.pop(random.randrange(len(there))), *within)
        if random.random() < unanswered:
            operation = evolve(operation, result=UNKNOWN, returned=None)
        operations.append(operation)
    return operations


def good_queue(random: Random, size: int, limit: int = 1) -> list[QueueOperation]:
    """Return what a right queue answers, one operation after the other."""
    there: list[QueuedJob] = []
    operations: list[QueueOperation] = []
    for number in range(size):
        kind = random.choices(["enqueue", "take", "withdraw"], [9, 9, 1])[0]
        if kind == "take":
            lanes = random.sample(["red", "blue"], random.randint(1, 2))
            most = random.randint(1, limit)
            best = sorted(
                (each for each in there if each.lane in lanes), key=lambda each: each.rank
            )
            there = [each for each in there if each not in best[:most]]
            names = [each.name for each in best[:most]]
            operations.append(taken(*names, at=(0, 0), limit=most, lanes=lanes))
        elif kind == "enqueue" or not there:
            lane, priority = random.choice(["red", "blue"]), random.choice([1, 2, 3])
            name = f"{random.randrange(1000):03}-{number}"
            there.append(job(name, lane, priority=priority))
            operations.append(enqueued(there[-1], 0, 0))
        else:
            gone = there.pop(random.randrange(len(there)))
            operations.append(withdrawn(gone.name, 0, 0))
    return operations
