"""Sessions: good for as long as they are used, and not a moment beyond their end."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from cicd_core import (
    ControlPlane,
    CorruptRecord,
    InvalidInput,
    IssuedSession,
    SessionRejected,
    Settings,
    TooManyConflicts,
)
from cicd_core.ids import IdSource
from cicd_core.model.instants import from_micros
from cicd_core.model.session import hash_token
from cicd_core.store.records import Commit, Committed, Conflict, Put
from tests.services.broken_stores import Relay
from tests.services.scenes import SETTINGS, everything_told, story

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Record, Renewal, Renewed
    from cicd_core.testing import VirtualClock

pytestmark = pytest.mark.anyio

HOUR = 3600.0


class Watching(Relay):
    """A store that remembers every byte that it was asked to keep, and counts the writes."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.seen: list[str] = []
        self.renewals = 0

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        self.seen += [repr(commit) for commit in commits]
        return await super().commit(commits)

    async def renew(self, renewals: Sequence[Renewal]) -> list[Renewed | None]:
        self.renewals += 1
        self.seen += [repr(renewal) for renewal in renewals]
        return await super().renew(renewals)


class Contested(Relay):
    """A store in which every record was changed a moment before it is replaced."""

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        creation = all(isinstance(put, Put) and not put.expected for put in commits[0].writes)
        return await super().commit(commits) if creation else [Conflict(()) for _ in commits]


async def test_a_token_opens_its_session(
    plane: ControlPlane, other_plane: ControlPlane, clock: VirtualClock
) -> None:
    opened = await plane.sessions.create("ann", metadata={"ip": "::1"})
    now = from_micros(clock.micros())
    assert opened.session.session_id == hash_token(opened.token)
    assert opened.session.expires_at == now + timedelta(hours=24)
    assert await other_plane.sessions.validate(opened.token) == opened.session
    assert (opened.session.user_id, opened.session.metadata) == ("ann", {"ip": "::1"})


@pytest.mark.parametrize("token", ["", "nonsense", chr(0xD800)])
async def test_a_token_that_nobody_was_given_is_rejected(plane: ControlPlane, token: str) -> None:
    await plane.sessions.create("ann")
    with pytest.raises(SessionRejected, match="unknown"):
        await plane.sessions.validate(token)


async def test_the_hash_of_a_token_opens_nothing(plane: ControlPlane) -> None:
    opened = await plane.sessions.create("ann")
    with pytest.raises(SessionRejected):
        await plane.sessions.validate(opened.session.session_id)


async def test_a_session_that_is_not_used_ends(plane: ControlPlane, clock: VirtualClock) -> None:
    opened = await plane.sessions.create("ann")
    clock.advance(8 * HOUR)
    with pytest.raises(SessionRejected, match="was idle for 28800 s"):
        await plane.sessions.validate(opened.token)
    clock.advance(micros=1)
    for _ in range(2):
        with pytest.raises(SessionRejected):
            await plane.sessions.validate(opened.token)
    told = [event.type for event in await story(plane, opened.session.session_id)]
    assert told == ["session.created", "session.expired"]
    (shown,) = (await plane.sessions.list("ann")).items
    assert shown.expired_at == from_micros(clock.micros())


