"""What a worker writes down: each call before it is made, and its answer when it is there.

A line is one JSON array: a mark, the call's number, an instant in microseconds since the machine
started, and what was asked or answered. It is in the operating system's hands before the call goes
on, so that a kill loses at most the line that was being written.
"""

from __future__ import annotations

import json
import os
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from cicd_core.clock import boot_micros

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: The marks of a line that says what is asked, and of one that is no call.
_ASKED: Final = "?"
_NOTE: Final = "#"


class Ending(StrEnum):
    """How a call ended; the values are the marks of the lines that say so."""

    ACKNOWLEDGED = "!"
    #: By an error that says that nothing was done.
    REFUSED = "-"
    #: Whether it took effect is not known: the store was unavailable, or the caller was killed.
    UNKNOWN = "~"
    #: By an error that should not be.
    BROKEN = "x"


@frozen(kw_only=True)
class Call:
    """One call of a worker, as its journal tells it."""

    verb: str
    #: Microseconds since the machine started.
    called: int
    asked: dict[str, Any]
    ending: Ending
    #: Microseconds since the machine started; None: there was no answer.
    answered: int | None = None
    #: The answer; of a refusal or a failure the error's name and text.
    answer: dict[str, Any]


class Journal:
    """Writes the lines of one incarnation of a worker."""

    def __init__(self, path: Path) -> None:
        """Make the file."""
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._number = 0

    @property
    def asked(self) -> int:
        """How many calls were made."""
        return self._number

    def note(self, what: str, **words: Any) -> None:
        """Write down something that is no call."""
        self._write(_NOTE, 0, {"what": what, **words})

    def ask(self, verb: str, **asked: Any) -> int:
        """Write down that a call is made, and return its number."""
        self._number += 1
        self._write(_ASKED, self._number, {"verb": verb, **asked})
        return self._number

    def end(self, number: int, ending: Ending, **answer: Any) -> None:
        """Write down how a call ended."""
        self._write(ending.value, number, answer)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _write(self, mark: str, number: int, words: dict[str, Any]) -> None:
        line = json.dumps([mark, number, boot_micros(), words], separators=(",", ":"))
        os.write(self._file, f"{line}\n".encode())


def read_calls(path: Path) -> Iterator[Call]:
    """Yield the calls of a journal: in the order of their ends, then those without an answer.

    A last line without its end is the one at which the writer was killed; it is left out.
    """
    asked: dict[int, tuple[int, dict[str, Any]]] = {}
    if not path.exists():  # killed before the first line
        return
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            mark, number, instant, words = json.loads(line)
            if mark == _NOTE:
                continue
            if mark == _ASKED:
                asked[number] = (instant, words)
                continue
            called, question = asked.pop(number)
            yield Call(
                verb=question["verb"],
                called=called,
                asked=question,
                ending=Ending(mark),
                answered=instant,
                answer=words,
            )
    for called, question in asked.values():
        yield Call(
            verb=question["verb"], called=called, asked=question, ending=Ending.UNKNOWN, answer={}
        )


def read_notes(path: Path) -> Iterator[str]:
    """Yield what each note of a journal says happened."""
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n") and line.startswith(b'["#"'):
                yield json.loads(line)[3]["what"]


class Acknowledgements:
    """Counts the acknowledged calls of a journal while it is being written."""

    def __init__(self, path: Path) -> None:
        """Begin at the beginning of the file, which need not be there yet."""
        self._path = path
        self._read = 0

    def more(self) -> int:
        """Return how many there are since the last time."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                data = file.read()
        except FileNotFoundError:
            return 0
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        return sum(line.startswith(b'["!"') for line in whole.splitlines())
