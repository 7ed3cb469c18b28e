"""Calls of a store as operations, and the history of all of its clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from attrs import field

from cicd_core.store.records import Claim, Commit, Committed, Conflict, Record, Renewal, Renewed
from cicd_core.testing.recording.operation import Operation
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable


@frozen(kw_only=True)
class Get:
    """A read of one record; a call for several records is recorded as several operations."""

    collection: str
    key: str


#: The recorded parts: each record of a ``get``, each commit of a list, each renewal of a
#: list, each claim.
StoreArgument: TypeAlias = Get | Commit | Claim | Renewal
StoreResult: TypeAlias = Record | Committed | Conflict | tuple[Record, ...] | Renewed | None
StoreOperation: TypeAlias = Operation[StoreArgument, StoreResult]


def _in_order(operations: Iterable[StoreOperation]) -> tuple[StoreOperation, ...]:
    return tuple(
        sorted(operations, key=lambda item: (item.invoked, item.ends, item.client, item.number))
    )


@frozen
class History:
    """The operations of all clients of a store, starting with an empty store."""

    #: In the order of their calls.
    operations: tuple[StoreOperation, ...] = field(converter=_in_order)

    @classmethod
    def merged(cls, histories: Iterable[History]) -> History:
        """Return one history of several that were recorded concurrently on one host."""
        return cls(operation for history in histories for operation in history.operations)

    def __len__(self) -> int:
        return len(self.operations)
