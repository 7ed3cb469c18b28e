"""A connection and its thread, which runs whole functions, never single statements.

aiosqlite gives each connection its own thread, and each of its public calls runs one statement. A
transaction made of several such calls can be cancelled in its middle, which leaves it without an
owner. :meth:`ConnectionThread.call` passes a whole function to the thread instead: it needs one
switch of threads, and a cancelled caller cannot stop it half-way (I7).
"""

from __future__ import annotations

import sqlite3
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import aiosqlite
from anyio import CancelScope

from cicd_core.forks import never_end_in_a_child, undisturbed_by_forks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Answer = TypeVar("Answer")

#: Statements that a connection keeps prepared: a few for each collection.
_STATEMENTS: Final = 512
#: How many rows aiosqlite's own cursors read at once; none of them is used.
_CHUNK: Final = 64


class GuardedConnection(sqlite3.Connection):
    """A connection that a forked child never inherits half closed."""

    def close(self) -> None:
        """Close it; a fork of this process waits until it is closed."""
        with undisturbed_by_forks():
            super().close()


class ConnectionThread(aiosqlite.Connection):
    """A connection, and the thread that runs functions on it, one after the other.

    ``close``, inherited from aiosqlite, closes it after all earlier calls.
    """

    def __init__(self, path: Path, busy_timeout: float) -> None:
        """Set the file; :meth:`open` opens it. ``busy_timeout`` is in seconds."""
        connect = partial(
            _connected,
            str(path),
            timeout=busy_timeout,
            isolation_level=None,  # each function runs BEGIN and COMMIT itself
            cached_statements=_STATEMENTS,
            check_same_thread=False,  # a forked child closes it: see `close_inherited`
        )
        #: The connection that the thread opened, even if its answer reached no caller.
        self._file: GuardedConnection | None = None

        def opened() -> GuardedConnection:
            self._file = connect()
            return self._file

        super().__init__(opened, iter_chunk_size=_CHUNK)

    async def open(self) -> None:
        """Start the thread and open the file on it.

        Cancellation: shielded, except when the event loop itself cancels the task, as it does at
        Ctrl-C. In that case the thread has ended and the file is closed: the thread would answer a
        loop that may be closed.
        """
        with CancelScope(shield=True):  # quick; if cancelled, the file would stay open
            try:
                await self
            except BaseException:
                if self._thread.is_alive():  # it has been asked to end
                    self._thread.join()
                if self._file is not None:
                    self._file.close()
                raise

    async def call(self, function: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """Call ``function`` on the thread and return what it returns, or raise what it raises.

        Cancellation: the caller stops waiting; the function runs to its end all the same.
        """
        # aiosqlite has types for its public calls only.
        answer: Answer = await self._execute(_whole, self._conn, function)  # type: ignore[no-untyped-call] # see above
        return answer


def _whole(
    connection: sqlite3.Connection, function: Callable[[sqlite3.Connection], Answer]
) -> Answer:
    """Call a function. A fork of this process waits for its end: no child inherits half of it."""
    with undisturbed_by_forks():
        return function(connection)


def _connected(*arguments: Any, **options: Any) -> GuardedConnection:
    with undisturbed_by_forks():
        connection = GuardedConnection(*arguments, **options)
        never_end_in_a_child(connection)  # https://sqlite.org/howtocorrupt.html, section 2.6
    return connection
