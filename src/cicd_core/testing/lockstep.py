"""Two stores in lockstep: each call goes to both, and both must give the same answer.

The first is the store under test, the second is the memory store, which is right by definition.
Values that may differ are removed before the comparison: the first version of a record, the
attribute that follows a lease and, if a test cannot move the store's clock, instants.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from anyio import create_task_group

from cicd_core.store.memory import MemoryBackend
from cicd_core.store.records import Committed, Partition, Put, Query, Record, Subject
from cicd_core.testing.harness import Capability
from cicd_core.testing.samples import COLLECTIONS, pages_of_log
from cicd_core.values import evolve

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cicd_core.clock import Clock
    from cicd_core.store.contract import Store
    from cicd_core.store.records import (
        Claim,
        Collection,
        Commit,
        Conflict,
        Delete,
        EventWrite,
        Lease,
        RecordPage,
        Renewal,
        Watch,
    )
    from cicd_core.testing.harness import StoreHarness

#: The version, ordinal and body of each event, by subject.
_Log = dict[Subject, list[tuple[int, int, bytes]]]

_LEASE_SORTS = {item.name: item.lease_sort for item in COLLECTIONS}


class Model(MemoryBackend):
    """The memory store as the model of a store whose clock may be off.

    It takes a lease away as late as that store does: with a common clock, both must agree on it to
    the microsecond.
    """

    def __init__(
        self, collections: Iterable[Collection], *, clock: Clock, uncertainty: int = 0
    ) -> None:
        """Start empty; ``uncertainty`` is in microseconds, as in the store's ``now``."""
        super().__init__(collections, clock=clock)
        self._uncertainty = uncertainty


