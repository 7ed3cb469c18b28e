"""Races at the end of a lease between reapers and the holder."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

import anyio
import pytest

from cicd_core.errors import StoreUnavailable
from cicd_core.store.records import Committed, Conflict, Guard, Renewal
from cicd_core.store.retrying import RetryingStore
from cicd_core.testing.conformance.crew import at_once, warm
from cicd_core.testing.conformance.suite import Suite
from cicd_core.testing.samples import (
    SECOND,
    apply,
    claim,
    commit,
    event_of,
    in_lane,
    item,
    keys_in,
    read,
    whole_log,
    write,
)

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.store.records import Commit, Record
    from cicd_core.testing.conformance.store_clock import StoreClock
    from cicd_core.testing.harness import StoreHarness

#: The ordinals of events, by their writer.
REAPER, HOLDER = 1, 2


class LeaseRacePromises(Suite):
    """Reapers, and a holder that is still alive."""

    @pytest.fixture
    async def lost(self, store: Store, clock: StoreClock, harness: StoreHarness) -> list[Record]:
        """Ten items, claimed by "holder", whose leases have expired."""
        await write(store, *(item(f"{number}") for number in range(10)))
        await harness.settle()
        records = await store.claim(claim(10, claim_id="holder", duration=clock.brief))
        for record in records:
            assert record.lease is not None
            await clock.outlast(record.lease)
        return sorted(records, key=lambda record: record.key)

    async def test_of_a_reaper_and_a_completion_exactly_one_wins(
        self, store: Store, harness: StoreHarness, crew: list[Store], lost: list[Record]
    ) -> None:
        winners: dict[str, int] = {}

        async def compete(mine: Store, key: str, name: int, one: Commit) -> None:
            answer = await apply(mine, one)
            if isinstance(answer, Committed):
                assert winners.setdefault(key, name) == name
            else:
                assert answer == Conflict((("items", key),))

        reapers = [partial(compete, crew[0], it.key, REAPER, requeue(it)) for it in lost]
        holders = [partial(compete, crew[1], it.key, HOLDER, finish(it)) for it in lost]
        await at_once(*reapers[:5], *holders, *reapers[5:])
        await harness.settle()
        assert {entry.key: entry.ordinal for entry in await whole_log(store)} == winners
        assert len(winners) == 10
        requeued = [key for key, name in winners.items() if name == REAPER]
        assert await keys_in(store, in_lane()) == sorted(requeued)
        for record in lost:
            after = await read(store, record.key)
            assert (after.version, after.lease) == (record.version + 1, None)

    async def test_renewals_of_the_same_leases_in_opposite_orders_all_succeed(
        self, store: Store, harness: StoreHarness, crew: list[Store]
    ) -> None:
        await write(store, *(item(f"{number:02}") for number in range(20)))
        await harness.settle()
        held = await store.claim(claim(20, claim_id="holder"))
        renewals = [
            Renewal(collection="items", key=record.key, claim_id="holder", duration=60 * SECOND)
            for record in held
        ]
        failed: list[StoreUnavailable] = []

        async def renew(mine: Store, turn: int) -> None:
            try:
                answers = await mine.renew(renewals[:: -1 if turn % 2 else 1])
            except StoreUnavailable as refused:
                failed.append(refused)
            else:
                assert None not in answers

        async with AsyncExitStack() as stack:  # called once each: retries would hide a refusal
            handles = [
                RetryingStore(await stack.enter_async_context(member.sibling())) for member in crew
            ]
            for each in handles:
                await warm(each)
            with anyio.fail_after(harness.patience):
                await at_once(*(partial(renew, one, turn) for turn, one in enumerate(handles * 4)))
        assert not failed, "renewals that wait for each other were refused"

    async def test_of_a_reaper_and_a_renewal_exactly_one_wins(
        self, store: Store, crew: list[Store], lost: list[Record]
    ) -> None:
        requeued: set[str] = set()
        renewed: set[str] = set()

        async def reaper(record: Record) -> None:
            if isinstance(await apply(crew[0], requeue(record)), Committed):
                requeued.add(record.key)

        async def holder(record: Record) -> None:
            if await crew[1].renew([renewal(record)]) != [None]:
                renewed.add(record.key)

        reapers = [partial(reaper, record) for record in lost]
        holders = [partial(holder, record) for record in lost]
        await at_once(*reapers[:5], *holders, *reapers[5:])
        assert not requeued & renewed
        assert requeued | renewed == {record.key for record in lost}
        for record in lost:
            after = await read(store, record.key)
            assert after.version == record.version + (record.key in requeued)
            assert (after.lease is None) == (record.key in requeued)

    async def test_of_many_reapers_exactly_one_takes_a_record_away(
        self, store: Store, harness: StoreHarness, crew: list[Store], lost: list[Record]
    ) -> None:
        answers: list[Committed | Conflict] = []

        async def reaper(mine: Store) -> None:
            answers.extend(await mine.commit([requeue(record) for record in lost]))

        await at_once(*(partial(reaper, mine) for mine in crew * 2))
        await harness.settle()
        applied = [answer.versions for answer in answers if isinstance(answer, Committed)]
        expected = [{("items", record.key): record.version + 1} for record in lost]
        assert sorted(applied, key=str) == expected
        assert len(await whole_log(store)) == len(lost)
        again = await store.claim(claim(20, claim_id="heir"))
        assert [record.version for record in sorted(again, key=lambda it: it.key)] == [
            record.version + 2 for record in lost
        ]

    async def test_no_reaper_takes_a_record_that_is_renewed_meanwhile(
        self, store: Store, harness: StoreHarness, crew: list[Store]
    ) -> None:
        await write(store, item("a"))
        await harness.settle()
        (held,) = await store.claim(claim(claim_id="holder"))

        async def holder() -> None:
            for _ in range(10):
                assert await crew[0].renew([renewal(held)]) != [None]

        async def reaper(mine: Store) -> None:
            for _ in range(10):
                assert isinstance(await apply(mine, requeue(held)), Conflict)

        await at_once(holder, *(partial(reaper, mine) for mine in crew[1:]))
        await write(store, item("a", expected=held.version, body=b"done"))


def requeue(record: Record) -> Commit:
    """Return a reaper's commit: back into the lane, if its lease has expired."""
    put = item(record.key, expected=record.version, lease=None, guard=Guard.LEASE_EXPIRED)
    return commit(put, events=[event_of(record.key, REAPER)])


def finish(record: Record) -> Commit:
    """Return a holder's commit at the end of its work."""
    put = item(record.key, expected=record.version, lane=None, lease=None, body=b"done")
    return commit(put, events=[event_of(record.key, HOLDER)])


def renewal(record: Record) -> Renewal:
    """Return a holder's renewal."""
    return Renewal(collection="items", key=record.key, claim_id="holder", duration=60 * SECOND)
