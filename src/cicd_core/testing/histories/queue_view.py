"""A store's history from the view of the queue in one of its indexes.

A record's stay in the queue begins with the write that puts it into a partition, and ends with any
next write of that record. So the record's key and version name a stay uniquely, and a claim that
answers a version has ended the stay of the version before.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, TypeAlias

from cicd_core.store.records import Claim, Commit, Committed, Index, Put, Record
from cicd_core.testing.histories.queue_model import Enqueue, QueuedJob, Take, Withdraw
from cicd_core.testing.recording.operation import UNKNOWN, Operation
from cicd_core.testing.recording.store_calls import Get
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cicd_core.store.records import Delete
    from cicd_core.testing.histories.queue_model import QueueArgument, QueueOperation
    from cicd_core.testing.recording.store_calls import History, StoreOperation

#: A collection, and the index that claims take from.
Queue: TypeAlias = tuple[str, Index]
_Calls: TypeAlias = "Sequence[StoreOperation]"


@frozen
class QueueView:
    """The history of a queue."""

    operations: tuple[QueueOperation, ...]
    #: The final content of the queue; None: not every record was read at the end.
    remaining: frozenset[str] | None


def stay(key: str, version: int) -> str:
    """Return the name of a record's stay in the queue."""
    return f"{key}@{version}"


def queues_of(history: History) -> set[Queue]:
    """Return the queues that were claimed from."""
    claims = (operation.argument for operation in history.operations)
    return {(claim.collection, claim.index) for claim in claims if isinstance(claim, Claim)}


def queue_of(history: History, queue: Queue, *, priority_width: int = 1) -> QueueView:
    """Return the history of one queue.

    Args:
        history: the operations of all clients.
        queue: the collection and the index.
        priority_width: number of characters of a sort value that are the priority.
    """
    view = _View(queue, priority_width)
    commits: dict[str, list[StoreOperation]] = defaultdict(list)
    claims: dict[str, list[StoreOperation]] = defaultdict(list)
    for operation in history.operations:
        match operation.argument:
            case Commit(commit_id=commit_id):
                commits[commit_id].append(operation)
            case Claim(claim_id=claim_id) as claim if (claim.collection, claim.index) == queue:
                claims[claim_id].append(operation)
            case _:
                pass
    view.see(history)
    for calls in commits.values():
        view.add_commit(calls)
    for calls in claims.values():
        view.add_claim(calls)
    return view.result(_read_at_the_end(history, queue[0]))