class Lockstep:
    """Calls both stores, with the memory store's values, and compares their answers."""

    def __init__(
        self, harness: StoreHarness, store: Store, model: Store, subjects: Iterable[Subject]
    ) -> None:
        """Compare these records and their partitions after each step."""
        self._harness = harness
        self._store = store
        self._model = model
        self._keys: dict[str, list[str]] = defaultdict(list)
        for collection, key in subjects:
            self._keys[collection].append(key)
        #: The first version of each record, in the store and in the model.
        self._began: dict[Subject, tuple[int, int]] = {}
        #: The answer of each applied commit, in the store and in the model.
        self._applied: dict[str, tuple[Committed, Committed]] = {}
        #: The versions of each event, in the store: several, if its commit was applied
        #: again after its records were gone.
        self._logged: dict[bytes, list[int]] = defaultdict(list)

    async def now(self) -> int:
        """Return the time; both stores must agree on it if a test can move it."""
        model = await self._model.now()
        if self._harness.clock is not None:
            store = await self._store.now()
            # The store gives its own uncertainty; the model uses it.
            agree(
                "now",
                "a clock that was moved",
                (store.micros, store.calendar),
                (model.micros, model.calendar),
            )
        return model.micros

    async def version(self, subject: Subject) -> int:
        """Return the model's version of a record; 0: there is none."""
        collection, key = subject
        record = (await self._model.get(collection, [key])).get(key)
        return 0 if record is None else record.version

    async def held(self) -> list[tuple[Subject, Lease]]:
        """Return the records that have a lease in the model, and that lease."""
        found: list[tuple[Subject, Lease]] = []
        for collection, keys in self._keys.items():
            records = (await self._model.get(collection, keys)).values()
            found += [
                ((collection, record.key), record.lease)
                for record in records
                if record.lease is not None
            ]
        return found

    async def commit(self, commits: Sequence[Commit]) -> None:
        """Apply commits to both."""
        in_store = [self._in_store(commit) for commit in commits]
        answers = await self._store.commit(in_store)
        expected = await self._model.commit(commits)
        agree("commit", f"{len(commits)} commits, an answer each", len(answers), len(expected))
        for commit, answer, right in zip(in_store, answers, expected, strict=True):
            self._compare_answers(commit, answer, right)

    async def claim(self, claim: Claim) -> None:
        """Claim from both; if order is not strict, claim all records."""
        strict = Capability.STRICT_ORDER in self._harness.capabilities
        if claim.limit and not strict:
            claim = evolve(claim, limit=1000)
        await self._harness.settle()
        in_store = await self._store.claim(claim)
        in_model = await self._model.claim(claim)
        answers = [self._plain(record, 0, claim.collection) for record in in_store]
        expected = [self._plain(record, 1, claim.collection) for record in in_model]
        if not strict:
            answers.sort(key=str)
            expected.sort(key=str)
        agree("claim", claim, answers, expected)

    async def renew(self, renewals: Sequence[Renewal]) -> None:
        """Renew leases in both."""
        answers = await self._store.renew(renewals)
        expected = await self._model.renew(renewals)
        agree("renew", f"{len(renewals)} renewals, an answer each", len(answers), len(expected))
        for renewal, answer, right in zip(renewals, answers, expected, strict=True):
            if answer is None or right is None:
                agree("renew", renewal, answer, right)
                continue
            began = self._began[renewal.collection, renewal.key]
            agree(
                "renew",
                f"{renewal}, and to leave the version unchanged",
                answer.version - began[0],
                right.version - began[1],
            )
            if self._harness.clock is not None:
                ends = (answer.expires, answer.limit), (right.expires, right.limit)
                agree("renew", f"{renewal}, and its expiry and limit", *ends)

    async def page(self, query: Query) -> None:
        """Read a page of both."""
        await self._harness.settle()
        await self._compare_pages(query, await self._store.page(query))

    async def _compare_pages(self, query: Query, answer: RecordPage) -> None:
        right = await self._model.page(query)
        collection = query.partition.collection
        pages = (
            [self._plain(record, 0, collection) for record in answer.records],
            [self._plain(record, 1, collection) for record in right.records],
        )
        agree("page", query, *pages)
        # ``more`` means that there *may* be more.
        agree("page", f"{query}, and whether there is more", answer.more or right.more, answer.more)

    async def wait(self, watches: Sequence[Watch]) -> None:
        """Look for work in both."""
        await self._harness.settle()
        answer = await self._store.wait(watches, 0)
        agree("wait", watches, answer, await self._model.wait(watches, 0))

    async def compare(self) -> None:
        """Compare all data of both."""
        await self._harness.settle()
        partitions = await self._compare_records()
        await self._compare_indexes(partitions)
        await self._compare_log()

    async def _compare_records(self) -> set[Partition]:
        """Compare all records, and return their partitions."""
        partitions: set[Partition] = set()
        for collection in COLLECTIONS:
            keys = self._keys[collection.name]
            answer = await self._store.get(collection.name, keys)
            right = await self._model.get(collection.name, keys)
            for key in keys:
                record, expected = answer.get(key), right.get(key)
                agree(
                    "get",
                    f"{collection.name}/{key}",
                    record and self._plain(record, 0, collection.name),
                    expected and self._plain(expected, 1, collection.name),
                )
            partitions |= {
                Partition(collection.name, index, record.attributes[index.partition])
                for record in right.values()
                for index in collection.indexes
                if index.partition in record.attributes
            }
        return partitions

    async def _compare_indexes(self, partitions: set[Partition]) -> None:
        for query, answer in await self._pages(partitions):
            partition = query.partition
            if partition.index.sort != _LEASE_SORTS[partition.collection]:
                await self._compare_pages(query, answer)
            else:  # this order may follow renewals, but need not
                right = await self._model.page(query)
                agree("page", f"{partition}, in any order", _keys(answer), _keys(right))
        if Capability.EXACT_COUNTS in self._harness.capabilities:
            ordered = sorted(partitions, key=str)
            counts = await self._store.count(ordered), await self._model.count(ordered)
            agree("count", ordered, *counts)

    async def _pages(self, partitions: set[Partition]) -> list[tuple[Query, RecordPage]]:
        """Return pages of some partitions, read concurrently: a server may be far away."""
        pages: list[tuple[Query, RecordPage]] = []

        async def ask(query: Query) -> None:
            pages.append((query, await self._store.page(query)))

        async with create_task_group() as tasks:
            for partition in partitions:
                tasks.start_soon(ask, Query(partition=partition, limit=1000))
                if partition.index.sort != _LEASE_SORTS[partition.collection]:
                    back = Query(partition=partition, limit=2, descending=True)
                    within = Query(partition=partition, limit=1000, after="1:b", before="3:b")
                    tasks.start_soon(ask, back)
                    tasks.start_soon(ask, within)
        return pages

    async def _compare_log(self) -> None:
        answer = await _log_by_subject(self._store)
        right = await _log_by_subject(self._model)
        events = _without_versions(answer), _without_versions(right)
        agree("read_log", "the whole log", *events)
        logged: dict[bytes, list[int]] = defaultdict(list)
        for entries in answer.values():
            for version, _, body in entries:
                logged[body].append(version)
        agree("read_log", "the versions of each event", dict(logged), dict(self._logged))
        counters = await self._store.counters("")
        totals = {name: total for name, total in counters.values.items() if total}
        expected = (await self._model.counters("")).values
        sums = {name: total for name, total in expected.items() if total}
        agree("counters", "all counters", totals, sums)

    def _in_store(self, commit: Commit) -> Commit:
        """Return a commit of the model with the versions of the store."""
        return evolve(
            commit,
            writes=tuple(self._write_in_store(write) for write in commit.writes),
            events=tuple(self._event_in_store(event) for event in commit.events),
        )

    def _write_in_store(self, write: Put | Delete) -> Put | Delete:
        return evolve(write, expected=self._to_store((write.collection, write.key), write.expected))

    def _event_in_store(self, event: EventWrite) -> EventWrite:
        if event.version is None:
            return event
        return evolve(event, version=self._to_store((event.collection, event.key), event.version))

    def _to_store(self, subject: Subject, version: int) -> int:
        if not version or subject not in self._began:
            return version
        in_store, in_model = self._began[subject]
        return max(1, version - in_model + in_store)

    def _compare_answers(
        self, commit: Commit, answer: Committed | Conflict, right: Committed | Conflict
    ) -> None:
        if not isinstance(right, Committed) or not isinstance(answer, Committed):
            agree("commit", commit, _conflicts(answer), _conflicts(right))
            return
        before = self._applied.get(commit.commit_id)
        if before is not None and before[1] == right:
            agree("commit", f"a repetition: {commit}", answer, before[0])
            return
        self._applied[commit.commit_id] = (answer, right)
        agree("commit", commit, answer.versions.keys(), right.versions.keys())
        for write in commit.writes:
            subject = (write.collection, write.key)
            if isinstance(write, Put):
                if not write.expected:
                    self._began[subject] = (answer.versions[subject], right.versions[subject])
                in_store, in_model = self._began[subject]
                given = answer.versions[subject] - in_store, right.versions[subject] - in_model
                agree("commit", f"{commit}, and its versions since the first", *given)
        for event in commit.events:
            subject = (event.collection, event.key)
            self._logged[event.body].append(event.version or answer.versions[subject])

    def _plain(self, record: Record, side: int, collection: str) -> tuple[Any, ...]:
        """Return the part of a record that must agree; ``side`` is 0: the store, 1: the model."""
        subject = (collection, record.key)
        assert subject in self._began, f"{subject} exists, but no applied commit has created it"
        began = self._began[subject][side]
        lease_sort = _LEASE_SORTS[collection]
        attributes = {name: text for name, text in record.attributes.items() if name != lease_sort}
        lease: object = record.lease
        if record.lease is not None and self._harness.clock is None:
            lease = record.lease.claim_id
        return (
            record.key,
            record.version - began,
            record.commit_id,
            record.body,
            attributes,
            record.grant,
            lease,
            record.lease_limit,
            record.expires_at,
        )


def agree(verb: str, asked: object, answer: object, right: object) -> None:
    """Check that the store under test gives the memory store's answer.

    Raises:
        AssertionError: it does not. The message has the verb, the request and both answers.
    """
    if answer != right:
        raise AssertionError(
            f"{verb} answers differently from the memory store\n"
            f"asked:    {asked}\nanswered: {answer}\nexpected: {right}"
        )


def _conflicts(answer: Committed | Conflict) -> object:
    """Return the part of an answer that must agree if one of the stores refused the commit."""
    return "applied" if isinstance(answer, Committed) else ("a conflict on", set(answer.keys))


def _keys(page: RecordPage) -> set[str]:
    return {record.key for record in page.records}


def _without_versions(subjects: _Log) -> dict[Subject, list[tuple[int, bytes]]]:
    return {
        subject: [(ordinal, body) for _, ordinal, body in entries]
        for subject, entries in subjects.items()
    }


async def _log_by_subject(store: Store) -> _Log:
    subjects: _Log = defaultdict(list)
    async for page in pages_of_log(store):
        for entry in page.entries:
            logged = (entry.version, entry.ordinal, entry.body)
            subjects[entry.collection, entry.key].append(logged)
    return subjects
