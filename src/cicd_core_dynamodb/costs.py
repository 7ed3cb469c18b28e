"""The consumption of each operation, in DynamoDB's units, and the price of a unit.

A test runs each operation on real engines and compares their consumption with these figures, so
the figures are measured. They apply to a job whose record stays below 1 KB, in a pool with one
lane.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The length of a month in all estimates, in seconds: 30 days.
MONTH: Final = 30 * 86400.0


@frozen(kw_only=True)
class Units:
    """Write and read request units."""

    writes: float = 0.0
    reads: float = 0.0

    def __add__(self, other: Units) -> Units:
        return Units(writes=self.writes + other.writes, reads=self.reads + other.reads)

    def times(self, number: float) -> Units:
        """Return a multiple of the units."""
        return Units(writes=self.writes * number, reads=self.reads * number)


@frozen(kw_only=True)
class Prices:
    """The prices of AWS, in US dollars."""

    region: str
    #: The year and the month since which they apply.
    since: str
    #: Of a million units.
    writes: float
    reads: float
    #: Of a gigabyte for a month: of data, and of the continuous backup of a table.
    storage: float
    recovery: float

    def of(self, units: Units) -> float:
        """Return the cost of units."""
        return (units.writes * self.writes + units.reads * self.reads) / 1_000_000


#: On demand, the standard class of tables; the first 25 GB a month are free, and counted here.
PRICES: Final = Prices(
    region="us-east-1", since="2024-11", writes=0.625, reads=0.125, storage=0.25, recovery=0.20
)


@frozen(kw_only=True)
class PricedOperation:
    """The consumption of one operation, in parts."""

    name: str
    #: The caller's action.
    description: str
    #: The consumption for records and their indexes.
    records: Units = Units()
    #: The addition for events and counters, unless the store is opened with ``log=off``.
    log: Units = Units()
    #: The addition for the mark of the claim, unless with ``claim_marks=off``.
    mark: Units = Units()
    #: The number of queries of split partitions: half a read unit for each of their shards. A
    #: look at the log makes several queries of each of its shards, of which there are as many.
    queries: int = 0
    #: Whether the consumption is always the same; otherwise it is about the maximum.
    exact: bool = True
    #: Whether the operation is impossible with ``log=off``.
    needs_log: bool = False

    def total(self, *, shards: int, log: bool = True, marks: bool = True) -> Units:
        """Return its consumption if busy partitions are split into ``shards`` shards."""
        units = self.records + Units(reads=0.5 * shards * self.queries)
        if log:
            units += self.log
        return units + self.mark if marks else units


_EVENTS: Final = Units(writes=1)
_MARK: Final = Units(writes=1)

OPERATIONS: Final = (
    PricedOperation(
        name="enqueue",
        description="`queue.enqueue`",
        records=Units(writes=3),
        log=_EVENTS,
    ),
    PricedOperation(
        name="enqueue 10 at once",
        description="`queue.enqueue_many`, all ten together",
        records=Units(writes=30),
        log=Units(writes=6),
        exact=False,
    ),
    PricedOperation(
        name="enqueue with a deadline",
        description="`queue.enqueue(… deadline_at=…)`",
        records=Units(writes=4),
        log=_EVENTS,
    ),
    PricedOperation(
        name="claim",
        description="`queue.claim`, of one job",
        records=Units(writes=4),
        mark=_MARK,
        queries=1,
    ),
    PricedOperation(
        name="claim and start",
        description="`queue.claim(… start=True)`, as an agent does",
        records=Units(writes=6),
        mark=_MARK,
        queries=1,
    ),
    PricedOperation(
        name="claim 10 at once",
        description="`queue.claim(… start=True, limit=10)`, all ten together",
        records=Units(writes=60),
        mark=_MARK,
        queries=1,
    ),
    PricedOperation(
        name="claim, nothing there",
        description="`queue.claim`, and a fresh read of the pool's lanes",
        records=Units(reads=1),
        mark=Units(reads=1),
        queries=1,
    ),
    PricedOperation(
        name="start",
        description="`queue.start`",
        records=Units(writes=3),
        log=_EVENTS,
    ),
    PricedOperation(name="renew", description="`queue.renew`, a lease", records=Units(writes=1)),
    PricedOperation(
        name="progress",
        description="`queue.progress`; two more for the first after a start",
        records=Units(writes=1),
        log=_EVENTS,
    ),
    PricedOperation(
        name="complete",
        description="`queue.complete`",
        records=Units(writes=4),
        log=_EVENTS,
    ),
    PricedOperation(
        name="retry",
        description="`queue.complete` with a verdict that is retried",
        records=Units(writes=5),
        log=_EVENTS,
    ),
    PricedOperation(
        name="dead-letter",
        description="`queue.complete` of the last attempt",
        records=Units(writes=5),
        log=_EVENTS,
    ),
    PricedOperation(
        name="release", description="`queue.release`", records=Units(writes=5), log=_EVENTS
    ),
    PricedOperation(
        name="replay",
        description="`jobs.replay`",
        records=Units(writes=5, reads=2),
        log=_EVENTS,
    ),
    PricedOperation(
        name="cancel a queued job",
        description="`jobs.cancel`",
        records=Units(writes=4, reads=1),
        log=_EVENTS,
    ),
    PricedOperation(
        name="reprioritise",
        description="`jobs.reprioritise`",
        records=Units(writes=3, reads=1),
        log=_EVENTS,
    ),
    PricedOperation(
        name="sweep, nothing due",
        description="`maintenance.sweep`, for any number of pools",
        records=Units(reads=0.5),
        queries=4,
    ),
    PricedOperation(
        name="sweep that takes a job back",
        description="a lease has expired: the job is retried",
        records=Units(writes=5, reads=2),
        log=_EVENTS,
        queries=4,
    ),
    PricedOperation(
        name="sweep that makes a job ready",
        description="its retry is due",
        records=Units(writes=5, reads=2),
        log=_EVENTS,
        queries=4,
    ),
    PricedOperation(
        name="register",
        description="`agents.register`, of a new agent",
        records=Units(writes=4, reads=1),
        log=_EVENTS,
    ),
    PricedOperation(
        name="heartbeat",
        description="`agents.heartbeat`, its health unchanged",
        records=Units(writes=1),
    ),
    PricedOperation(
        name="stats",
        description="`queue.stats()`, after a few jobs",
        records=Units(reads=8),
        queries=80,
        exact=False,
        needs_log=True,
    ),
    PricedOperation(name="get a job", description="`jobs.get`", records=Units(reads=1)),
    PricedOperation(
        name="list 50 jobs",
        description="`jobs.list(status=…, limit=50)`",
        records=Units(reads=33),
        exact=False,
    ),
    PricedOperation(
        name="list an agent's jobs",
        description="`jobs.list(agent_id=…, limit=10)`",
        records=Units(reads=5.5),
        exact=False,
    ),
)
BY_NAME: Final[Mapping[str, PricedOperation]] = {item.name: item for item in OPERATIONS}

#: The operations of a job's life: step by step, and as an agent runs it.
LIFECYCLE: Final = ("enqueue", "claim", "start", "complete")
AGENT_LIFECYCLE: Final = ("enqueue", "claim and start", "complete")


def lifecycle(
    names: tuple[str, ...] = LIFECYCLE, *, shards: int, log: bool = True, marks: bool = True
) -> Units:
    """Return the total consumption of some operations."""
    total = Units()
    for name in names:
        total += BY_NAME[name].total(shards=shards, log=log, marks=marks)
    return total


# ------------------------------------------------------------------------------------ the log

#: To copy the entries of one job's life to the log; one item takes several of them.
COPYING: Final = Units(writes=0.4, reads=2.6)
#: A look at the log that finds nothing new, with four shards.
LOG_LOOK: Final = Units(reads=16)
#: A look at the log and its counters: about once a minute, one of all processes that write does
#: this, so that the log is updated without readers.
TENDING: Final = Units(reads=36)
#: The check whether it is a process's turn, once a minute in each that writes; and the turn.
TURN_ASKED: Final = Units(reads=0.5)
TURN_TAKEN: Final = Units(writes=1)
#: The data of one job's life in the journal, in bytes as they are read: each look at the log reads
#: the last seconds of the journal again, twice if there are new items.
JOURNAL_BYTES: Final = 1020

# ------------------------------------------------------------------------------------ storage

#: The bytes that DynamoDB adds to each item and each row of an index.
OVERHEAD: Final = 100
#: The size of an ended job in bytes, with the overhead: its record, and its rows in the indexes.
JOB_BYTES: Final = 840
JOB_INDEX_BYTES: Final = 440
#: The size of one job's life in the journal and the log in bytes, with the overhead.
LOG_BYTES: Final = 1700


def item_bytes(item: Mapping[str, Mapping[str, Any]]) -> int:
    """Return the size of an item by DynamoDB's rules: its names and its values."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: Mapping[str, Any]) -> int:
    ((kind, held),) = value.items()
    if kind in {"S", "B"}:
        return len(held.encode()) if isinstance(held, str) else len(held)
    if kind == "N":
        return len(held) // 2 + 2
    if kind in {"SS", "BS"}:
        return sum(map(len, held))
    if kind == "L":
        return 3 + sum(1 + _value_bytes(item) for item in held)
    if kind == "M":
        return 3 + len(held) + item_bytes(held)
    return 1
