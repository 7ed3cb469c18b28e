"""The journal of a worker: each call of a service before it starts, and its result."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from attrs import field

from cicd_core.testing.recording.journal import JournalFormat
from cicd_core.testing.recording.operation import Operation, Unknown
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Ending(StrEnum):
    """The result of a call."""

    ACKNOWLEDGED = "acknowledged"
    #: An error that guarantees that nothing was done.
    REFUSED = "refused"
    #: The effect is unknown: the store was unavailable, or the caller was killed.
    UNKNOWN = "unknown"
    #: An unexpected error.
    BROKEN = "broken"
    #: Not a call: an injected fault.
    HAPPENED = "happened"


@frozen(kw_only=True)
class LabQuestion:
    """The arguments of a call; for an injected fault, its kind."""

    verb: str
    details: dict[str, Any]


@frozen(kw_only=True)
class LabAnswer:
    """The result of a call, and its answer; for a refusal or failure, the error's name and text."""

    ending: Ending = field(converter=Ending)
    details: dict[str, Any]


#: A call of a worker. Its times are microseconds since the machine started.
LabCall: TypeAlias = Operation[LabQuestion, LabAnswer]
FORMAT: Final[JournalFormat[LabQuestion, LabAnswer]] = JournalFormat((LabQuestion, LabAnswer))

_NO_ANSWER: Final = LabAnswer(ending=Ending.UNKNOWN, details={})
#: A text in the line of an acknowledged call, and in no other line: see :class:`LabAnswer`.
_ACKNOWLEDGED: Final = b'"ending":"acknowledged"'


def answer_to(call: LabCall) -> LabAnswer:
    """Return the result of a call; without an answer it is unknown."""
    return _NO_ANSWER if isinstance(call.result, Unknown) else call.result


def read_calls(path: Path) -> Iterator[LabCall]:
    """Yield a worker's journal; nothing if it was killed before it opened its journal."""
    if path.exists():
        yield from FORMAT.read(path)


class Acknowledgements:
    """Counts the acknowledged calls of a journal while it is being written."""

    def __init__(self, path: Path) -> None:
        """Start at the beginning of the file, which need not exist yet."""
        self._path = path
        self._read = 0

    def more(self) -> int:
        """Return the number since the last call."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                data = file.read()
        except FileNotFoundError:
            return 0
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        return sum(_ACKNOWLEDGED in line for line in whole.splitlines())
