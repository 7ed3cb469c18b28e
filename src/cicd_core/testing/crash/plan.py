"""The plan of a run of the lab: its workers, its duration, and the fate of each worker.

All of it follows from the seed: the fate of every incarnation of every worker, and the random
choices that it makes. The interleaving of the processes depends on the machine.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003 - attrs reads the annotations of its fields
from random import Random  # noqa: TID251 - its seed comes in as a parameter
from typing import Final

from cicd_core.errors import InvalidInput
from cicd_core.settings import Settings
from cicd_core.store.registry import StoreURL
from cicd_core.values import evolve, frozen

#: The lab's settings: short times, so that leases expire during the run.
SETTINGS: Final = Settings(
    lease_seconds=1.0,
    start_timeout_seconds=1.5,
    grace_seconds=0.0,
    heartbeat_timeout_seconds=1.0,
    sweep_seconds=0.2,
    lane_refresh_seconds=0.5,
)

#: How long a worker is stopped, in seconds: past its lease, and not past what others wait for a
#: file that it may have locked.
_STOPPED: Final = (1.5, 2.5)
#: How long a worker that was stopped goes on, in seconds: it finds out what it has lost.
_REVIVED: Final = 0.5
#: A worker forks a child, or loses a list of lanes, with this probability, after so many calls at
#: most.
_MISHAP: Final = 0.25
_CALLS: Final = 200
#: ... and forks a child at the point where it kills itself, with this one.
_FORKS: Final = 0.25
#: How old a worker becomes at most that is killed while it starts, in seconds.
_YOUNG: Final = 0.2


class Point(StrEnum):
    """Where a worker kills itself. The first three need nothing of the store."""

    #: Before the store is asked.
    ASKED = "asked"
    #: While the store works on it: after a random part of a few milliseconds, or at its answer.
    DURING = "during"
    #: After the store's answer, before the caller gets it.
    ANSWERED = "answered"
    #: SQLite: before ``BEGIN IMMEDIATE``, with the writers' lock held.
    BEGIN = "begin"
    #: SQLite: between two statements of the transaction.
    STATEMENT = "statement"
    #: SQLite: before ``COMMIT``.
    COMMIT = "commit"
    #: SQLite: after ``COMMIT``, before the answer.
    COMMITTED = "committed"
    #: SQLite: in the middle of a write to the database or its log, half of which is done.
    WRITE = "write"
    #: SQLite: before a sync of the database or its log.
    SYNC = "sync"


#: The points that every store has.
ANYWHERE: Final = (Point.ASKED, Point.DURING, Point.ANSWERED)
#: The points that a SQLite file has.
IN_SQLITE: Final = tuple(Point)


@frozen(kw_only=True)
class KillPoint:
    """A point at which a worker kills itself."""

    point: Point
    #: Of which verb of the store: ``claim``, ``commit`` or ``renew``.
    verb: str
    #: At the how many-th time that it comes by.
    countdown: int
    #: Whether it forks a child right before, which outlives it.
    forks: bool = False


class Mishap(StrEnum):
    """An injected fault of a worker, or of the store, besides the worker's death."""

    #: It forks a child, which outlives it with copies of all that it had open.
    FORK = "fork"
    #: The record that lists the lanes of a pool is lost.
    LOST_LANES = "lost lanes"


@frozen(kw_only=True)
class Accident:
    """A mishap in the life of a worker."""

    mishap: Mishap
    #: After how many of its calls.
    calls: int
    #: Of which pool, by its place among the lab's pools.
    pool: int


@frozen(kw_only=True)
class Fate:
    """The fate of one incarnation of a worker.

    Times are seconds since its first acknowledged operation, so that each does some work, however
    busy the machine is.
    """

    #: When it is killed at the latest.
    killed: float
    #: Times are seconds since it was started: it may die before it has opened the store.
    at_birth: bool = False
    #: When it is stopped, and when it goes on; None: never.
    stopped: float | None = None
    revived: float | None = None
    kill_point: KillPoint | None = None
    accident: Accident | None = None


