"""A disk that loses its power: what of a trace of writes and syncs may be there afterwards.

What was synced is there. Of what was written to a file since, each sector is there or not, each by
itself: so writes are kept, dropped or written in part. Names of files come and go in order, and are
certain when their folder was synced. A sector is 512 or 4,096 bytes; bytes beside a write are left
alone by it (https://sqlite.org/psow.html), which SQLite relies on by default.
"""

from __future__ import annotations

import base64
import json
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from attrs import asdict, define, field, frozen

from cicd_core.testing.workers.sqlite_files import OK, FileWatcher

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from random import Random

_SECTORS: Final = (512, 4096)
#: How likely a write is kept whole, and dropped whole, in one state; else it is written in part.
_MOODS: Final = ((0.0, 1.0), (1.0, 0.0), (0.9, 0.05), (0.4, 0.4), (0.0, 0.0))


class Kind(StrEnum):
    """What happens in one step of a trace."""

    MADE = "made"
    WRITE = "write"
    CUT = "cut"
    SYNC = "sync"
    REMOVE = "remove"
    #: A caller got the answer that something is done.
    ACKNOWLEDGED = "acknowledged"


@frozen(kw_only=True)
class Step:
    """One step of a trace."""

    kind: Kind
    name: str = ""
    #: Where a write begins; how long a file is after a cut.
    offset: int = 0
    data: bytes = b""
    #: A sync or a removal that the folder's names share.
    folder: bool = False
    #: The steps before this one are what a sync is about.
    before: int = 0
    #: What was acknowledged.
    note: tuple[str, ...] = ()


class Recorder(FileWatcher):
    """Keeps each change of a file as a step, in the order in which they are made."""

    def __init__(self) -> None:
        """Begin with an empty trace."""
        self.steps: list[Step] = []

    def acknowledge(self, *note: str) -> None:
        """Keep that a caller got an answer."""
        self.steps.append(Step(kind=Kind.ACKNOWLEDGED, note=note))

    def made(self, name: str) -> None:
        """Keep that a file was made."""
        self.steps.append(Step(kind=Kind.MADE, name=name))

    def write(self, name: str, offset: int, data: bytes, proceed: Callable[[int], int]) -> int:
        """Keep a write."""
        self.steps.append(Step(kind=Kind.WRITE, name=name, offset=offset, data=data))
        return proceed(len(data))

    def cut(self, name: str, size: int, proceed: Callable[[], int]) -> int:
        """Keep that a file was cut."""
        self.steps.append(Step(kind=Kind.CUT, name=name, offset=size))
        return proceed()

    def sync(self, name: str, *, folder: bool, proceed: Callable[[], int]) -> int:
        """Keep a sync when it is done: of what was written before it began."""
        before = len(self.steps)
        result = proceed()
        if result == OK:
            self.steps.append(Step(kind=Kind.SYNC, name=name, folder=folder, before=before))
        return result

    def remove(self, name: str, *, folder: bool, proceed: Callable[[], int]) -> int:
        """Keep that a file was removed."""
        self.steps.append(Step(kind=Kind.REMOVE, name=name, folder=folder))
        return proceed()


def save_trace(steps: Sequence[Step], path: Path) -> None:
    """Write a trace to a file, a step a line."""
    with path.open("w", encoding="ascii") as file:
        for step in steps:
            words = {**asdict(step), "data": base64.b85encode(step.data).decode()}
            file.write(json.dumps(words) + "\n")


def load_trace(path: Path) -> list[Step]:
    """Read a trace from a file."""
    with path.open(encoding="ascii") as file:
        return [_step(json.loads(line)) for line in file]


def _step(words: dict[str, Any]) -> Step:
    kind, data, note = Kind(words["kind"]), base64.b85decode(words["data"]), tuple(words["note"])
    return Step(**{**words, "kind": kind, "data": data, "note": note})


