"""Somebody who changes a database file behind the library's back."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import anyio

from cicd_core import ControlPlane, open_store
from cicd_core.audit import audit
from cicd_core.entities import COLLECTIONS
from cicd_core.testing import VirtualClock
from cicd_core.testing.clock import START

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cicd_core.audit import AuditReport


class Tamperer:
    """Changes a database file behind the library's back."""

    def __init__(self, path: Path, made: dict[str, str]) -> None:
        self.path = path
        self.made = made

    def run(self, statement: str, *parameters: object) -> None:
        """Change at least one row."""
        with closing(sqlite3.connect(self.path)) as connection, connection:
            assert connection.execute(statement, parameters).rowcount > 0

    def change_event(
        self, job: str, kind: str, change: Callable[[dict[str, Any]], None], *, nth: int = 0
    ) -> None:
        """Change the body of a job's event, the nth of its kind."""
        with closing(sqlite3.connect(self.path)) as connection, connection:
            rows = connection.execute(
                "SELECT id, body FROM log WHERE key = ? ORDER BY id", (self.made[job],)
            ).fetchall()
            bodies = [(row, json.loads(body)) for row, body in rows]
            row, body = [pair for pair in bodies if pair[1]["t"] == f"job.{kind}"][nth]
            change(body)
            encoded = json.dumps(body).encode()
            connection.execute("UPDATE log SET body = ? WHERE id = ?", (encoded, row))

    def change_job(self, job: str, **fields: object) -> None:
        """Change fields of a job's body."""
        with closing(sqlite3.connect(self.path)) as connection, connection:
            (body,) = connection.execute(
                "SELECT body FROM c_jobs WHERE key = ?", (self.made[job],)
            ).fetchone()
            encoded = json.dumps(json.loads(body) | fields).encode()
            connection.execute(
                "UPDATE c_jobs SET body = ? WHERE key = ?", (encoded, self.made[job])
            )

    def drop_event(self, job: str, kind: str) -> None:
        self.run(
            "DELETE FROM log WHERE key = ? AND instr(body, ?)",
            self.made[job],
            f'"t":"job.{kind}"'.encode(),
        )

    def audit(self) -> AuditReport:
        async def look() -> AuditReport:
            tomorrow = VirtualClock(START + 86_400_000_000)
            async with open_store(
                f"sqlite:///{self.path}", clock=tomorrow, collections=COLLECTIONS
            ) as store:
                return await audit(ControlPlane(store))

        return anyio.run(look)
