"""Operations as files: a line of JSON each, of calls of a store and of calls of the services.

A line may be written twice, at the call and at its answer: the later one counts. So a killed
process leaves its request, without an answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import fields

from cicd_core.errors import InvalidInput
from cicd_core.store.records import (
    Claim,
    Commit,
    Committed,
    Conflict,
    Delete,
    EventWrite,
    Guard,
    Increment,
    Index,
    Keep,
    Lease,
    Put,
    Record,
    Renewal,
    Renewed,
)
from cicd_core.testing.recording.operation import Operation, Unknown
from cicd_core.testing.recording.service_calls import Ending, ServiceAnswer, ServiceCall
from cicd_core.testing.recording.store_calls import Get, History

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TextIO

#: The types of the values in operations, by name.
_VALUES: Mapping[str, type[Any]] = {
    value.__name__: value
    for value in (
        Claim,
        Commit,
        Committed,
        Conflict,
        Delete,
        EventWrite,
        Get,
        Increment,
        Index,
        Lease,
        Operation,
        Put,
        Record,
        Renewal,
        Renewed,
        ServiceAnswer,
        ServiceCall,
    )
}
_ENUMS: Final[Mapping[str, type[Enum]]] = {enum.__name__: enum for enum in (Guard, Keep, Unknown)}
#: By type: its fields, each with its default, which need not be written.
_FIELDS: Mapping[type[Any], Any] = {
    value: tuple((field.name, field.default) for field in fields(value))
    for value in _VALUES.values()
}
#: The member that names the type of an object; no attribute of a record has an empty name.
_TYPE: Final = ""
#: A text in the line of an acknowledged call of a service, and in no other line.
_ACKNOWLEDGED: Final = f'"ending":"{Ending.ACKNOWLEDGED}"'.encode()


class Journal:
    """Writes operations to an open text file at once, one line each."""

    def __init__(self, file: TextIO) -> None:
        """Write to ``file``; the caller that opened it closes it."""
        self._file = file

    def __call__(self, operation: Operation[Any, Any]) -> None:
        """Write one operation, and hand it to the operating system: a kill does not lose it."""
        self._file.write(to_line(operation))
        self._file.flush()


class Acknowledgements:
    """Counts the acknowledged calls of services in a journal while it is being written."""

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


def to_line(operation: Operation[Any, Any]) -> str:
    """Return an operation as a line of JSON."""
    return json.dumps(operation, default=_plain, separators=(",", ":")) + "\n"


def from_line(line: str) -> Operation[Any, Any]:
    """Return the operation of a line.

    Raises:
        InvalidInput: it is not an operation.
    """
    try:
        found: Any = json.loads(line, object_hook=_value)
    except (ValueError, TypeError, KeyError) as cause:
        raise InvalidInput("line", line, f"not a recorded operation: {cause!r}") from cause
    if not isinstance(found, _VALUES["Operation"]):
        raise InvalidInput("line", line, "not a recorded operation")
    operation: Operation[Any, Any] = found
    return operation


def save(history: History, path: Path) -> None:
    """Write a history to a new file."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(map(to_line, history.operations))


def load(paths: Iterable[Path | str]) -> History:
    """Read one history from the files of all its recorders.

    Raises:
        InvalidInput: a line is not an operation. A partial last line, from a killed writer, is
            ignored.
    """
    return History(chain.from_iterable(read(Path(path)) for path in paths))


def read(path: Path) -> Iterator[Operation[Any, Any]]:
    """Yield the operations of a file, each once, with its answer if it has one.

    Raises:
        InvalidInput: a line is not an operation. A partial last line, from a killed writer, is
            ignored.
    """
    found: dict[tuple[str, int], Operation[Any, Any]] = {}
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.endswith("\n"):
                operation = from_line(line)
                found[operation.client, operation.number] = operation
    yield from found.values()


def _plain(value: object) -> dict[str, Any]:
    """Return a value without a JSON form as an object."""
    name = type(value).__name__
    if isinstance(value, bytes):
        return {_TYPE: "bytes", "text": value.decode("latin-1")}
    if isinstance(value, Enum):
        return {_TYPE: name, "value": value.value}
    plain: dict[str, Any] = {_TYPE: name}
    for field, default in _FIELDS[type(value)]:
        content = getattr(value, field)
        if content is not default:
            plain[field] = _paired(content)
    return plain


def _value(plain: dict[str, Any]) -> Any:
    """Return the value of a JSON object."""
    name = plain.pop(_TYPE, None)
    if name is None:
        return plain
    if name == "bytes":
        return plain["text"].encode("latin-1")
    if name == "pairs":
        return {tuple(key): value for key, value in plain["items"]}
    if name in _ENUMS:
        return _ENUMS[name](plain["value"])
    return _VALUES[name](**{field: _tuples(value) for field, value in plain.items()})


def _paired(content: Any) -> Any:
    """Return a mapping with pairs as keys as a list of pairs, since JSON's keys are texts."""
    if not isinstance(content, Mapping):
        return content
    items: list[tuple[Any, Any]] = [*content.items()]
    has_pairs = any(isinstance(key, tuple) for key, _ in items)
    return {_TYPE: "pairs", "items": items} if has_pairs else dict(items)


def _tuples(content: Any) -> Any:
    match content:
        case [*items]:
            return tuple(map(_tuples, items))
        case _:
            return content
