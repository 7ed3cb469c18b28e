"""Concurrent claims: each record goes to one claim (I2)."""

from __future__ import annotations

from functools import partial
from itertools import cycle, islice
from typing import TYPE_CHECKING

import anyio

from cicd_core.store.records import Committed, Conflict, Renewal
from cicd_core.testing.conformance.crew import at_once
from cicd_core.testing.conformance.suite import Suite
from cicd_core.testing.samples import (
    NOTES,
    ON_SHELF,
    SECOND,
    apply,
    claim,
    commit,
    event_of,
    in_lane,
    item,
    keys_in,
    note,
    read,
    whole_log,
    write,
)
from cicd_core.values import evolve

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.store.records import Claim, Commit, Record
    from cicd_core.testing.harness import StoreHarness

#: Number of concurrent claims.
CLAIMERS = 32


class ClaimRacePromises(Suite):
    """No (key, version) is ever granted to two claim ids."""

    async def test_of_32_claimers_of_one_record_exactly_one_gets_it(
        self, store: Store, harness: StoreHarness, crew: list[Store]
    ) -> None:
        version = (await write(store, item("a")))["a"]
        await harness.settle()
        answers: list[list[Record]] = []

        async def claimer(mine: Store) -> None:
            answers.append(await mine.claim(claim()))

        await at_once(*(partial(claimer, mine) for mine in islice(cycle(crew), CLAIMERS)))
        ((held,),) = [answer for answer in answers if answer]
        assert held.version == version + 1
        assert held == await read(store, "a")

    async def test_32_claimers_share_nothing_and_leave_nothing(
        self, store: Store, harness: StoreHarness, crew: list[Store]
    ) -> None:
        everything = await fill(store, harness, 100)
        granted: list[str] = []
        claimers = islice(cycle(crew), CLAIMERS)
        await at_once(*(partial(claim_all, mine, granted) for mine in claimers))
        await harness.settle()
        await claim_all(store, granted)  # the remaining records, since claims may lag
        assert sorted(granted) == everything

    async def test_claimers_in_threads_of_their_own_share_nothing(
        self, store: Store, harness: StoreHarness, anyio_backend_name: str
    ) -> None:
        everything = await fill(store, harness, 40)
        granted: list[str] = []

        async def there() -> None:
            async with store.sibling() as sibling:
                await claim_all(sibling, granted)

        def thread() -> None:
            anyio.run(there, backend=anyio_backend_name)

        await at_once(*[partial(anyio.to_thread.run_sync, thread)] * 4)
        await harness.settle()
        await claim_all(store, granted)
        assert sorted(granted) == everything

    async def test_claimers_share_nothing_while_records_are_given_back(
        self, store: Store, harness: StoreHarness, crew: list[Store]
    ) -> None:
        await fill(store, harness, 20)
        granted: list[tuple[str, int]] = []

        async def worker(mine: Store) -> None:
            for _ in range(5):
                records = await mine.claim(claim(2))
                granted.extend((record.key, record.version) for record in records)
                for record in records:
                    await write(mine, item(record.key, expected=record.version, lease=None))
                await harness.settle()

        await at_once(*(partial(worker, mine) for mine in crew * 4))
        assert len(granted) == len(set(granted))
        assert len(granted) > 20

    async def test_a_claim_that_is_made_several_times_at_once_is_one_claim(
        self, store: Store, harness: StoreHarness, crew: list[Store]
    ) -> None:
        await fill(store, harness, 20)
        mine = claim(3)
        granted: list[tuple[str, int]] = []

        async def claimer(each: Store) -> None:
            granted.extend((record.key, record.version) for record in await each.claim(mine))

        await at_once(*(partial(claimer, member) for member in crew * 2))
        again = await store.claim(mine)
        assert {(record.key, record.version) for record in again} == set(granted)
        taken = sorted(record.key for record in again)
        assert len(taken) == 3, f"calls with one claim id take its limit once, and took {taken}"

    async def test_claims_with_one_id_in_two_collections_at_once_are_two_claims(
        self, store: Store, harness: StoreHarness
    ) -> None:
        await write(store, item("a"), note("n"))
        await harness.settle()
        of_items = claim(claim_id="c")
        of_notes = evolve(
            claim(claim_id="c", lanes=["top"], patch={"shelf": None}),
            collection=NOTES.name,
            index=ON_SHELF,
        )
        taken: dict[str, list[Record]] = {}

        async def claimer(one: Claim) -> None:
            taken[one.collection] = await store.claim(one)

        await at_once(*(partial(claimer, one) for one in (of_items, of_notes)))
        keys = {name: [record.key for record in some] for name, some in taken.items()}
        assert keys == {"items": ["a"], NOTES.name: ["n"]}


class CancelRacePromises(Suite):
    """A claim and a commit on the same version, such as a cancel: exactly one wins."""

    async def test_of_a_claim_and_a_cancel_exactly_one_wins_a_version(
        self, store: Store, harness: StoreHarness, crew: list[Store]
    ) -> None:
        at = await write(store, *(item(f"{number:02}") for number in range(16)))
        await harness.settle()
        held: dict[str, Record] = {}
        cancelled: dict[str, int] = {}

        async def claimer(mine: Store) -> None:
            while records := await mine.claim(claim(2)):
                held.update((record.key, record) for record in records)

        async def canceller(mine: Store, key: str) -> None:
            answer = await apply(mine, cancel(key, at[key]))
            if isinstance(answer, Conflict):  # it was claimed, and its holder must notice
                claimed = await read(mine, key)
                assert claimed.version == at[key] + 1
                assert claimed.lease is not None
                answer = await apply(mine, cancel(key, claimed.version))
            assert isinstance(answer, Committed)
            cancelled[key] = answer.versions["items", key]

        claims = [partial(claimer, mine) for mine in crew]
        cancels = [
            partial(canceller, mine, key) for mine, key in zip(cycle(crew), at, strict=False)
        ]
        await at_once(*cancels[:8], *claims, *cancels[8:])  # so that either may be first
        assert cancelled == {key: version + 1 + (key in held) for key, version in at.items()}
        await harness.settle()
        told_of = {entry.key: entry.version for entry in await whole_log(store)}
        assert told_of == cancelled
        assert await keys_in(store, in_lane()) == []
        for record in held.values():
            await learn_of_the_cancel(store, record)


async def fill(store: Store, harness: StoreHarness, number: int) -> list[str]:
    """Put a number of items into a lane, and return their keys in order."""
    keys = [f"{one:03}" for one in range(number)]
    await store.commit([commit(*map(item, keys[at : at + 20])) for at in range(0, number, 20)])
    await harness.settle()
    return keys


async def claim_all(store: Store, granted: list[str]) -> None:
    """Claim until no record is left; add the granted keys."""
    while records := await store.claim(claim(3)):
        granted.extend(record.key for record in records)


def cancel(key: str, expected: int) -> Commit:
    """Return a commit that takes an item out of its lane, even if it is held."""
    return commit(item(key, expected=expected, lane=None), events=[event_of(key)])


async def learn_of_the_cancel(store: Store, held: Record) -> None:
    """Check that the holder of a record notices another write to it."""
    assert held.lease is not None
    renewal = Renewal(
        collection="items", key=held.key, claim_id=held.lease.claim_id, duration=60 * SECOND
    )
    (renewed,) = await store.renew([renewal])
    assert renewed is not None
    assert renewed.version == held.version + 1
    late = commit(item(held.key, expected=held.version, body=b"done"))
    assert isinstance(await apply(store, late), Conflict)
