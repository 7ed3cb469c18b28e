"""The plan of a run of the lab: its workers, its duration, and the fate of each worker.

The seed decides all of it: the fate of every incarnation of every worker, and its random choices.
The interleaving of the processes depends on the machine.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003 - attrs reads the annotations of its fields
from typing import TYPE_CHECKING, Final

import cattrs

from cicd_core.errors import InvalidInput
from cicd_core.settings import Settings
from cicd_core.testing.seeds import drawn
from cicd_core.testing.workers.orders import (
    ANYWHERE,
    IN_SQLITE,
    KillPoint,
    Point,
    WorkerOrder,
    is_sqlite,
)
from cicd_core.values import evolve, frozen

if TYPE_CHECKING:
    from random import Random  # noqa: TID251 - the caller's, seeded

#: The lab's settings: short times, so that leases expire during the run.
SETTINGS: Final = Settings(
    lease_seconds=1.0,
    start_timeout_seconds=1.5,
    grace_seconds=0.0,
    heartbeat_timeout_seconds=1.0,
    sweep_seconds=0.2,
    lane_refresh_seconds=0.5,
)

#: The task of a worker, for its order.
TASK: Final = "cicd_core.testing.crash.task:run"

#: How long a worker is stopped, in seconds: longer than its lease, and shorter than the time that
#: others wait for a file that it may have locked.
_STOPPED: Final = (1.5, 2.5)
#: How long a stopped worker continues, in seconds, so that it notices its lost leases.
_REVIVED: Final = 0.5
#: The probability that a worker forks a child, or loses a list of lanes, and the largest number of
#: calls before that.
_MISHAP: Final = 0.25
_CALLS: Final = 200
#: The probability that it forks a child at the point where it kills itself.
_FORKS: Final = 0.25
#: The longest life of a worker that is killed while it starts, in seconds.
_YOUNG: Final = 0.2


class Mishap(StrEnum):
    """An injected fault of a worker, or of the store, besides the worker's death."""

    #: It forks a child, which outlives it with copies of all its open files.
    FORK = "fork"
    #: The record that lists the lanes of a pool is lost.
    LOST_LANES = "lost lanes"


@frozen(kw_only=True)
class Accident:
    """A mishap in the life of a worker."""

    mishap: Mishap
    #: The number of its calls before the mishap.
    calls: int
    #: The index of the pool among the lab's pools.
    pool: int


@frozen(kw_only=True)
class Fate:
    """The fate of one incarnation of a worker.

    Times are seconds since its first acknowledged operation, so that each worker does some work
    even on a busy machine.
    """

    #: When it is killed at the latest.
    killed: float
    #: Whether times count from its start instead: it may die before it has opened the store.
    at_birth: bool = False
    #: When it is stopped, and when it continues; None: never.
    stopped: float | None = None
    revived: float | None = None
    kill_point: KillPoint | None = None
    accident: Accident | None = None


@frozen(kw_only=True)
class Remote:
    """A control plane that workers call instead of opening the store."""

    #: A ``module:function`` that takes the URL, and returns an async context manager of an object
    #: with the services of ``ControlPlane``.
    opener: str
    #: The argument of the function.
    url: str
    #: The store's steady clock minus the time since the machine started (µs): the lab sets it. The
    #: store's clock must be this machine's, as with a SQLite file.
    clock_offset: int = 0


@frozen(kw_only=True)
class LabPlan:
    """One run of the lab.

    Raises:
        InvalidInput: a number is out of its range.
    """

    #: The URL of the store, which must have no other data.
    store: str
    #: An empty folder for the workers' journals.
    folder: Path
    seed: int = 0
    #: Maximum duration of the storm.
    minutes: float = 1.0
    workers: int = 4
    #: End as soon as this number of workers was killed; None: when the time is up.
    kills: int | None = None
    #: ... and this number of operations was acknowledged; None: any number.
    operations: int | None = None
    #: The concurrent calls of each worker.
    tasks: int = 8
    #: The longest life of a worker, in seconds from its first operation.
    life: float = 3.0
    #: A ``module:function`` that takes each worker's store and returns the one to use. A test of
    #: the audit uses a store that breaks its promises.
    wrap: str | None = None
    #: The service that workers call instead of the store; None: they open the store themselves.
    remote: Remote | None = None
    #: Whether worker 0 sees a wall clock that jumps.
    jumps: bool = True
    #: Whether the store may refuse calls for a while: because it is full or read-only, or because
    #: its server's settings or its user's rights have changed meanwhile.
    refusals: bool = False
    #: How long the drain may rest without finishing a job, in seconds: longer than any lease,
    #: backoff or start of the workers. The search for jobs is not counted. The storm ends with a
    #: fault when for as long no call was acknowledged and no worker died.
    patience: float = 60.0

    def __attrs_post_init__(self) -> None:
        """Refuse a plan in which nothing could happen."""
        for name, least in (("workers", 1), ("tasks", 1), ("minutes", 0.01), ("life", 0.1)):
            if getattr(self, name) < least:
                raise InvalidInput(name, getattr(self, name), f"give at least {least}")

    @property
    def points(self) -> tuple[Point, ...]:
        """The points at which workers kill themselves."""
        return IN_SQLITE if self.remote is None and is_sqlite(self.store) else ANYWHERE

    @property
    def mishaps(self) -> tuple[Mishap, ...]:
        """The faults of workers: only workers that open the store can lose its data."""
        return tuple(Mishap) if self.remote is None else (Mishap.FORK,)


