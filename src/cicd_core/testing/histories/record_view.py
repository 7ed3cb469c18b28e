"""The history of each record of a store.

A history is linearizable for each record if each record's own history is. So the checkers look at
one record at a time (Herlihy and Wing's locality, Porcupine's P-compositionality).
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from cicd_core.store.records import Claim, Commit, Committed, Conflict, Put, Record, Renewal
from cicd_core.testing.histories.model import Content, Erase, Refusal, Sight, Write
from cicd_core.testing.recording.operation import FOREVER, UNKNOWN, Operation
from cicd_core.testing.recording.store_calls import Get

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cicd_core.store.records import Collection, Subject
    from cicd_core.testing.histories.model import RecordArgument, RecordOperation
    from cicd_core.testing.recording.store_calls import History, StoreOperation


def by_record(
    history: History, collections: Iterable[Collection]
) -> Mapping[Subject, list[RecordOperation]]:
    """Return the history of each record, in the order of the calls.

    Args:
        history: the operations of all clients.
        collections: the collections of the store; the attribute that follows a lease is omitted,
            since it may lag.
    """
    view = _View(collections)
    for operation in history.operations:
        view.add(operation)
    view.add_everywhere()
    for operations in view.subjects.values():
        operations.sort(key=lambda item: (item.invoked, item.ends))
    return view.subjects


class _View:
    def __init__(self, collections: Iterable[Collection]) -> None:
        self.subjects: dict[Subject, list[RecordOperation]] = defaultdict(list)
        self._lease_sorts = {collection.name: collection.lease_sort for collection in collections}
        #: The calls of each commit that deletes something, by its id.
        self._deleting: dict[str, list[StoreOperation]] = defaultdict(list)
        #: The calls of each claim, by the collection and its id.
        self._claims: dict[tuple[str, str], list[StoreOperation]] = defaultdict(list)

    def add(self, operation: StoreOperation) -> None:
        match operation.argument:
            case Get() as get:
                sight: Any = operation.result
                if isinstance(sight, Record):
                    sight = self._sight(get.collection, sight)
                self._put(get.collection, get.key, operation, get, sight)
            case Commit() as commit:
                self._add_commit(commit, operation)
            case Claim() as claim:
                self._claims[claim.collection, claim.claim_id].append(operation)
            case Renewal() as renewal:
                subject = (renewal.collection, renewal.key)
                self._put(*subject, operation, renewal, operation.result)

    def add_everywhere(self) -> None:
        """Add operations on records that were unknown while the history was read."""
        for calls in self._deleting.values():
            self._add_deletes(calls)
        for (collection, _), calls in self._claims.items():
            self._add_claims(collection, calls)

    def _add_commit(self, commit: Commit, operation: StoreOperation) -> None:
        puts = [write for write in commit.writes if isinstance(write, Put)]
        if len(puts) < len(commit.writes):
            self._deleting[commit.commit_id].append(operation)
        for put in puts:
            subject = (put.collection, put.key)
            write = Write(
                commit_id=commit.commit_id,
                expected=put.expected,
                content=self._content(put.collection, put, commit.commit_id, None),
                lease=put.lease,
                guard=put.guard,
                alone=len(puts) == 1,
            )
            result: Any = operation.result
            if isinstance(result, Committed):
                result = result.versions.get(subject)  # a missing version, None, is never right
            elif isinstance(result, Conflict):
                result = _refusal(result, subject)
            self._put(*subject, operation, write, result)

    def _add_deletes(self, calls: list[StoreOperation]) -> None:
        """Add the deletes of one commit: all of its effects are in one of its calls."""
        commit: Any = calls[0].argument
        applied = [call for call in calls if isinstance(call.result, Committed)]
        unknown = [call for call in calls if call.result is UNKNOWN]
        first = min(call.invoked for call in calls)
        for delete in commit.writes:
            if isinstance(delete, Put):
                continue
            erase = Erase(expected=delete.expected, guard=delete.guard)
            subject = (delete.collection, delete.key)
            if applied:
                last = min(call.ends for call in applied)
                self._put(*subject, applied[0], erase, 0, within=(first, last))
            elif unknown:
                self._put(*subject, unknown[0], erase, UNKNOWN, within=(first, FOREVER))
            for call in calls:
                if isinstance(call.result, Conflict):
                    self._put(*subject, call, erase, _refusal(call.result, subject))

    def _add_claims(self, collection: str, calls: list[StoreOperation]) -> None:
        """Add the calls of one claim, each to the records that it may concern."""
        shown = [self._shown(collection, call) for call in calls]
        keys = {key for sights in shown if sights is not None for key in sights}
        for call, sights in zip(calls, shown, strict=True):
            claim: Any = call.argument
            if sights is None:  # it may have taken any of them
                for subject in list(self.subjects):
                    if subject[0] == collection:
                        self._put(*subject, call, claim, UNKNOWN)
            else:  # it must have shown all records that it held
                for key in keys:
                    self._put(collection, key, call, claim, sights.get(key))

    def _shown(self, collection: str, call: StoreOperation) -> dict[str, Sight] | None:
        if not isinstance(call.result, tuple):
            return None
        return {record.key: self._sight(collection, record) for record in call.result}

    def _put(
        self,
        collection: str,
        key: str,
        operation: StoreOperation,
        argument: RecordArgument,
        result: Any,
        *,
        within: tuple[int, int] | None = None,
    ) -> None:
        invoked, ends = within or (operation.invoked, operation.ends)
        seen: RecordOperation = Operation(
            client=operation.client,
            number=operation.number,
            argument=argument,
            result=result,
            invoked=invoked,
            returned=None if result is UNKNOWN else ends,
        )
        self.subjects[collection, key].append(seen)

    def _sight(self, collection: str, record: Record) -> Sight:
        content = self._content(collection, record, record.commit_id, record.grant)
        return Sight(record.version, content, record.lease)

    def _content(
        self, collection: str, of: Put | Record, commit_id: str, grant: bytes | None
    ) -> Content:
        lagging = self._lease_sorts.get(collection)
        return Content(
            commit_id=commit_id,
            body=of.body,
            attributes=frozenset(item for item in of.attributes.items() if item[0] != lagging),
            grant=grant,
            lease_limit=of.lease_limit,
            expires_at=of.expires_at,
        )


def _refusal(conflict: Conflict, subject: Subject) -> Refusal:
    return Refusal.NAMED if subject in conflict.keys else Refusal.SPARED
