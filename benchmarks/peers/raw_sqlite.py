"""The limit of SQLite for one caller after another: `sqlite3`, the least statements that do.

Its calls block, so callers are threads, each with a connection. No log, no counters, no history.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING

from measuring import TEXT, main

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncGenerator, Sequence

SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (id INTEGER PRIMARY KEY, body TEXT, claim TEXT, expires REAL);
CREATE INDEX IF NOT EXISTS ready ON jobs (id) WHERE claim IS NULL;
"""
CLAIM = """
UPDATE jobs SET claim = ?, expires = ?
 WHERE id = (SELECT id FROM jobs WHERE claim IS NULL ORDER BY id LIMIT 1) RETURNING id, body
"""


class RawSQLite:
    blocking = True
    lacks = frozenset({"worker", "pickup"})

    def __init__(self, path: str, synchronous: str) -> None:
        self.path, self.synchronous = path, synchronous
        self.own = threading.local()
        self.claims = map(str, count())
        self.connection.executescript(SCHEMA)

    @property
    def connection(self) -> sqlite3.Connection:
        if not hasattr(self.own, "connection"):
            self.own.connection = sqlite3.connect(self.path, timeout=60.0, isolation_level=None)
            self.own.connection.execute("PRAGMA journal_mode = WAL")
            self.own.connection.execute(f"PRAGMA synchronous = {self.synchronous}")
        return self.own.connection

    def enqueue(self) -> None:
        self.connection.execute("INSERT INTO jobs (body) VALUES (?)", (TEXT,))

    def enqueue_many(self, number: int) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        rows = [(TEXT,)] * number
        self.connection.executemany("INSERT INTO jobs (body) VALUES (?)", rows)
        self.connection.execute("COMMIT")

    def claim(self, caller: int) -> Sequence[object]:
        del caller
        claim = next(self.claims)
        self.connection.execute("BEGIN IMMEDIATE")
        (row,) = self.connection.execute(CLAIM, (claim, time.time() + 30)).fetchall()
        self.connection.execute("COMMIT")
        return (*row, claim)

    def complete(self, job: Sequence[object]) -> None:
        done = "UPDATE jobs SET claim = '', body = ? WHERE id = ? AND claim = ?"
        assert self.connection.execute(done, (TEXT, job[0], job[2])).rowcount == 1


@asynccontextmanager
async def opened(options: argparse.Namespace) -> AsyncGenerator[RawSQLite, None]:
    yield RawSQLite(options.url.removeprefix("sqlite:///"), options.durability)


if __name__ == "__main__":
    main(opened)
