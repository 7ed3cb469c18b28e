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
from cicd_core.model.event import Event, EventDraft
from cicd_core.persistence.codec import JOB
from cicd_core.persistence.converting import FULL_NAMES
from cicd_core.persistence.event_bodies import decode_event, encode_event
from cicd_core.store.records import LogEntry
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
        """Change the data of a job's event, the nth of its kind."""
        row, event = self.events(job, kind)[nth]
        data = dict(event.data)
        change(data)
        body = encode_event(EventDraft(event.type, event.at, data))
        self.run("UPDATE log SET body = ? WHERE id = ?", body, row)

    def events(self, job: str, kind: str) -> list[tuple[int, Event]]:
        """Return the events of a kind, each with its row; of any collection if the job is ""."""
        with closing(sqlite3.connect(self.path)) as connection:
            rows = connection.execute(
                "SELECT id, collection, key, version, ordinal, body FROM log ORDER BY id"
            ).fetchall()
        names = ("collection", "key", "version", "ordinal", "body")
        found = [
            (row, decode_event(LogEntry(**dict(zip(names, entry, strict=True)))))
            for row, *entry in rows
        ]
        key = self.made.get(job)
        return [
            (row, event)
            for row, event in found
            if event.type.partition(".")[2] == kind and key in {None, event.subject[1]}
        ]

    def change_job(self, job: str, **fields: object) -> None:
        """Change fields of a job's body."""
        with closing(sqlite3.connect(self.path)) as connection, connection:
            (body,) = connection.execute(
                "SELECT body FROM c_jobs WHERE key = ?", (self.made[job],)
            ).fetchone()
            decoded = JOB.decode(self.made[job], body).value
            encoded = json.dumps({"v": 2, **FULL_NAMES.unstructure(decoded), **fields}).encode()
            connection.execute(
                "UPDATE c_jobs SET body = ? WHERE key = ?", (encoded, self.made[job])
            )

    def drop_event(self, job: str, kind: str) -> None:
        """Drop every event of a kind; of any collection if the job is ""."""
        for row, _ in self.events(job, kind):
            self.run("DELETE FROM log WHERE id = ?", row)

    def audit(self) -> AuditReport:
        async def look() -> AuditReport:
            tomorrow = VirtualClock(START + 86_400_000_000)
            async with open_store(
                f"sqlite:///{self.path}", clock=tomorrow, collections=COLLECTIONS
            ) as store:
                return await audit(ControlPlane(store))

        return anyio.run(look)
