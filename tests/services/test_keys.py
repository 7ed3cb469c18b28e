"""API keys: made, used, replaced, revoked; a token is never kept, and never more than granted."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import anyio
import pytest
from attrs import evolve

from cicd_core import (
    ControlPlane,
    InvalidInput,
    KeySpec,
    NotAuthenticated,
    NotFound,
    NotPermitted,
)
from cicd_core.keys import rules, service
from cicd_core.model.principal import Principal, Scope
from tests.services.broken_stores import Relay
from tests.services.scenes import story

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cicd_core import IssuedKey
    from cicd_core.store.contract import Store
    from cicd_core.store.records import Commit, Committed, Conflict, Record
    from cicd_core.testing.clock import VirtualClock

pytestmark = pytest.mark.anyio

OTHER_SECRET = "0" * 64


class Gate(Relay):
    """Holds up the first answer to a read of keys."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.is_read = anyio.Event()
        self.may_answer = anyio.Event()

    async def get(self, collection: str, keys: Sequence[str]) -> Mapping[str, Record]:
        found = await super().get(collection, keys)
        if not self.is_read.is_set():
            self.is_read.set()
            await self.may_answer.wait()
        return found


async def made(plane: ControlPlane, **fields: object) -> IssuedKey:
    words: dict[str, object] = {"name": "ci", "scopes": ["jobs:read", "jobs:write"], **fields}
    return await plane.keys.create(KeySpec(**words), actor="ann")  # type: ignore[arg-type] # mixed


