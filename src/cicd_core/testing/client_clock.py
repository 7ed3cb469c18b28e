"""The wall clock of this process, set by a test: a store that relies on it must fail.

The monotonic clocks stay right, as on a machine whose time is set.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any

from cicd_core.testing.replacing import replaced_everywhere

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


class ClientClock:
    """The offset of this process's wall clock."""

    def __init__(self) -> None:
        self._ahead = 0

    def step(self, seconds: float) -> None:
        """Set the wall clock forward or back (below 0)."""
        self._ahead += round(seconds * 1_000_000_000)

    def shown(self, nanoseconds: int) -> int:
        """Return the clock's time at an instant; never before 1970."""
        return max(0, nanoseconds + self._ahead)


@contextmanager
def client_clock() -> Generator[ClientClock, None, None]:
    """Replace the wall clock of every module in this process by one that a test sets."""
    clock = ClientClock()
    with replaced_everywhere(_replacements(clock)):
        yield clock


def _replacements(clock: ClientClock) -> list[tuple[object, object]]:
    """Return each function and class that reads the wall clock, and its replacement."""
    real_ns: Callable[[], int] = time.time_ns  # noqa: TID251 - it is replaced on purpose

    def time_ns() -> int:
        return clock.shown(real_ns())

    def seconds() -> float:
        return time_ns() / 1_000_000_000

    return [
        (time.time_ns, time_ns),  # noqa: TID251 - as above
        (time.time, seconds),  # noqa: TID251 - as above
        (datetime, _datetime_by(seconds)),
    ]


def _datetime_by(seconds: Callable[[], float]) -> type[datetime]:
    class Kind(type):
        """Any date is an instance of the replacement."""

        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, datetime)

        def __subclasscheck__(cls, subclass: type) -> bool:
            return issubclass(subclass, datetime)

    class SetDatetime(datetime, metaclass=Kind):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Any:
            return datetime.fromtimestamp(seconds(), tz)

        @classmethod
        def utcnow(cls) -> Any:
            return datetime.fromtimestamp(seconds(), UTC).replace(tzinfo=None)

        @classmethod
        def today(cls) -> Any:
            return cls.now()

    return SetDatetime
