"""Orders of worker processes, and the points at which workers kill themselves."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Any, Final

import cattrs

from cicd_core.store.registry import StoreURL
from cicd_core.values import frozen


class Point(StrEnum):
    """A point at which a worker kills itself. The first three work with every store."""

    #: Before the call of the store.
    ASKED = "asked"
    #: During the call: after a random part of a few milliseconds, or at its answer.
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
    #: SQLite: in the middle of a write to the database or its log, after half of it.
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
    #: The verb of the store: ``claim``, ``commit`` or ``renew``; None: any of them.
    verb: str | None
    #: The number of passings, of which the last one ends the worker.
    countdown: int
    #: Whether it first forks a child, which outlives it.
    forks: bool = False


@frozen(kw_only=True)
class WorkerOrder:
    """The order of one worker process, as a line of JSON."""

    #: Unique among the workers of a run.
    name: str
    seed: int
    #: The URL of the store.
    store: str
    #: The path of the journal.
    journal: str
    #: A ``module:function``: an async function that takes the order, and the recorder of its calls.
    task: str
    #: The part of the order that only the task knows.
    details: dict[str, Any]
    kill_point: KillPoint | None = None

    @classmethod
    def from_json(cls, line: str | bytes) -> WorkerOrder:
        """Return the order in a line."""
        return cattrs.structure(json.loads(line), cls)

    def to_json(self) -> str:
        """Return the order as a line."""
        return json.dumps(cattrs.unstructure(self))


def is_sqlite(store: str) -> bool:
    """Whether a URL names a SQLite file."""
    return StoreURL.parse(store).scheme == "sqlite"
