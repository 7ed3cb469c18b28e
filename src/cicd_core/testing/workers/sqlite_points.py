"""The kill points of a SQLite file: inside a transaction, and inside its writes and syncs."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from cicd_core.store.records import Claim
from cicd_core.store.sqlite.connection import GuardedConnection
from cicd_core.store.sqlite.decisions import CommitAll
from cicd_core.store.sqlite.writing import Writer
from cicd_core.testing.workers.orders import Point
from cicd_core.testing.workers.sqlite_files import FileWatcher, watch_files

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from cicd_core.store.sqlite.decisions import Request
    from cicd_core.testing.workers.kill_points import Fuse

#: Chores also commit, without a caller.
_CHORES: Final = ("commit",)


class _Doing(threading.local):
    """The verbs of this thread's transaction; none outside a transaction."""

    verbs: tuple[str, ...] = ()


def arm(fuse: Fuse) -> None:
    """Add the points of a fuse to every SQLite store of this process, until it ends."""
    doing = _Doing()
    _name_transactions(doing)
    _point_statements(fuse, doing)
    watch_files(_PointedFiles(fuse, doing))


def _name_transactions(doing: _Doing) -> None:
    """Record the verbs of each batch."""
    run, chores = Writer.run, Writer.do_chores

    def named_run(
        writer: Writer, connection: sqlite3.Connection, requests: Sequence[Request]
    ) -> list[Any]:
        doing.verbs = tuple({_verb(request) for request in requests})
        try:
            return run(writer, connection, requests)
        finally:
            doing.verbs = ()

    def named_chores(writer: Writer, connection: sqlite3.Connection) -> None:
        doing.verbs = _CHORES
        try:
            chores(writer, connection)
        finally:
            doing.verbs = ()

    _replace(Writer, run=named_run, do_chores=named_chores)


def _point_statements(fuse: Fuse, doing: _Doing) -> None:
    """Pass the points around and between the statements of a transaction."""
    execute, executemany = GuardedConnection.execute, GuardedConnection.executemany

    def pointed_execute(connection: GuardedConnection, sql: str, *rest: Any) -> sqlite3.Cursor:
        fuse.pass_by(_before(sql), *doing.verbs)
        cursor = execute(connection, sql, *rest)
        if sql == "COMMIT":
            fuse.pass_by(Point.COMMITTED, *doing.verbs)
        return cursor

    def pointed_many(connection: GuardedConnection, sql: str, *rest: Any) -> sqlite3.Cursor:
        fuse.pass_by(Point.STATEMENT, *doing.verbs)
        return executemany(connection, sql, *rest)

    _replace(GuardedConnection, execute=pointed_execute, executemany=pointed_many)


class _PointedFiles(FileWatcher):
    """Ends the process in the middle of a write, or before a sync."""

    def __init__(self, fuse: Fuse, doing: _Doing) -> None:
        self._fuse = fuse
        self._doing = doing

    def write(self, name: str, offset: int, data: bytes, proceed: Callable[[int], int]) -> int:
        if self._fuse.passes(Point.WRITE, self._doing.verbs):
            proceed(len(data) // 2)
            self._fuse.end()
        return proceed(len(data))

    def sync(self, name: str, *, folder: bool, proceed: Callable[[], int]) -> int:
        self._fuse.pass_by(Point.SYNC, *self._doing.verbs)
        return proceed()


def _verb(request: Request) -> str:
    if isinstance(request, Claim):
        return "claim"
    return "commit" if isinstance(request, CommitAll) else "renew"


def _before(sql: str) -> Point:
    if sql == "BEGIN IMMEDIATE":
        return Point.BEGIN
    return Point.COMMIT if sql == "COMMIT" else Point.STATEMENT


def _replace(owner: type[Any], **methods: Callable[..., Any]) -> None:
    for name, method in methods.items():
        setattr(owner, name, method)