class _View:
    def __init__(self, queue: Queue, priority_width: int) -> None:
        self._collection, self._index = queue
        self._priority_width = priority_width
        self._operations: list[QueueOperation] = []
        self._withdrawn: list[tuple[str, StoreOperation, int]] = []
        #: The key of each stay.
        self._keys: dict[str, str] = {}
        #: The versions that a commit gave to a record, as far as answers show them.
        self._shown: dict[tuple[str, str], set[int]] = defaultdict(set)
        #: Observed records of claims without an answer, by claim id.
        self._held: dict[str, dict[str, StoreOperation]] = defaultdict(dict)

    def see(self, history: History) -> None:
        """Record from answers the effects of operations without an answer."""
        for operation in history.operations:
            collection, records = _records(operation)
            if collection != self._collection:
                continue
            for record in records:
                given = record.version if record.grant is None else record.version - 1
                self._shown[record.key, record.commit_id].add(given)
                if record.grant is not None and record.lease is not None:
                    held = self._held[record.lease.claim_id]
                    name = stay(record.key, record.version - 1)
                    held[name] = min(held.get(name, operation), operation, key=_ends)

    def add_commit(self, calls: _Calls) -> None:
        """Add the effect of a commit, from any of its calls."""
        commit: Any = calls[0].argument
        invoked = min(call.invoked for call in calls)
        known: set[tuple[str, int]] = set()
        for versions, applied in by_versions(calls):
            last = min(applied, key=_ends)
            for write in self._mine(commit):
                self._withdraw(write, last, invoked)
                version = versions.get((write.collection, write.key))
                if isinstance(write, Put) and version is not None:
                    known.add((write.key, version))
                    self._enqueue(write.key, version, write.attributes, last, invoked)
        for call in calls:
            if call.result is UNKNOWN:
                self._add_unknown_commit(commit, call, known)

    def add_claim(self, calls: _Calls) -> None:
        """Add the records of a claim, from any of its calls."""
        claim: Any = calls[0].argument
        first = min(call.invoked for call in calls)
        if len(calls) == 1 and calls[0].is_known:
            taken = tuple(stay(item.key, item.version - 1) for item in _records(calls[0])[1])
            self._put(calls[0], Take(claim.partitions, claim.limit), taken)
        else:
            for name, call in self._held[claim.claim_id].items():
                take = Take(claim.partitions)
                self._put(call, take, (name,), invoked=first, returned=call.ends)
            for call in calls:
                if call.result is UNKNOWN:
                    self._put(call, Take(claim.partitions, claim.limit), UNKNOWN)
        for call in calls:
            for record in _records(call)[1]:
                if record.grant is not None:  # a patch may have left it in the queue
                    where = record.attributes
                    self._enqueue(record.key, record.version, where, call, first)

    def result(self, last: Mapping[str, Record | None]) -> QueueView:
        """Return the whole history."""
        for name, call, invoked in self._withdrawn:
            if name in self._keys:
                self._put(call, Withdraw(name), None, invoked=invoked, returned=call.returned)
        remaining = None
        if last.keys() >= set(self._keys.values()):
            there = (record for record in last.values() if record is not None)
            remaining = frozenset(
                stay(record.key, record.version)
                for record in there
                if self._index.partition in record.attributes
            )
        self._operations.sort(key=lambda item: (item.invoked, item.ends))
        return QueueView(tuple(self._operations), remaining)

    def _mine(self, commit: Commit) -> Iterator[Put | Delete]:
        return (write for write in commit.writes if write.collection == self._collection)

    def _add_unknown_commit(
        self, commit: Commit, call: StoreOperation, known: set[tuple[str, int]]
    ) -> None:
        """Add the possible effects of a call without an answer, besides those in answers."""
        for write in self._mine(commit):
            if not known:
                self._withdraw(write, call, call.invoked)
            if isinstance(write, Put):
                # A record that was never observed need not be added.
                for version in sorted(self._shown[write.key, commit.commit_id]):
                    if (write.key, version) not in known:
                        self._enqueue(write.key, version, write.attributes, call, call.invoked)

    def _withdraw(self, write: Put | Delete, call: StoreOperation, invoked: int) -> None:
        if write.expected:
            self._withdrawn.append((stay(write.key, write.expected), call, invoked))

    def _enqueue(
        self,
        key: str,
        version: int,
        attributes: Mapping[str, str],
        call: StoreOperation,
        invoked: int,
    ) -> None:
        lane, rank = (attributes.get(name) for name in (self._index.partition, self._index.sort))
        job = None
        if lane is not None and rank is not None:
            job = QueuedJob(stay(key, version), lane, rank, rank[: self._priority_width])
        if job is not None and job.name not in self._keys:
            self._keys[job.name] = key
            self._put(call, Enqueue(job), None, invoked=invoked, returned=call.returned)

    def _put(
        self,
        call: StoreOperation,
        argument: QueueArgument,
        result: Any,
        *,
        invoked: int | None = None,
        returned: int | None = None,
    ) -> None:
        within = (call.invoked, call.returned) if invoked is None else (invoked, returned)
        seen: QueueOperation = Operation(
            client=call.client,
            number=call.number,
            argument=argument,
            result=UNKNOWN if within[1] is None else result,
            invoked=within[0],
            returned=within[1],
        )
        self._operations.append(seen)


def by_versions(
    calls: _Calls,
) -> list[tuple[Mapping[tuple[str, str], int], list[StoreOperation]]]:
    """Return the calls of one commit with the same answer, for each time that it was applied.

    Usually that is once. A commit that only creates records is applied again if a call comes after
    the deletion of its records: then nothing is left of the first time.
    """
    applied: dict[tuple[Any, ...], tuple[Mapping[tuple[str, str], int], list[StoreOperation]]] = {}
    for call in calls:
        if isinstance(call.result, Committed):
            versions = call.result.versions
            applied.setdefault(tuple(sorted(versions.items())), (versions, []))[1].append(call)
    return list(applied.values())


def _ends(operation: StoreOperation) -> int:
    return operation.ends


def _records(operation: StoreOperation) -> tuple[str, Iterable[Record]]:
    """Return the records that an answer showed, and their collection."""
    argument, result = operation.argument, operation.result
    if isinstance(argument, Get) and isinstance(result, Record):
        return argument.collection, (result,)
    if isinstance(argument, Claim) and isinstance(result, tuple):
        return argument.collection, result
    return "", ()


def _read_at_the_end(history: History, collection: str) -> Mapping[str, Record | None]:
    """Return the reads after all other operations."""
    writes = (item for item in history.operations if not isinstance(item.argument, Get))
    last = max((write.returned for write in writes if write.returned is not None), default=0)
    found: dict[str, Record | None] = {}
    for operation in history.operations:
        argument: Any = operation.argument
        if (
            isinstance(argument, Get)
            and argument.collection == collection
            and operation.invoked > last
        ):
            found[argument.key] = operation.result if isinstance(operation.result, Record) else None
    return found
