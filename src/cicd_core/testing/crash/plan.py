"""What a run of the lab does: how many workers, for how long, and what becomes of each of them.

All of it follows from the seed: the fate of every incarnation of every worker, and the random
choices that it makes. What the processes do to each other in between is up to the machine.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path  # noqa: TC003 - attrs reads the annotations of its fields
from random import Random  # noqa: TID251 - its seed comes in as a parameter
from typing import Final

from attrs import evolve, frozen

from cicd_core.errors import InvalidInput
from cicd_core.settings import Settings
from cicd_core.store.registry import StoreURL

#: The lab's settings: everything short, so that leases run out while somebody looks.
SETTINGS: Final = Settings(
    lease_seconds=1.0,
    start_timeout_seconds=1.5,
    grace_seconds=0.0,
    heartbeat_seconds=1.0,
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
    #: The store has answered, and nobody has heard it.
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
class Bomb:
    """A point at which a worker kills itself."""

    point: Point
    #: Of which verb of the store: ``claim``, ``commit`` or ``renew``.
    verb: str
    #: At the how many-th time that it comes by.
    countdown: int
    #: Whether it forks a child right before, which outlives it.
    forks: bool = False


class Mishap(StrEnum):
    """What happens to a worker, or to the store, beside the worker's death."""

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
    """What becomes of one incarnation of a worker.

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
    bomb: Bomb | None = None
    accident: Accident | None = None


@frozen(kw_only=True)
class LabPlan:
    """One run of the lab.

    Raises:
        InvalidInput: a number is out of its range.
    """

    #: The URL of the store: nothing else may be in it.
    store: str
    #: An empty folder for what the workers write down.
    folder: Path
    seed: int = 0
    #: How long the storm lasts at most.
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
        return IN_SQLITE if is_sqlite(self.store) else ANYWHERE


@frozen(kw_only=True)
class WorkerOrder:
    """What one incarnation of a worker is told, in words that fit on a line of JSON."""

    slot: int
    generation: int
    seed: int
    store: str
    journal: str
    #: What its predecessor wrote down; None: it is the first one.
    inherited: str | None
    tasks: int
    jumps: bool
    refusals: bool = False
    wrap: str | None
    bomb: Bomb | None
    accident: Accident | None

    @property
    def name(self) -> str:
        """What it is called as an agent: no other incarnation is called so."""
        return agent_name(self.slot, self.generation)


def is_sqlite(store: str) -> bool:
    """Whether a URL is that of a SQLite file."""
    return StoreURL.parse(store).scheme == "sqlite"


def agent_name(slot: int, generation: int) -> str:
    """Return what an incarnation of a worker is called as an agent."""
    return f"lab-{slot}.{generation}"


def journal_path(folder: Path, slot: int, generation: int) -> Path:
    """Return the file that an incarnation of a worker writes to."""
    return folder / f"{slot}.{generation}.jsonl"


def drawn(seed: int, *words: object) -> Random:
    """Return the random numbers of one part of a run: the same ones for the same words."""
    return Random("/".join(map(str, (seed, *words))))  # noqa: S311 - no secrets are drawn


def fate_of(plan: LabPlan, slot: int, generation: int) -> Fate:
    """Return what becomes of an incarnation of a worker: it follows from the plan alone."""
    accident = _accident(drawn(plan.seed, "accident", slot, generation))
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
        return Fate(killed=plan.life, bomb=_bomb(plan, random))
    revived = instant + random.uniform(*_STOPPED)
    return Fate(killed=revived + _REVIVED, stopped=instant, revived=revived)


def order_of(plan: LabPlan, slot: int, generation: int) -> WorkerOrder:
    """Return what an incarnation of a worker is told."""
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
        bomb=fate.bomb,
        accident=fate.accident,
    )


def _accident(random: Random) -> Accident | None:
    if random.random() >= _MISHAP:
        return None
    return Accident(
        mishap=random.choice(list(Mishap)),
        calls=random.randrange(1, _CALLS),
        pool=random.getrandbits(16),
    )


def _bomb(plan: LabPlan, random: Random) -> Bomb:
    point = random.choice(plan.points)
    verb = random.choices(("claim", "commit", "renew"), (5, 5, 1))[0]
    # Often at once, sometimes after a long time: a power of two that is spread evenly.
    most = {Point.STATEMENT: 10, Point.WRITE: 11, Point.SYNC: 8}.get(point, 7)
    countdown = round(2 ** random.uniform(0, most))
    return Bomb(point=point, verb=verb, countdown=countdown, forks=random.random() < _FORKS)
