"""What a stretch of code does, counted in calls of functions: no mock stands in the way."""

from __future__ import annotations

import dis
import sys
import threading
from collections import Counter
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import CodeType, FrameType

#: The functions that `cicd_core.values` writes for a class: one builds a value, one changes it.
_OF_VALUES: Final = ("_make", "_change")


class Effort:
    """How often each function was called, on any thread that began after this did."""

    def __init__(self) -> None:
        self._calls: Counter[CodeType] = Counter()
        self._counts = False

    def of(self, function: Callable[..., Any]) -> int:
        """Return how often a function, a method or a coroutine function was called."""
        return self._calls[function.__code__]

    @property
    def values(self) -> int:
        """How many frozen values were made: built of their fields, or of another value."""
        return sum(number for code, number in self._calls.items() if _makes_a_value(code))

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count what the block does, from 0."""
        self._calls.clear()
        self._counts = True
        try:
            yield
        finally:
            self._counts = False

    def see(self, frame: FrameType, event: str, _: object) -> None:
        """Count one call, as `sys.setprofile` tells of it."""
        # It tells of a coroutine's frame again after each await: that is no call.
        if self._counts and event == "call" and frame.f_lasti <= _begins_at(frame.f_code):
            self._calls[frame.f_code] += 1


@contextmanager
def watched() -> Iterator[Effort]:
    """Watch this thread, and those that it starts, until the block ends."""
    effort = Effort()
    before = sys.getprofile()
    threading.setprofile(effort.see)
    sys.setprofile(effort.see)
    try:
        yield effort
    finally:
        sys.setprofile(before)
        threading.setprofile(None)


def _makes_a_value(code: CodeType) -> bool:
    return code.co_filename == "<string>" and code.co_name in _OF_VALUES


@cache
def _begins_at(code: CodeType) -> int:
    """Return the offset of the instruction that a call of the function begins with."""
    return next(each.offset for each in dis.get_instructions(code) if each.opname == "RESUME")
