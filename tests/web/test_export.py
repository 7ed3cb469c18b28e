"""The audit as a file: its end, its limits, and what a caller sees if it cannot be completed."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import anyio
import pytest

from cicd_core import ControlPlane, JobSpec, KeySpec, NotAuthenticated, OperationRejected
from cicd_core.entities import COLLECTIONS
from cicd_core.http.server import TokenAccess, create_app
from cicd_core.http.web import export
from cicd_core.store.memory import MemoryBackend
from tests.http.in_process import client_of
from tests.patience import PATIENCE
from tests.services.broken_stores import Relay

if TYPE_CHECKING:
    import httpx2

    from cicd_core.store.contract import Store
    from cicd_core.store.records import LogPage

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]

EXPORT = "/ui/audit/export"
SPEC = JobSpec(job_type="build")


@pytest.fixture
def store() -> Store:
    return MemoryBackend(COLLECTIONS)


class Growing(Relay):
    """A log that grows at each read."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.plane = ControlPlane(store)
        self.grows = False

    async def read_log(self, cursor: str | None, limit: int) -> LogPage:
        page = await super().read_log(cursor, min(limit, 3))
        if self.grows:
            await self.plane.queue.enqueue_many([SPEC] * 3)
        return page


async def test_an_export_ends_where_the_log_ended_at_its_start(store: Store) -> None:
    growing = Growing(store)
    plane = ControlPlane(growing)
    jobs = await plane.queue.enqueue_many([SPEC] * 5)
    growing.grows = True
    async with client_of(create_app(plane, status_page=True)) as http:
        with anyio.fail_after(PATIENCE):
            answer = await http.get(f"{EXPORT}?command=job.created")
    rows = csv.DictReader(io.StringIO(answer.text, newline=""))
    assert [row["subject"] for row in rows] == [job.job_id for job in jobs]


class Held(Relay):
    """A log whose reads wait until they may be answered."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.waiting = 0
        self.all_wait = anyio.Event()
        self.may_answer = anyio.Event()

    async def read_log(self, cursor: str | None, limit: int) -> LogPage:
        self.waiting += 1
        if self.waiting == export.MOST_EXPORTS:
            self.all_wait.set()
        await self.may_answer.wait()
        return await super().read_log(cursor, limit)


async def test_one_principal_has_few_exports_at_once(store: Store) -> None:
    held = Held(store)
    answers: list[httpx2.Response] = []
    async with client_of(create_app(ControlPlane(held), status_page=True)) as http:

        async def ask() -> None:
            answers.append(await http.get(EXPORT))

        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for _ in range(export.MOST_EXPORTS):
                    tasks.start_soon(ask)
                await held.all_wait.wait()
                refused = await http.get(EXPORT)
                held.may_answer.set()
        after = await http.get(EXPORT)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert [answer.status_code for answer in (*answers, after)] == [200, 200, 200]


async def test_an_export_that_takes_too_long_is_cut_off_and_not_taken_for_the_whole(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane = ControlPlane(store)
    monkeypatch.setattr(export, "LONGEST_SECONDS", 0.0)
    await plane.queue.enqueue(SPEC)
    async with client_of(create_app(plane, status_page=True)) as http:
        with pytest.raises(OperationRejected, match="the export took over"):
            await http.get(EXPORT)


async def test_an_export_ends_when_its_key_is_revoked(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    growing = Growing(store)
    plane = ControlPlane(growing)
    issued = await plane.keys.create(KeySpec(name="ci", scopes=["events:read"]))
    await plane.queue.enqueue_many([SPEC] * 9)
    headers = {"authorization": f"Bearer {issued.token}"}
    access = TokenAccess(plane.keys, plane.sessions)
    async with client_of(create_app(plane, status_page=True, auth=access)) as http:
        assert (await http.get(EXPORT, headers=headers)).status_code == 200
        reads = growing.read_log

        async def revoke_first(cursor: str | None, limit: int) -> LogPage:
            await plane.keys.revoke(issued.key.key_id)
            return await reads(cursor, limit)

        monkeypatch.setattr(growing, "read_log", revoke_first)
        with pytest.raises(NotAuthenticated, match="revoked"):
            await http.get(EXPORT, headers=headers)
