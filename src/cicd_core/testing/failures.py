"""Readable failures of the suite: the promise, the verb, the request, and both answers.

An error of a test is rewritten before pytest shows it. An error inside a task group surfaces
directly, a wrong number of answers is explained in words, and notes have the promise and the last
calls to the store.
"""

from __future__ import annotations

import re
import traceback
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import TracebackType

    from cicd_core.testing.tracing import TracedCall

#: How many calls a failure shows, and how many characters of a request or of an answer.
_SHOWN: Final = 5
_LONGEST: Final = 600
_TOO_FEW: Final = re.compile(
    r"not enough values to unpack \(expected (?:at least )?(\d+), got (\d+)\)"
)
_TOO_MANY: Final = re.compile(r"too many values to unpack \(expected (\d+)")
#: An error without its request and answer.
_EMPTY: Final = "None is not None"
_BARE: Final = re.compile(r"(?:assert (?:False|None|not True))?")
#: Frames that only pass an error on.
_BETWEEN: Final = re.compile(r"[/\\](anyio|asyncio|trio|exceptiongroup)[/\\]|[/\\]tracing\.py$")


def surfaced(error: BaseException) -> BaseException:
    """Return the error inside task groups: the first assertion if there are several errors.

    A note names the others.
    """
    leaves = list(_leaves(error))
    chosen = next((leaf for leaf in leaves if isinstance(leaf, AssertionError)), leaves[0])
    if chosen is not error:
        chosen.__traceback__ = _without_the_group(chosen.__traceback__)
    for other in leaves:
        if other is not chosen:
            chosen.add_note(f"another error: {_first_line(other)}")
    return chosen


def readable(error: BaseException, calls: Sequence[TracedCall]) -> BaseException:
    """Return an error with an explanation, or the error itself."""
    text = str(error)
    if isinstance(error, ValueError) and (words := _miscounted(text, calls)):
        return _replaced(error, words)
    if isinstance(error, TimeoutError) and not text:
        waiting = ", ".join(call.verb for call in calls if not call.is_over)
        return _replaced(error, f"nothing arrived in time{waiting and f'; under way: {waiting}'}")
    if isinstance(error, AssertionError) and _EMPTY in text:
        verb = calls[-1].verb if calls else "the store"
        return _replaced(error, f"{verb} answered None instead of a value")
    if isinstance(error, AssertionError) and _BARE.fullmatch(text):
        return _replaced(error, f"this does not hold: {_asked(error).removeprefix('assert ')}")
    return error


def explain(error: BaseException, promise: str, topic: str, calls: Sequence[TracedCall]) -> None:
    """Add the promise, the condition and the last calls to the store to an error."""
    error.add_note(f"the promise ({topic}): {promise}")
    if isinstance(error, AssertionError) and (wanted := _asked(error)):
        error.add_note(f"must hold: {wanted}")
    shown = (call for call in reversed(calls) if call.verb != "now")
    for call in islice(shown, _SHOWN):
        asked = ", ".join(map(_short, call.arguments))
        error.add_note(f"asked:     {call.verb}({asked})\nanswered:  {_outcome(call)}")


def promise_of(test: str) -> str:
    """Return a test's name as a sentence."""
    name, bracket, parameters = test.removeprefix("test_").partition("[")
    return f"{name.replace('_', ' ')}{' ' if bracket else ''}{bracket}{parameters}"


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for exception in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from _leaves(exception)
    else:
        yield error


def _miscounted(text: str, calls: Sequence[TracedCall]) -> str | None:
    """Return a sentence about the wrong number of an answer's parts."""
    if few := _TOO_FEW.search(text):
        wanted, came = few[1], int(few[2])
        verb = _verb_that_answered(came, calls)
        return f"{verb} answered {came or 'nothing'} instead of {wanted}"
    if many := _TOO_MANY.search(text):
        return f"the store answered more than {many[1]}"
    return None


def _verb_that_answered(number: int, calls: Sequence[TracedCall]) -> str:
    """Return the verb of the last call whose answer has this number of parts."""
    for call in reversed(calls):
        answer: object = call.answer
        if isinstance(answer, list) and len(cast("list[object]", answer)) == number:
            return call.verb
    return "the store"


def _replaced(error: BaseException, words: str) -> AssertionError:
    replaced = AssertionError(words)
    replaced.__traceback__ = error.__traceback__
    for note in getattr(error, "__notes__", ()):
        replaced.add_note(note)
    replaced.__suppress_context__ = True
    return replaced


def _asked(error: BaseException) -> str:
    """Return the line of the suite that failed."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = (frame.line for frame in reversed(frames) if frame.line)
    return next((line for line in lines if line.startswith("assert ")), "")


def _without_the_group(trace: TracebackType | None) -> TracebackType | None:
    """Return a traceback without the task group and the event loop at its beginning."""
    while trace is not None and _BETWEEN.search(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return trace


def _outcome(call: TracedCall) -> str:
    if not call.is_over:
        return "nothing yet"
    return f"raised {call.error!r}" if call.error is not None else _short(call.answer)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _first_line(error: BaseException) -> str:
    lines = f"{type(error).__name__}: {error}".splitlines()
    return lines[0]


def table(rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table: the first column left-aligned, the others right-aligned."""
    cells = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            text.ljust(width) if not place else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
