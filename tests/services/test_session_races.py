"""Sessions that several callers rotate and end at once: what was ended has no successor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cicd_core import ControlPlane, SessionRejected, UnsupportedCapability
from cicd_core.entities import COLLECTIONS
from cicd_core.store.memory import MemoryBackend
from tests.services.broken_stores import Relay

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from cicd_core.store.records import Commit, Committed, Conflict, Query, RecordPage

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]


class Interrupted(Relay):
    """A store on which something happens before a commit, or after a read of a list, once."""

    before_commit: Callable[[], Awaitable[Any]] | None = None
    after_list: Callable[[], Awaitable[Any]] | None = None

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        happens, self.before_commit = self.before_commit, None
        if happens is not None:
            await happens()
        return await super().commit(commits)

    async def page(self, query: Query) -> RecordPage:
        found = await super().page(query)
        happens, self.after_list = self.after_list, None
        if happens is not None:
            await happens()
        return found


async def open_sessions(plane: ControlPlane) -> list[str]:
    found = (await plane.sessions.list("ann")).items
    return [each.session_id for each in found if each.logged_out_at is None]


async def test_of_two_rotations_at_once_one_succeeds() -> None:
    store = Interrupted(MemoryBackend(COLLECTIONS))
    plane = ControlPlane(store)
    first = await plane.sessions.create("ann")
    won: list[str] = []

    async def rotate() -> None:
        won.append((await plane.sessions.rotate(first.token)).session.session_id)

    store.before_commit = rotate
    with pytest.raises(SessionRejected, match="it has ended, or was rotated, meanwhile"):
        await plane.sessions.rotate(first.token)
    assert await open_sessions(plane) == won


@pytest.mark.parametrize("everywhere", [True, False])
async def test_a_session_that_ends_while_it_is_rotated_has_no_successor(everywhere: bool) -> None:
    store = Interrupted(MemoryBackend(COLLECTIONS))
    plane = ControlPlane(store)
    first = await plane.sessions.create("ann")

    async def end() -> None:
        if everywhere:
            await plane.sessions.log_out_everywhere("ann")
        else:
            await plane.sessions.revoke(first.session.session_id)

    store.before_commit = end
    with pytest.raises(SessionRejected):
        await plane.sessions.rotate(first.token)
    assert await open_sessions(plane) == []


async def test_a_rotation_that_a_failing_store_cuts_short_leaves_one_session() -> None:
    store = Interrupted(MemoryBackend(COLLECTIONS))
    plane = ControlPlane(store)
    first = await plane.sessions.create("ann")

    async def fail() -> None:
        raise UnsupportedCapability("the store is away")

    async def then_fail() -> None:
        store.before_commit = fail

    store.before_commit = then_fail
    second = await plane.sessions.rotate(first.token)
    assert await open_sessions(plane) == [second.session.session_id]


async def test_a_log_out_everywhere_ends_what_was_rotated_behind_its_back() -> None:
    store = Interrupted(MemoryBackend(COLLECTIONS))
    plane = ControlPlane(store)
    first = await plane.sessions.create("ann")
    store.after_list = lambda: plane.sessions.rotate(first.token)
    assert await plane.sessions.log_out_everywhere("ann") == 1
    assert await open_sessions(plane) == []
