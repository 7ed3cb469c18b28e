"""Inserts of several rows: one statement for up to sixteen of them."""

from __future__ import annotations

from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

#: The most rows of one statement. Each number of rows has its own statement, which stays prepared;
#: a single caller writes fewer.
ROWS: Final = 16


def insert_rows(
    connection: sqlite3.Connection, head: str, rows: Sequence[Sequence[Any]], tail: str = ""
) -> None:
    """Insert any number of rows, up to sixteen at a time.

    Args:
        connection: inside a transaction.
        head: the statement up to its ``VALUES``.
        rows: all of one length; without rows nothing runs.
        tail: the rest of the statement, after the rows.
    """
    for start in range(0, len(rows), ROWS):
        some = rows[start : start + ROWS]
        statement = _statement(head, len(some), len(some[0]), tail)
        connection.execute(statement, tuple(chain.from_iterable(some)))


@lru_cache
def _statement(head: str, number: int, width: int, tail: str) -> str:
    row = f"({', '.join('?' * width)})"
    return f"{head} {', '.join([row] * number)} {tail}"