@frozen(kw_only=True)
class Remote:
    """A control plane before the store, which workers call in place of opening the store."""

    #: ``module:function`` that is given the URL; it returns an async context manager of an object
    #: with the services of ``ControlPlane``.
    opener: str
    #: Its argument.
    url: str
    #: The store's steady clock less the time since the machine started (µs): the lab sets it. The
    #: store's clock must be this machine's, as that of a SQLite file is.
    clock_offset: int = 0


@frozen(kw_only=True)
class LabPlan:
    """One run of the lab.

    Raises:
        InvalidInput: a number is out of its range.
    """

    #: The URL of the store: nothing else may be in it.
    store: str
    #: An empty folder for the workers' journals.
    folder: Path
    seed: int = 0
    #: Maximum duration of the storm.
    minutes: float = 1.0
    workers: int = 4
    #: End as soon as so many workers were killed; None: when the time is up.
    kills: int | None = None
    #: ... and so many operations were acknowledged; None: however many.
    operations: int | None = None
    #: The calls that each worker makes at once.
    tasks: int = 8
    #: How long a worker lives at most, in seconds from its first operation on.
    life: float = 3.0
    #: ``module:function`` that is given each worker's store and returns the one to use; a test
    #: that the audit notices what it should gives one that breaks its promises.
    wrap: str | None = None
    #: The service that workers call instead of the store; None: they open the store themselves.
    remote: Remote | None = None
    #: Whether worker 0 sees a wall clock that jumps.
    jumps: bool = True
    #: Whether the store may refuse calls for a while: it is full, takes no writes, or lacks what it
    #: needs, since its server has other settings or its user other rights meanwhile.
    refusals: bool = False
    #: How long the drain rests without finishing a job, in seconds: longer than any lease, backoff
    #: or start of the workers. The time that it looks for jobs is not counted. The storm ends, with
    #: a fault, when no call was acknowledged for as long, and no worker died.
    patience: float = 60.0

    def __attrs_post_init__(self) -> None:
        """Refuse a run in which nothing could happen."""
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
class WorkerOrder:
    """The order of one incarnation of a worker, as a line of JSON."""

    slot: int
    generation: int
    seed: int
    store: str
    journal: str
    #: The journal of its predecessor; None: it is the first one.
    inherited: str | None
    tasks: int
    jumps: bool
    refusals: bool = False
    wrap: str | None
    remote: Remote | None = None
    kill_point: KillPoint | None
    accident: Accident | None

    @property
    def name(self) -> str:
        """Its unique agent id."""
        return agent_name(self.slot, self.generation)


def is_sqlite(store: str) -> bool:
    """Whether a URL is that of a SQLite file."""
    return StoreURL.parse(store).scheme == "sqlite"


def agent_name(slot: int, generation: int) -> str:
    """Return the agent id of an incarnation of a worker."""
    return f"lab-{slot}.{generation}"


def journal_path(folder: Path, slot: int, generation: int) -> Path:
    """Return the file that an incarnation of a worker writes to."""
    return folder / f"{slot}.{generation}.jsonl"


def drawn(seed: int, *words: object) -> Random:
    """Return the random numbers of one part of a run: the same ones for the same words."""
    return Random("/".join(map(str, (seed, *words))))  # noqa: S311 - no secrets are drawn


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
    return WorkerOrder(
        slot=slot,
        generation=generation,
        seed=plan.seed,
        store=plan.store,
        journal=str(journal_path(plan.folder, slot, generation)),
        inherited=None if before is None else str(before),
        tasks=plan.tasks,
        jumps=plan.jumps and slot == 0,
        refusals=plan.refusals,
        wrap=plan.wrap,
        remote=plan.remote,
        kill_point=fate.kill_point,
        accident=fate.accident,
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
    # Often at once, sometimes after a long time: a power of two that is spread evenly.
    most = {Point.STATEMENT: 10, Point.WRITE: 11, Point.SYNC: 8}.get(point, 7)
    countdown = round(2 ** random.uniform(0, most))
    return KillPoint(point=point, verb=verb, countdown=countdown, forks=random.random() < _FORKS)
