"""What clients did and saw: operations with the instants between which each took effect."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final, Generic, Literal, TypeAlias, TypeVar

from attrs import field, frozen

from cicd_core.store.records import Claim, Commit, Committed, Conflict, Record, Renewal, Renewed

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Later than every instant.
FOREVER: Final = 2**62

ArgumentT_co = TypeVar("ArgumentT_co", covariant=True)
ResultT_co = TypeVar("ResultT_co", covariant=True)


class Unknown(Enum):
    """The type of :data:`UNKNOWN`."""

    UNKNOWN = "unknown"


#: No answer came: the call took effect at any moment after it was made, or it never does.
UNKNOWN: Final = Unknown.UNKNOWN


@frozen(kw_only=True)
class Operation(Generic[ArgumentT_co, ResultT_co]):
    """One call, and what came of it.

    Instants are microseconds of :func:`cicd_core.clock.boot_micros`, which all processes on one
    host share. They are rounded down, so two in the same microsecond count as concurrent.
    """

    #: Who made it.
    client: str
    #: Tells it from the others of that client.
    number: int
    argument: ArgumentT_co
    result: ResultT_co | Literal[Unknown.UNKNOWN]
    invoked: int
    #: None where the result is unknown.
    returned: int | None

    @property
    def kind(self) -> str:
        """What was asked: the argument's type, in lower case."""
        return type(self.argument).__name__.lower()

    @property
    def is_known(self) -> bool:
        """Whether an answer came."""
        return self.returned is not None

    @property
    def ends(self) -> int:
        """The last instant at which it may have taken effect."""
        return FOREVER if self.returned is None else self.returned

    def __str__(self) -> str:
        until = "?" if self.returned is None else self.returned
        asked = f"{self.client}#{self.number} [{self.invoked}, {until}] {self.argument}"
        return f"{asked} -> {'unknown' if self.result is UNKNOWN else self.result}"


@frozen(kw_only=True)
class Get:
    """The question for one record; a call for several is recorded as several."""

    collection: str
    key: str


#: What is recorded of a store: each record of a ``get``, each commit of a list, each renewal of a
#: list, each claim.
StoreArgument: TypeAlias = Get | Commit | Claim | Renewal
StoreResult: TypeAlias = Record | Committed | Conflict | tuple[Record, ...] | Renewed | None
StoreOperation: TypeAlias = Operation[StoreArgument, StoreResult]


def _in_order(operations: Iterable[StoreOperation]) -> tuple[StoreOperation, ...]:
    return tuple(
        sorted(operations, key=lambda each: (each.invoked, each.ends, each.client, each.number))
    )


@frozen
class History:
    """What all clients of one store did, from the moment at which it was empty."""

    #: In the order of their calls.
    operations: tuple[StoreOperation, ...] = field(converter=_in_order)

    @classmethod
    def merged(cls, histories: Iterable[History]) -> History:
        """Return one history of several, which were recorded beside each other on one host."""
        return cls(each for history in histories for each in history.operations)

    def __len__(self) -> int:
        return len(self.operations)
