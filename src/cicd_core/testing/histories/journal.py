"""Histories as files: one line of JSON per operation, with the values of the store contract."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final

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
from cicd_core.testing.histories.operation import Get, History
from cicd_core.testing.recording.journal import JournalFormat

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from cicd_core.testing.histories.operation import StoreArgument, StoreResult

#: The types in the operations of a store.
FORMAT: Final[JournalFormat[StoreArgument, StoreResult]] = JournalFormat(
    (
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
        Put,
        Record,
        Renewal,
        Renewed,
    ),
    (Guard, Keep),
)


def save(history: History, path: Path) -> None:
    """Write a history to a file."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(map(FORMAT.to_line, history.operations))


def load(paths: Iterable[Path]) -> History:
    """Read one history from the files of all its recorders.

    Raises:
        InvalidInput: a line is not an operation. A partial last line, from a killed writer, is
            ignored.
    """
    return History(chain.from_iterable(map(FORMAT.read, paths)))
