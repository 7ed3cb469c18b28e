"""Operations of clients, with the instants between which each took effect."""

from __future__ import annotations

from enum import Enum
from typing import Final, Generic, Literal, TypeVar

from cicd_core.values import frozen

#: Later than every instant.
FOREVER: Final = 2**62

ArgumentT_co = TypeVar("ArgumentT_co", covariant=True)
ResultT_co = TypeVar("ResultT_co", covariant=True)


class Unknown(Enum):
    """The type of :data:`UNKNOWN`."""

    UNKNOWN = "unknown"


#: There was no answer: the call took effect at any moment after it was made, or never.
UNKNOWN: Final = Unknown.UNKNOWN


@frozen(kw_only=True)
class Operation(Generic[ArgumentT_co, ResultT_co]):
    """A call and its result.

    Instants are microseconds of the recorder's clock, by default of
    :func:`cicd_core.clock.boot_micros`, which all processes on one host share. They are rounded
    down, so two in the same microsecond count as concurrent.
    """

    #: The client that made the call.
    client: str
    #: Unique among the client's operations.
    number: int
    argument: ArgumentT_co
    result: ResultT_co | Literal[Unknown.UNKNOWN]
    invoked: int
    #: None: the result is unknown.
    returned: int | None

    @property
    def kind(self) -> str:
        """The request: the argument's type, in lower case."""
        return type(self.argument).__name__.lower()

    @property
    def is_known(self) -> bool:
        """Whether there was an answer."""
        return self.returned is not None

    @property
    def ends(self) -> int:
        """The last instant at which it may have taken effect."""
        return FOREVER if self.returned is None else self.returned

    def __str__(self) -> str:
        until = "?" if self.returned is None else self.returned
        asked = f"{self.client}#{self.number} [{self.invoked}, {until}] {self.argument}"
        return f"{asked} -> {'unknown' if self.result is UNKNOWN else self.result}"
