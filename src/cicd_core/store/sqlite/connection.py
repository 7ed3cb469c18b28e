"""A connection and its thread: whole functions are run there, never a statement at a time.

aiosqlite gives each connection a thread of its own and awaits one call a hop. A transaction made
of several such awaits can be cancelled in its middle, and then nobody owns it. Therefore the class
of the connection, which :func:`sqlite3.connect` takes as ``factory``, runs the next waiting
function in ``commit()``: one hop, however much the function does, and a cancelled caller cannot
stop it half-way (I7).
"""

from __future__ import annotations

import sqlite3
from collections import deque
from typing import TYPE_CHECKING, Any, Final, TypeVar

import aiosqlite
from anyio import CancelScope

from cicd_core.forks import never_end_in_a_child

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Answer = TypeVar("Answer")

#: Statements that a connection keeps prepared: a few for each collection.
_STATEMENTS: Final = 512


class HopConnection(sqlite3.Connection):
    """A connection whose ``commit()`` runs the next waiting function, whole."""

    #: What waits to be run; filled by the event loop, in the order of its calls.
    waiting: deque[Callable[[sqlite3.Connection], None]]

    def commit(self) -> None:
        """Run one function."""
        self.waiting.popleft()(self)


class Hops:
    """Runs functions on a connection's thread, one after the other."""

    def __init__(self, path: Path, busy_timeout: float) -> None:
        """Say which file; :meth:`open` opens it. ``busy_timeout`` is in seconds."""
        self._waiting: deque[Callable[[sqlite3.Connection], None]] = deque()
        self._driver = aiosqlite.connect(
            str(path),
            timeout=busy_timeout,
            isolation_level=None,  # each function says BEGIN and COMMIT itself
            cached_statements=_STATEMENTS,
            factory=self._connected,
        )

    async def open(self) -> None:
        """Start the thread and open the file on it."""
        with CancelScope(shield=True):  # it is quick, and nobody would close what it opened
            await self._driver

    async def run(self, function: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """Run ``function`` on the thread and return what it returns, or raise what it raises.

        Cancellation: the caller stops waiting; the function runs to its end all the same.
        """
        answers: list[Answer] = []
        self._waiting.append(lambda connection: answers.append(function(connection)))
        await self._driver.commit()
        return answers[0]

    async def close(self) -> None:
        """Close the connection and end the thread, after all that was asked before."""
        await self._driver.close()

    def _connected(self, *arguments: Any, **options: Any) -> HopConnection:
        connection = HopConnection(*arguments, **options)
        connection.waiting = self._waiting
        never_end_in_a_child(connection)  # https://sqlite.org/howtocorrupt.html, section 2.6
        return connection