@pytest.fixture
def nothing_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have each use of a key read its record, as the first one after 4 seconds does."""
    monkeypatch.setattr(service, "BELIEVED_SECONDS", 0.0)


async def test_a_token_stands_for_its_key_and_only_its_hash_is_kept(plane: ControlPlane) -> None:
    issued = await made(plane)
    principal = await plane.keys.authenticate(issued.token)
    assert principal == Principal(
        name="ci",
        scopes=frozenset({Scope("jobs:read"), Scope("jobs:write")}),
        key_id=issued.key.key_id,
    )
    (record,) = (await plane.store.get("api-keys", [issued.key.key_id])).values()
    secret = issued.token.rsplit("_", 1)[1]
    assert secret.encode() not in record.body
    assert secret not in repr(issued)
    assert secret not in str([event.data for event in await story(plane, issued.key.key_id)])


@pytest.mark.parametrize(
    "token",
    [None, "", 7, "cicd_", "cicd_0123456789abcdef_", f"cicd_0123456789ABCDEF_{OTHER_SECRET}"],
)
async def test_what_is_no_token_is_refused_and_not_repeated(
    plane: ControlPlane, token: object
) -> None:
    with pytest.raises(NotAuthenticated, match="token is not an API key") as refused:
        await plane.keys.authenticate(token)
    assert "0123456789" not in str(refused.value)


@pytest.mark.parametrize("is_believed", [True, False])
async def test_the_right_id_with_another_secret_is_refused(
    plane: ControlPlane, is_believed: bool
) -> None:
    issued = await made(plane)
    if is_believed:
        await plane.keys.authenticate(issued.token)
    with pytest.raises(NotAuthenticated, match="the API key is unknown"):
        await plane.keys.authenticate(f"cicd_{issued.key.key_id}_{OTHER_SECRET}")
    found = await plane.keys.get(issued.key.key_id)
    assert (found.last_used_at is not None) is is_believed  # the wrong secret is no use of it


async def test_a_revoked_key_is_refused_at_once_where_it_was_revoked(plane: ControlPlane) -> None:
    issued = await made(plane)
    await plane.keys.authenticate(issued.token)
    revoked = await plane.keys.revoke(issued.key.key_id, actor="bob", reason="leaked")
    assert (revoked.revoked_by, revoked.revoked_at is not None) == ("bob", True)
    with pytest.raises(NotAuthenticated, match="revoked"):
        await plane.keys.authenticate(issued.token)
    told = [(event.type, event.data["actor"]) for event in await story(plane, issued.key.key_id)]
    assert told == [("key.created", "ann"), ("key.revoked", "bob")]
    assert await plane.keys.revoke(issued.key.key_id, actor="eve") == revoked


async def test_a_key_that_is_revoked_while_it_is_looked_up_is_not_believed(
    store: Store,
) -> None:
    gate = Gate(store)
    plane = ControlPlane(gate)
    issued = await made(plane)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(plane.keys.authenticate, issued.token)
        await gate.is_read.wait()
        await plane.keys.revoke(issued.key.key_id)
        gate.may_answer.set()
    with pytest.raises(NotAuthenticated, match="revoked"):
        await plane.keys.authenticate(issued.token)


async def test_a_replaced_key_without_an_overlap_ends_at_once(plane: ControlPlane) -> None:
    old = await made(plane)
    await plane.keys.authenticate(old.token)
    await plane.keys.replace(old.key.key_id, overlap_seconds=0)
    with pytest.raises(NotAuthenticated, match="expired"):
        await plane.keys.authenticate(old.token)


class Revoking(Relay):
    """Revokes a key, by another process, just before the next commit."""

    def __init__(self, store: Store, key_id: str) -> None:
        super().__init__(store)
        self._other = ControlPlane(store)
        self._key_id: str | None = key_id

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        key_id, self._key_id = self._key_id, None
        if key_id is not None:
            await self._other.keys.revoke(key_id)
        return await super().commit(commits)


@pytest.mark.parametrize("lasts", [None, 60.0])
async def test_a_key_that_is_revoked_while_it_is_replaced_has_no_successor(
    plane: ControlPlane, lasts: float | None
) -> None:
    old = await made(plane, ttl_seconds=lasts)
    revoking = ControlPlane(Revoking(plane.store, old.key.key_id))
    with pytest.raises(NotAuthenticated, match="revoked"):
        await revoking.keys.replace(old.key.key_id)
    (left,) = (await plane.keys.list()).items
    assert (left.key_id, left.revoked_at is not None) == (old.key.key_id, True)


@pytest.mark.usefixtures("nothing_is_believed")
async def test_another_process_sees_a_revocation_at_its_next_look(plane: ControlPlane) -> None:
    other = ControlPlane(plane.store)
    issued = await made(plane)
    await other.keys.authenticate(issued.token)
    await plane.keys.revoke(issued.key.key_id)
    with pytest.raises(NotAuthenticated, match="revoked"):
        await other.keys.authenticate(issued.token)


@pytest.mark.usefixtures("nothing_is_believed")
async def test_a_key_ends_when_its_time_is_over(plane: ControlPlane, clock: VirtualClock) -> None:
    issued = await made(plane, ttl_seconds=60)
    await plane.keys.authenticate(issued.token)
    clock.advance(60)
    with pytest.raises(NotAuthenticated, match="expired"):
        await plane.keys.authenticate(issued.token)


@pytest.mark.usefixtures("nothing_is_believed")
async def test_a_use_is_written_down_once_a_minute(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    issued = await made(plane)
    for _ in range(3):
        await plane.keys.authenticate(issued.token)
        clock.advance(29)
    first = (await plane.keys.get(issued.key.key_id)).last_used_at
    assert first == issued.key.created_at
    clock.advance(1)
    await plane.keys.authenticate(issued.token)
    last = (await plane.keys.get(issued.key.key_id)).last_used_at
    assert last == first + timedelta(seconds=88)


async def test_both_keys_are_valid_while_one_replaces_the_other(
    plane: ControlPlane, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "BELIEVED_SECONDS", 0.0)
    old = await made(plane, scopes=["queue:claim"], pools=["linux"])
    new = await plane.keys.replace(old.key.key_id, overlap_seconds=600, actor="ann")
    assert (new.key.scopes, new.key.pools) == (old.key.scopes, old.key.pools)
    for issued in (old, new):
        await plane.keys.authenticate(issued.token)
    clock.advance(600)
    await plane.keys.authenticate(new.token)
    with pytest.raises(NotAuthenticated, match="expired"):
        await plane.keys.authenticate(old.token)
    with pytest.raises(NotAuthenticated, match="expired"):
        await plane.keys.replace(old.key.key_id)


@pytest.mark.parametrize("lasts", [None, 86_400.0])
async def test_a_key_that_is_replaced_again_has_a_successor_with_its_first_lifetime(
    plane: ControlPlane, clock: VirtualClock, lasts: float | None
) -> None:
    old = await made(plane, ttl_seconds=lasts)
    await plane.keys.replace(old.key.key_id, overlap_seconds=60)  # the answer is lost
    clock.advance(10)
    again = await plane.keys.replace(old.key.key_id, overlap_seconds=5)
    once_more = await plane.keys.replace(old.key.key_id, overlap_seconds=0)
    for new in (again.key, once_more.key):
        ends = None if lasts is None else new.created_at + timedelta(seconds=lasts)
        assert new.expires_at == ends
    shortened = await plane.keys.get(old.key.key_id)
    assert shortened.expires_at == old.key.created_at + timedelta(seconds=10)


@pytest.mark.usefixtures("nothing_is_believed")
async def test_a_use_that_was_recorded_in_the_future_is_replaced_by_the_next_use(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    issued = await made(plane)
    clock.step_calendar(30 * 365 * 86_400)
    await plane.keys.authenticate(issued.token)
    clock.step_calendar(-30 * 365 * 86_400)
    await plane.keys.authenticate(issued.token)
    assert (await plane.keys.get(issued.key.key_id)).last_used_at == issued.key.created_at


IN_A = frozenset({"a"})
ADMIN = Principal(name="admin", scopes=frozenset({Scope("keys:admin"), Scope("jobs:read")}))


@pytest.mark.parametrize(
    ("granted_by", "fields", "lacking"),
    [
        (Principal(name="p", scopes=frozenset({Scope("jobs:read")})), {}, "keys:admin"),
        (ADMIN, {"scopes": ["jobs:read", "agents:admin"]}, "agents:admin"),
        (
            Principal(name="p", scopes=ADMIN.scopes, pools=IN_A),
            {},
            "pools a",
        ),
        (Principal(name="p", scopes=ADMIN.scopes, agent_id="a1"), {}, "agent 'a1'"),
    ],
)
async def test_a_key_never_has_more_than_its_maker(
    plane: ControlPlane, granted_by: Principal, fields: dict[str, object], lacking: str
) -> None:
    spec = KeySpec(**{"name": "ci", "scopes": ["jobs:read"], **fields})  # type: ignore[arg-type] # mixed
    with pytest.raises(NotPermitted) as refused:
        await plane.keys.create(spec, granted_by=granted_by)
    assert refused.value.principal == granted_by.name
    assert lacking in refused.value.reason
    assert (await plane.keys.list()).items == ()


async def test_the_key_of_an_agent_claims_and_is_named_after_it(plane: ControlPlane) -> None:
    issued = await made(plane, scopes=(), agent_id="a-1")
    principal = await plane.keys.authenticate(issued.token)
    assert (principal.name, principal.agent_id) == ("a-1", "a-1")
    assert Scope.QUEUE_CLAIM in principal.scopes
    assert Scope.JOBS_READ not in principal.scopes


async def test_the_key_of_a_pool_claims_there_alone(plane: ControlPlane) -> None:
    issued = await made(plane, scopes=["queue:claim"], pools=["mac", "linux", "mac"])
    assert issued.key.pools == ("linux", "mac")
    principal = await plane.keys.authenticate(issued.token)
    assert principal.pools == frozenset({"linux", "mac"})


async def test_a_scope_of_a_newer_version_allows_nothing(plane: ControlPlane) -> None:
    key = (await made(plane)).key
    newer = evolve(key, scopes=("jobs:read", "jobs:steer"))
    principal = rules.check_use(newer, now=key.created_at)
    assert principal.scopes == {Scope.JOBS_READ}


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"scopes": []}, "scopes"),
        ({"scopes": "jobs:read"}, "scopes"),
        ({"scopes": 7}, "scopes"),
        ({"scopes": [["jobs:read"]]}, "scopes"),
        ({"pools": 7}, "pools"),
        ({"scopes": ["jobs:delete"]}, "scopes"),
        ({"name": ""}, "name"),
        ({"agent_id": "no name!"}, "agent_id"),
        ({"agent_id": "a-1", "scopes": ["queue:claim", "jobs:read"]}, "scopes"),
        ({"pools": ["linux"], "scopes": ["jobs:write"]}, "scopes"),
        ({"pools": ["linux"], "scopes": []}, "scopes"),
        ({"pools": ["no name!"]}, "pools"),
        ({"ttl_seconds": 0}, "ttl_seconds"),
    ],
)
async def test_a_wrong_field_is_named(
    plane: ControlPlane, fields: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        await made(plane, **fields)
    assert refused.value.field.startswith(field)


async def test_a_token_in_the_place_of_an_id_is_not_shown(plane: ControlPlane) -> None:
    issued = await made(plane)
    for call in (plane.keys.get, plane.keys.revoke, plane.keys.replace):
        with pytest.raises(InvalidInput) as refused:
            await call(issued.token)
        assert issued.token not in str(refused.value)
    with pytest.raises(NotFound):
        await plane.keys.get("0" * 16)


async def test_keys_are_listed_the_newest_first_and_dropped_a_month_after_their_end(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    names = ("first", "second")
    for name in names:
        await made(plane, name=name)
        clock.advance(1)
    page = await plane.keys.list()
    assert [key.name for key in page.items] == ["second", "first"]
    await plane.keys.revoke(page.items[1].key_id)
    clock.advance(29 * 86400)
    assert len((await plane.keys.list()).items) == 2
    clock.advance(2 * 86400)
    await plane.maintenance.sweep()
    assert [key.name for key in (await plane.keys.list()).items] == ["second"]
