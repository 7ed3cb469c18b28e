"""The server's clock is set, or is another server's: what has passed counts, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core.clock import boot_micros, monotonic_seconds, wall_micros
from cicd_core.store.records import Conflict, Delete, Guard
from cicd_core.testing.samples import (
    SECOND,
    apply,
    claim,
    commit,
    event_of,
    find,
    item,
    plain,
    whole_log,
    write,
)
from cicd_core_redis.server_clock import ServerClock
from tests.redis.stores import opened, set_clock

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from tests.redis.engines import Server

pytestmark = pytest.mark.anyio

YEAR = 365 * 86400
#: No machine is this slow between two lines (µs).
SOON = 60 * SECOND
#: In January 2027 (µs).
NOON = 1_800_000_000 * SECOND
STEPS = pytest.mark.parametrize("step", [-56 * YEAR, -5, 5, YEAR])


def meta(namespace: str) -> str:
    return f"cicd:{{{namespace}}}:meta"


@STEPS
async def test_a_store_that_knows_the_time_keeps_it_over_a_failover_that_lost_the_clock(
    server: Server, store: Store, namespace: str, step: int
) -> None:
    before = (await store.now()).micros
    server.ask("HDEL", meta(namespace), "offset", "noted")  # the replica had not heard of it
    set_clock(server, namespace, step)
    await write(store, plain("second"))
    assert before <= (await store.now()).micros < before + SOON
    noted = int(server.ask("HGET", meta(namespace), "noted"))
    assert before <= noted < before + SOON


@pytest.mark.parametrize("step", [-56 * YEAR, -5, 60, YEAR])
async def test_a_store_that_has_just_come_takes_no_lease_under_a_clock_that_was_set(
    server: Server, store: Store, namespace: str, step: int
) -> None:
    await write(store, item("a"))
    (record,) = await store.claim(claim())
    set_clock(server, namespace, step)
    async with opened(server.url, namespace=namespace) as fresh:
        take = Delete(
            collection="items", key="a", expected=record.version, guard=Guard.LEASE_EXPIRED
        )
        assert await apply(fresh, commit(plain("p"), take)) == Conflict((("items", "a"),))
        assert (await fresh.now()).micros < record.version + SOON


@STEPS
async def test_the_log_goes_on_in_order_where_the_clock_has_noted_less_than_the_log(
    server: Server, store: Store, namespace: str, step: int
) -> None:
    await write(store, item("a"), events=[event_of("a")])
    server.ask("HDEL", meta(namespace), "offset")
    server.ask("HINCRBY", meta(namespace), "noted", -2 * SECOND)
    set_clock(server, namespace, step)
    async with opened(server.url, namespace=namespace) as fresh:
        await write(fresh, item("b"), events=[event_of("b")])
        await write(store, item("c"), events=[event_of("c")])
        assert [each.key for each in await whole_log(fresh)] == ["a", "b", "c"]


@STEPS
async def test_what_ran_out_of_the_log_is_told_by_the_time_that_has_passed(
    server: Server, store: Store, namespace: str, step: int
) -> None:
    set_clock(server, namespace, step)
    await write(
        store, item("a", expires_at=(await store.now()).micros + SOON), events=[event_of("a")]
    )
    set_clock(server, namespace, -step)
    async with opened(server.url, namespace=namespace, log_retention=600.0) as fresh:
        for number in range(3):
            await write(fresh, item(f"b-{number}"), events=[event_of(f"b-{number}")])
        assert len(await whole_log(fresh)) == 4
        assert await find(fresh, "a") is not None


async def test_time_in_which_nobody_used_the_store_does_not_count(
    server: Server, store: Store, namespace: str
) -> None:
    await write(store, plain("second"))
    noted = int(server.ask("HGET", meta(namespace), "noted"))
    set_clock(server, namespace, 86400)  # as far as a server knows, a day has passed
    async with opened(server.url, namespace=namespace) as fresh:
        assert noted <= (await fresh.now()).micros < noted + SOON
        assert (await fresh.now()).calendar >= wall_micros() - SOON


async def test_a_read_notes_the_time_for_those_who_come(
    server: Server, store: Store, namespace: str
) -> None:
    server.ask("HSET", meta(namespace), "noted", 1)
    await find(store, "first")
    assert int(server.ask("HGET", meta(namespace), "noted")) > wall_micros() - SOON


async def test_the_calendar_is_the_servers_clock(store: Store) -> None:
    now = await store.now()
    assert abs(now.calendar - wall_micros()) < SOON


def test_a_clock_that_heard_nothing_knows_no_bounds_and_no_time() -> None:
    clock = ServerClock()
    assert clock.bounds() == (0, 0)
    assert clock.read() is None


def test_the_bounds_hold_the_servers_time_and_grow_with_this_machines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here, seconds = boot_micros(), 100.0
    monkeypatch.setattr("cicd_core_redis.server_clock.boot_micros", lambda: here)
    monkeypatch.setattr("cicd_core_redis.server_clock.monotonic_seconds", lambda: seconds)
    clock = ServerClock()
    clock.heard(NOON, NOON, sent=seconds - 0.5)
    assert clock.bounds() == (NOON, NOON + SECOND // 2)
    clock.heard(NOON, NOON, sent=seconds - 0.25)
    assert clock.bounds() == (NOON, NOON + SECOND // 4)
    here += 3600 * SECOND  # it slept for an hour: its monotonic clock did not move
    least, most = clock.bounds()
    assert least <= NOON + 3600 * SECOND <= most
    assert most - least < 2 * SECOND


def test_a_server_that_learnt_better_from_others_is_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cicd_core_redis.server_clock.monotonic_seconds", lambda: 100.0)
    clock = ServerClock()
    clock.heard(NOON, NOON, sent=100.0)
    clock.heard(NOON + 5 * SECOND, NOON + 7 * SECOND, sent=100.0)
    assert clock.bounds()[0] >= NOON + 5 * SECOND
    now = clock.read()
    assert now is not None
    assert (now.micros, now.calendar) == (NOON + 5 * SECOND, NOON + 7 * SECOND)


def test_the_time_never_goes_back_whatever_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cicd_core_redis.server_clock.monotonic_seconds", lambda: 100.0)
    clock = ServerClock()
    clock.heard(NOON, NOON, sent=100.0)
    first = clock.read()
    clock.heard(NOON - 60 * SECOND, NOON, sent=100.0)
    second = clock.read()
    assert first is not None
    assert second is not None
    assert second.micros == first.micros == NOON
    assert second.uncertainty >= 60 * SECOND


def test_a_server_whose_clock_was_never_set_has_no_calendar_of_its_own() -> None:
    clock = ServerClock()
    clock.heard(NOON, 5 * SECOND, sent=monotonic_seconds())
    now = clock.read()
    assert now is not None
    assert now.calendar == now.micros