@frozen(kw_only=True)
class LabTask:
    """The part of a worker's order that is for this lab."""

    #: The agent of all incarnations of the worker.
    agent_id: str
    #: The journal of its predecessor; None: it is the first one.
    inherited: str | None
    tasks: int
    jumps: bool = False
    refusals: bool = False
    wrap: str | None = None
    remote: Remote | None = None
    accident: Accident | None = None

    @classmethod
    def of(cls, order: WorkerOrder) -> LabTask:
        """Return the part of an order."""
        return cattrs.structure(order.details, cls)


def agent_name(slot: int, generation: int) -> str:
    """Return the agent id of an incarnation of a worker."""
    return f"lab-{slot}.{generation}"


def journal_path(folder: Path, slot: int, generation: int) -> Path:
    """Return the file that an incarnation of a worker writes to."""
    return folder / f"{slot}.{generation}.jsonl"


def fate_of(plan: LabPlan, slot: int, generation: int) -> Fate:
    """Return the fate of an incarnation of a worker, which depends only on the plan."""
    accident = _accident(plan, drawn(plan.seed, "accident", slot, generation))
    return evolve(_death(plan, slot, generation), accident=accident)


def _death(plan: LabPlan, slot: int, generation: int) -> Fate:
    random = drawn(plan.seed, "fate", slot, generation)
    instant = random.uniform(0.02, plan.life)
    kind = random.random()
    if kind < 0.1:
        return Fate(killed=random.uniform(0, _YOUNG), at_birth=True)
    if kind < 0.5:
        return Fate(killed=instant)
    if kind < 0.94:
        return Fate(killed=plan.life, kill_point=_kill_point(plan, random))
    revived = instant + random.uniform(*_STOPPED)
    return Fate(killed=revived + _REVIVED, stopped=instant, revived=revived)


def order_of(plan: LabPlan, slot: int, generation: int) -> WorkerOrder:
    """Return the order for an incarnation of a worker."""
    before = journal_path(plan.folder, slot, generation - 1) if generation else None
    fate = fate_of(plan, slot, generation)
    task = LabTask(
        agent_id=f"lab-{slot}",
        inherited=None if before is None else str(before),
        tasks=plan.tasks,
        jumps=plan.jumps and slot == 0,
        refusals=plan.refusals,
        wrap=plan.wrap,
        remote=plan.remote,
        accident=fate.accident,
    )
    return WorkerOrder(
        name=agent_name(slot, generation),
        seed=plan.seed,
        store=plan.store,
        journal=str(journal_path(plan.folder, slot, generation)),
        task=TASK,
        details=cattrs.unstructure(task),
        kill_point=fate.kill_point,
    )


def _accident(plan: LabPlan, random: Random) -> Accident | None:
    if random.random() >= _MISHAP:
        return None
    return Accident(
        mishap=random.choice(plan.mishaps),
        calls=random.randrange(1, _CALLS),
        pool=random.getrandbits(16),
    )


def _kill_point(plan: LabPlan, random: Random) -> KillPoint:
    point = random.choice(plan.points)
    verb = random.choices(("claim", "commit", "renew"), (5, 5, 1))[0]
    # Often at once, sometimes after a long time: an evenly distributed power of two.
    most = {Point.STATEMENT: 10, Point.WRITE: 11, Point.SYNC: 8}.get(point, 7)
    countdown = round(2 ** random.uniform(0, most))
    return KillPoint(point=point, verb=verb, countdown=countdown, forks=random.random() < _FORKS)
