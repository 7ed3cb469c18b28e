"""Operations as files: a line of JSON each.

A line may be written twice, at the call and at its answer: the later one counts. So a killed
process leaves its request, without an answer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from attrs import fields

from cicd_core.errors import InvalidInput
from cicd_core.testing.recording.operation import Operation, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import TextIO

Argument = TypeVar("Argument")
Result = TypeVar("Result")

#: The member that names the type of an object; no attribute of a record has an empty name.
_TYPE: Final = ""


class Journal(Generic[Argument, Result]):
    """Writes operations to an open text file at once, one line each."""

    def __init__(self, file: TextIO, format_: JournalFormat[Argument, Result]) -> None:
        """Write to ``file``, in this format; the caller that opened it closes it."""
        self._file = file
        self._format = format_

    def __call__(self, operation: Operation[Argument, Result]) -> None:
        """Write one operation, and hand it to the operating system: a kill does not lose it."""
        self._file.write(self._format.to_line(operation))
        self._file.flush()


class JournalFormat(Generic[Argument, Result]):
    """The types of the values in the operations of one kind."""

    def __init__(self, values: Iterable[type[Any]], enums: Iterable[type[Enum]] = ()) -> None:
        all_values: tuple[type[Any], ...] = (Operation, *values)
        all_enums: tuple[type[Enum], ...] = (Unknown, *enums)
        self._values: dict[str, type[Any]] = {value.__name__: value for value in all_values}
        self._enums = {enum.__name__: enum for enum in all_enums}
        #: By type: its fields, each with its default, which need not be written.
        self._fields = {
            value: tuple((field.name, field.default) for field in fields(value))
            for value in self._values.values()
        }

    def journal(self, file: TextIO) -> Journal[Argument, Result]:
        """Return a journal in this format; the caller that opened the file closes it."""
        return Journal(file, self)

    def to_line(self, operation: Operation[Argument, Result]) -> str:
        """Return an operation as a line of JSON."""
        return json.dumps(operation, default=self._plain, separators=(",", ":")) + "\n"

    def from_line(self, line: str) -> Operation[Argument, Result]:
        """Return the operation of a line.

        Raises:
            InvalidInput: it is not an operation.
        """
        try:
            operation: Any = json.loads(line, object_hook=self._value)
        except (ValueError, TypeError, KeyError) as cause:
            raise InvalidInput("line", line, f"not a recorded operation: {cause!r}") from cause
        if not isinstance(operation, Operation):
            raise InvalidInput("line", line, "not a recorded operation")
        return cast("Operation[Argument, Result]", operation)

    def read(self, path: Path) -> Iterator[Operation[Argument, Result]]:
        """Yield the operations of a file, each once, with its answer if it has one.

        Raises:
            InvalidInput: a line is not an operation. A partial last line, from a killed writer, is
                ignored.
        """
        found: dict[tuple[str, int], Operation[Argument, Result]] = {}
        with path.open(encoding="utf-8") as file:
            for line in file:
                if line.endswith("\n"):
                    operation = self.from_line(line)
                    found[operation.client, operation.number] = operation
        yield from found.values()

    def _plain(self, value: object) -> dict[str, Any]:
        """Return a value without a JSON form as an object."""
        name = type(value).__name__
        if isinstance(value, bytes):
            return {_TYPE: "bytes", "text": value.decode("latin-1")}
        if isinstance(value, Enum):
            return {_TYPE: name, "value": value.value}
        plain: dict[str, Any] = {_TYPE: name}
        for field, default in self._fields[type(value)]:
            content = getattr(value, field)
            if content is not default:
                plain[field] = _paired(content)
        return plain

    def _value(self, plain: dict[str, Any]) -> Any:
        """Return the value of a JSON object."""
        name = plain.pop(_TYPE, None)
        if name is None:
            return plain
        if name == "bytes":
            return plain["text"].encode("latin-1")
        if name == "pairs":
            return {tuple(key): value for key, value in plain["items"]}
        if name in self._enums:
            return self._enums[name](plain["value"])
        return self._values[name](**{field: _tuples(value) for field, value in plain.items()})


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
