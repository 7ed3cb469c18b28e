"""The result of a decide function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from cicd_core.values import frozen

if TYPE_CHECKING:
    from cicd_core.increments import Increment
    from cicd_core.model.event import EventDraft

Value = TypeVar("Value", covariant=True)  # noqa: PLC0105 - one letter would say less


@frozen
class Decision(Generic[Value]):
    """The new value, and the events and counter increments of the same commit."""

    value: Value
    events: tuple[EventDraft, ...] = ()
    increments: tuple[Increment, ...] = ()
    #: False: the command found its own effect already there, and there is nothing to commit.
    changed: bool = True


def unchanged(value: Value) -> Decision[Value]:  # type: ignore[misc] # covariant in a parameter:
    # harmless in a free function, and the variable is shared with the class
    """Return the decision to change nothing."""
    return Decision(value, changed=False)
