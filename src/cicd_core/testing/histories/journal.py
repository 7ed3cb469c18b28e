"""Histories as files: a line of JSON an operation, in the words of the store contract.

A line may be written twice, when the call is made and when its answer is there: the later one
counts. So a process that is killed leaves behind what it asked, and that no answer is known.
"""

from __future__ import annotations

import json
from enum import Enum
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, cast

from attrs import fields

from cicd_core.errors import InvalidInput
from cicd_core.increments import Increment
from cicd_core.store.records import (
    Claim,
    Commit,
    Committed,
    Conflict,
    Delete,
    EventWrite,
    Guard,
    Index,
    Keep,
    Lease,
    Put,
    Record,
    Renewal,
    Renewed,
)
from cicd_core.testing.histories.operation import Get, History, Operation, StoreOperation, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import TextIO

#: The member that names the type of an object; no attribute of a record has an empty name.
_TYPE: Final = ""
_VALUES: Final[dict[str, type[Any]]] = {
    each.__name__: each
    for each in (
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
    )
}
_ENUMS: Final[dict[str, type[Enum]]] = {each.__name__: each for each in (Guard, Keep, Unknown)}
#: By type: its fields, each with the default that need not be written.
_FIELDS: Final = {
    each: tuple((field.name, field.default) for field in fields(each)) for each in _VALUES.values()
}


class Journal:
    """Writes operations to an open text file at once, one line each."""

    def __init__(self, file: TextIO) -> None:
        """Write to ``file``; who opened it closes it."""
        self._file = file

    def __call__(self, operation: StoreOperation) -> None:
        """Write one operation, and hand it to the operating system: a kill does not lose it."""
        self._file.write(to_line(operation))
        self._file.flush()


def save(history: History, path: Path) -> None:
    """Write a history to a file."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(map(to_line, history.operations))


def load(paths: Iterable[Path]) -> History:
    """Read one history from the files of all who recorded it.

    Raises:
        InvalidInput: a line is no operation. A last line without its end is one that somebody who
            was killed was writing; it is left out.
    """
    return History(chain.from_iterable(map(_operations, paths)))


def to_line(operation: StoreOperation) -> str:
    """Return an operation as a line of JSON."""
    return json.dumps(operation, default=_plain, separators=(",", ":")) + "\n"


def from_line(line: str) -> StoreOperation:
    """Return the operation of a line.

    Raises:
        InvalidInput: it is none.
    """
    try:
        operation: Any = json.loads(line, object_hook=_value)
    except (ValueError, TypeError, KeyError) as cause:
        raise InvalidInput("line", line, f"it is no operation of a history: {cause!r}") from cause
    if not isinstance(operation, Operation):
        raise InvalidInput("line", line, "it is no operation of a history")
    return cast("StoreOperation", operation)


def _operations(path: Path) -> Iterator[StoreOperation]:
    found: dict[tuple[str, int], StoreOperation] = {}
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.endswith("\n"):
                operation = from_line(line)
                found[operation.client, operation.number] = operation
    yield from found.values()


def _plain(value: object) -> dict[str, Any]:
    """Return what JSON has no word for as an object."""
    name = type(value).__name__
    if isinstance(value, bytes):
        return {_TYPE: "bytes", "text": value.decode("latin-1")}
    if isinstance(value, Enum):
        return {_TYPE: name, "value": value.value}
    if isinstance(value, Committed):  # its keys are pairs, which JSON has not
        return {_TYPE: name, "versions": [[*key, to] for key, to in value.versions.items()]}
    plain: dict[str, Any] = {_TYPE: name}
    for field, default in _FIELDS[type(value)]:
        content = getattr(value, field)
        if content is not default:
            plain[field] = content
    return plain


def _value(plain: dict[str, Any]) -> Any:
    """Return what an object of JSON stands for."""
    name = plain.pop(_TYPE, None)
    if name is None:
        return plain
    if name == "bytes":
        return plain["text"].encode("latin-1")
    if name in _ENUMS:
        return _ENUMS[name](plain["value"])
    if name == Committed.__name__:
        return Committed({(collection, key): to for collection, key, to in plain["versions"]})
    return _VALUES[name](**{field: _tuples(content) for field, content in plain.items()})


def _tuples(content: Any) -> Any:
    match content:
        case [*items]:
            return tuple(map(_tuples, items))
        case _:
            return content