@define
class _File:
    """One file, whatever it is called now."""

    #: What is on the disk for certain.
    durable: bytearray = field(factory=bytearray)
    #: Writes and cuts since, with the numbers of their steps.
    pending: list[tuple[int, Step]] = field(factory=list[tuple[int, Step]])


class Disk:
    """The disk under a trace. Go on step by step; cut the power as often as you like."""

    def __init__(self, steps: Sequence[Step]) -> None:
        """Stand at the beginning of a trace."""
        self._steps = steps
        self._position = 0
        #: The names that are seen, and those that are on the disk for certain.
        self._names: dict[str, _File] = {}
        self._durable: dict[str, _File] = {}
        #: Changes of names since the folder was synced; None: the name was removed.
        self._renamed: list[tuple[int, str, _File | None]] = []
        #: What was acknowledged so far, newest last.
        self.acknowledged: list[tuple[str, ...]] = []

    def go_to(self, position: int) -> None:
        """Make the steps up to ``position``, itself left out; it never goes back."""
        for number in range(self._position, position):
            self._make(number, self._steps[number])
        self._position = max(self._position, position)

    def cut_power(self, random: Random, folder: Path) -> None:
        """Write what may be left at this moment into an empty folder."""
        kept, dropped = random.choice(_MOODS)
        sector = random.choice(_SECTORS)
        names = dict(self._durable)
        for _, name, file in self._renamed[: random.randint(0, len(self._renamed))]:
            _rename(names, name, file)
        for name, file in names.items():
            content = bytearray(file.durable)
            for _, step in file.pending:
                fate = random.random()
                if fate < kept:
                    _apply(content, step)
                elif fate < 1 - dropped:
                    _apply_in_part(content, step, sector, random)
            (folder / name).write_bytes(content)

    def _make(self, number: int, step: Step) -> None:
        if step.kind is Kind.ACKNOWLEDGED:
            self.acknowledged.append(step.note)
        elif step.kind is Kind.MADE:
            self._rename(number, step.name, _File())
        elif step.kind is Kind.REMOVE:
            self._rename(number, step.name, None)
            if step.folder:
                self._sync_names(number + 1)
        else:
            if step.name not in self._names:  # an empty file that the store itself has made
                self._rename(number, step.name, _File())
            if step.kind is Kind.SYNC:
                self._sync(step)
            else:
                self._names[step.name].pending.append((number, step))

    def _rename(self, number: int, name: str, file: _File | None) -> None:
        _rename(self._names, name, file)
        self._renamed.append((number, name, file))

    def _sync(self, step: Step) -> None:
        file = self._names[step.name]
        for number, change in file.pending:
            if number < step.before:
                _apply(file.durable, change)
        file.pending = [
            (number, change) for number, change in file.pending if number >= step.before
        ]
        if step.folder:
            self._sync_names(step.before)

    def _sync_names(self, before: int) -> None:
        for number, name, file in self._renamed:
            if number < before:
                _rename(self._durable, name, file)
        self._renamed = [
            (number, name, file) for number, name, file in self._renamed if number >= before
        ]


def _rename(names: dict[str, Any], name: str, file: _File | None) -> None:
    if file is None:
        names.pop(name, None)
    else:
        names[name] = file


def _apply(content: bytearray, step: Step) -> None:
    if step.kind is Kind.CUT:
        del content[step.offset :]
        content.extend(bytes(step.offset - len(content)))
        return
    content.extend(bytes(max(0, step.offset - len(content))))
    content[step.offset : step.offset + len(step.data)] = step.data


def _apply_in_part(content: bytearray, step: Step, sector: int, random: Random) -> None:
    """Apply some sectors of a write, each by itself; a cut is one."""
    if step.kind is Kind.CUT:
        if random.random() < 0.5:
            _apply(content, step)
        return
    end = step.offset + len(step.data)
    for start in range(step.offset - step.offset % sector, end, sector):
        if random.random() < 0.5:
            first, last = max(start, step.offset), min(start + sector, end)
            part = step.data[first - step.offset : last - step.offset]
            _apply(content, Step(kind=Kind.WRITE, offset=first, data=part))