async def test_each_use_keeps_a_session_and_nothing_keeps_it_for_ever(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    opened = await plane.sessions.create("ann")
    for _ in range(3):
        clock.advance(7.9 * HOUR)
        await plane.sessions.validate(opened.token)
    clock.advance(0.3 * HOUR - 0.000001)
    await plane.sessions.validate(opened.token)
    clock.advance(micros=1)
    with pytest.raises(SessionRejected, match="expired"):
        await plane.sessions.validate(opened.token)


@pytest.mark.parametrize("idle_seconds", [1, 10, 60, 3600])
async def test_a_session_lives_while_it_is_used_however_short_its_idle_time(
    plane: ControlPlane, clock: VirtualClock, idle_seconds: float
) -> None:
    opened = await plane.sessions.create("ann", idle_seconds=idle_seconds)
    for _ in range(10):
        clock.advance(idle_seconds / 2)
        await plane.sessions.validate(opened.token)
    clock.advance(idle_seconds)
    with pytest.raises(SessionRejected):
        await plane.sessions.validate(opened.token)


async def test_a_use_is_a_read_unless_a_while_has_passed(store: Store, clock: VirtualClock) -> None:
    watching = Watching(store)
    plane = ControlPlane(watching)
    opened = await plane.sessions.create("ann")
    written = len(watching.seen)
    for _ in range(30):
        clock.advance(1)
        await plane.sessions.validate(opened.token)
    assert (len(watching.seen), watching.renewals) == (written, 0)
    clock.advance(1)
    await plane.sessions.validate(opened.token)
    assert watching.renewals == 1


async def test_a_session_has_the_times_that_it_was_opened_with(
    plane: ControlPlane, store: Store, clock: VirtualClock
) -> None:
    opened = await plane.sessions.create("ann", ttl_seconds=60, idle_seconds=600)
    assert opened.session.idle_seconds == 60
    clock.advance(60)
    with pytest.raises(SessionRejected):
        await plane.sessions.validate(opened.token)
    brief = ControlPlane(store, settings=Settings(session_seconds=30, session_idle_seconds=10))
    opened = await brief.sessions.create("ann")
    assert opened.session.idle_seconds == 10
    clock.advance(11)
    with pytest.raises(SessionRejected, match="idle for 10 s"):
        await brief.sessions.validate(opened.token)


async def test_a_session_is_over_when_its_user_logs_out(
    plane: ControlPlane, other_plane: ControlPlane, clock: VirtualClock
) -> None:
    opened = await plane.sessions.create("ann")
    clock.advance(60)
    await other_plane.sessions.log_out(opened.token)
    with pytest.raises(SessionRejected, match="logged out"):
        await plane.sessions.validate(opened.token)
    await plane.sessions.log_out(opened.token)
    await plane.sessions.log_out("nobody's")
    told = [event.type for event in await story(plane, opened.session.session_id)]
    assert told == ["session.created", "session.logged_out"]


async def test_an_operator_ends_one_session_or_all_of_a_user(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    anns: list[IssuedSession] = []
    for _ in range(3):
        anns.append(await plane.sessions.create("ann"))
        clock.advance(1)
    bobs = await plane.sessions.create("bob")
    shown = (await plane.sessions.list("ann")).items
    assert [session.session_id for session in shown] == [
        opened.session.session_id for opened in reversed(anns)
    ]
    await plane.sessions.revoke(shown[0].session_id, actor="admin")
    with pytest.raises(SessionRejected):
        await plane.sessions.validate(anns[2].token)
    assert await plane.sessions.log_out_everywhere("ann") == 2
    assert await plane.sessions.log_out_everywhere("ann") == 0
    for opened in anns:
        with pytest.raises(SessionRejected):
            await plane.sessions.validate(opened.token)
    assert (await plane.sessions.validate(bobs.token)).user_id == "bob"


async def test_a_session_gets_another_token_and_ends_when_it_would_have(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    first = await plane.sessions.create(
        "ann", ttl_seconds=600, idle_seconds=300, metadata={"ip": "::1"}
    )
    clock.advance(60)
    second = await plane.sessions.rotate(first.token)
    assert second.token != first.token
    assert await plane.sessions.validate(second.token) == second.session
    old, new = first.session, second.session
    assert (new.user_id, new.idle_seconds, new.metadata) == ("ann", 300, {"ip": "::1"})
    assert new.expires_at == old.expires_at
    for token in (first.token, "none", None):
        with pytest.raises(SessionRejected):
            await plane.sessions.rotate(token)


@pytest.mark.parametrize("body", [b"\xff not JSON", b'{"v": 99, "user_id": "ann"}'])
async def test_a_log_out_everywhere_ends_sessions_that_it_cannot_read(
    plane: ControlPlane, store: Store, clock: VirtualClock, body: bytes
) -> None:
    readable, unreadable = await plane.sessions.create("ann"), await plane.sessions.create("ann")
    record = await replace_body(store, unreadable.session.session_id, body)
    assert await plane.sessions.log_out_everywhere("ann", actor="admin") == 2
    assert await plane.sessions.log_out_everywhere("ann", actor="admin") == 0
    for opened in (readable, unreadable):
        with pytest.raises(SessionRejected):
            await plane.sessions.validate(opened.token)
    assert await store.get("sessions", [record.key]) == {}
    told = (await story(plane, record.key))[-1]
    assert told.type == "session.logged_out"
    assert told.data == {
        "user_id": "ann",
        "actor": "admin",
        "reason": "its record was not readable",
    }


async def test_a_log_out_and_a_revocation_end_sessions_that_cannot_be_read(
    plane: ControlPlane, store: Store
) -> None:
    first, second = await plane.sessions.create("ann"), await plane.sessions.create("ann")
    for opened in (first, second):
        await replace_body(store, opened.session.session_id, b"\xff not JSON")
        with pytest.raises(CorruptRecord):
            await plane.sessions.validate(opened.token)
    await plane.sessions.log_out(first.token)
    await plane.sessions.revoke(second.session.session_id)
    for opened in (first, second):
        with pytest.raises(SessionRejected, match="unknown"):
            await plane.sessions.validate(opened.token)


async def test_a_session_that_cannot_be_read_nor_removed_is_reported(
    store: Store, clock: VirtualClock
) -> None:
    plane = ControlPlane(Contested(store), settings=SETTINGS)
    opened = await plane.sessions.create("ann")
    await replace_body(store, opened.session.session_id, b"\xff not JSON")
    with pytest.raises(TooManyConflicts):
        await plane.sessions.log_out_everywhere("ann")


async def test_an_absent_token_is_rejected_and_logs_nothing_out(plane: ControlPlane) -> None:
    opened = await plane.sessions.create("ann")
    with pytest.raises(SessionRejected, match="no token was given"):
        await plane.sessions.validate(None)
    await plane.sessions.log_out(None)
    assert (await plane.sessions.validate(opened.token)).user_id == "ann"


async def replace_body(store: Store, key: str, body: bytes) -> Record:
    record = (await store.get("sessions", [key]))[key]
    put = Put(
        collection="sessions",
        key=key,
        expected=record.version,
        body=body,
        attributes=record.attributes,
        expires_at=record.expires_at,
    )
    (answer,) = await store.commit([Commit(commit_id=IdSource().commit_id(), writes=(put,))])
    assert isinstance(answer, Committed)
    return record


async def test_a_log_out_and_a_use_at_once_end_the_session(
    plane: ControlPlane, other_plane: ControlPlane, clock: VirtualClock
) -> None:
    opened = await plane.sessions.create("ann")
    clock.advance(60)

    async def use() -> None:
        try:
            await other_plane.sessions.validate(opened.token)
        except SessionRejected:
            return

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(use)
        tasks.start_soon(plane.sessions.log_out, opened.token)
    with pytest.raises(SessionRejected):
        await plane.sessions.validate(opened.token)


async def test_a_session_that_has_ended_is_forgotten_at_its_absolute_end(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    opened = await plane.sessions.create("ann")
    await plane.sessions.log_out(opened.token)
    assert len((await plane.sessions.list("ann")).items) == 1
    clock.advance(24 * HOUR)
    assert (await plane.sessions.list("ann")).items == ()
    with pytest.raises(SessionRejected, match="unknown, or has expired"):
        await plane.sessions.validate(opened.token)


async def test_a_token_is_never_kept_and_never_shown(store: Store, clock: VirtualClock) -> None:
    watching = Watching(store)
    plane = ControlPlane(watching)
    opened = await plane.sessions.create("ann", idle_seconds=60)
    clock.advance(30)
    session = await plane.sessions.validate(opened.token)
    await plane.sessions.log_out(opened.token)
    with pytest.raises(SessionRejected) as refused:
        await plane.sessions.validate(opened.token)
    told = await everything_told(plane)
    shown = [*watching.seen, repr(opened), str(opened), repr(session), str(refused.value)]
    assert watching.renewals == 1
    assert len(told) == 2
    assert not [text for text in [*shown, *map(repr, told)] if opened.token in text]


async def test_a_token_is_in_no_file(
    plane: ControlPlane, store_url: str, tmp_path: Path, clock: VirtualClock
) -> None:
    opened = await plane.sessions.create("ann")
    clock.advance(60)
    await plane.sessions.validate(opened.token)
    kept = bytes_below(tmp_path)
    assert (opened.session.session_id.encode() in kept) == store_url.startswith("sqlite")
    assert opened.token.encode() not in kept


def bytes_below(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("field", "user_id", "options"),
    [
        ("user_id", "", {}),
        ("user_id", "nul\0", {}),
        ("ttl_seconds", "ann", {"ttl_seconds": -1}),
        ("ttl_seconds", "ann", {"ttl_seconds": 0}),
        ("idle_seconds", "ann", {"idle_seconds": float("nan")}),
        ("metadata['ip']", "ann", {"metadata": {"ip": 1}}),
    ],
)
async def test_a_session_that_cannot_be_is_refused(
    plane: ControlPlane, field: str, user_id: str, options: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInput) as refused:
        await plane.sessions.create(user_id, **options)
    assert refused.value.field == field


async def test_a_token_in_the_place_of_an_id_is_refused_and_not_shown(plane: ControlPlane) -> None:
    opened = await plane.sessions.create("ann")
    with pytest.raises(InvalidInput) as refused:
        await plane.sessions.revoke(opened.token)
    assert refused.value.field == "session_id"
    assert opened.token not in f"{refused.value!r} {refused.value}"
    await plane.sessions.revoke(hash_token("nobody's"))
