"""Whether the log and the counters hold each event and increment of each commit, once.

An event is named by its record, the version and its ordinal. So one that stands twice was told
twice; and where every event adds one to a counter, the counter is as long as the log.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, TypeAlias

from cicd_core.store.records import Commit, Committed
from cicd_core.testing.histories.operation import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cicd_core.store.records import LogEntry
    from cicd_core.testing.histories.operation import History

#: The counter to which each commit of a workload adds as many as it has events.
EVENTS_COUNTED: Final = "events"

#: An event's collection, key, version and ordinal.
_Name: TypeAlias = tuple[str, str, int, int]


def check_log(history: History, log: Sequence[LogEntry]) -> Iterator[str]:
    """Yield each event that the log repeats, lacks, has from nowhere, or tells out of order.

    Args:
        history: what all clients did.
        log: the whole log.
    """
    told = Counter(map(_name, log))
    for name, times in told.items():
        if times > 1:
            yield f"the event {name} is told {times} times"
    applied, possible = _events_of(history)
    for name in sorted(applied - told.keys()):
        yield f"the event {name} of a commit that was applied is not told"
    for name in sorted(told.keys() - applied):
        if (name[0], name[1], name[3]) not in possible:
            yield f"the event {name} is told, and no commit that was applied has it"
    yield from _disorder(log)


def check_counted(counted: Mapping[str, int], log: Sequence[LogEntry]) -> Iterator[str]:
    """Yield why the counter of events does not agree with the log, if it does not."""
    number = counted.get(EVENTS_COUNTED, 0)
    if number != len(log):
        yield f"the counter {EVENTS_COUNTED!r} is {number}, and the log has {len(log)} events"


def _events_of(history: History) -> tuple[set[_Name], set[tuple[str, str, int]]]:
    """Return the events that must be told; and of those that may be, all but the version."""
    applied: set[_Name] = set()
    possible: set[tuple[str, str, int]] = set()
    for operation in history.operations:
        commit, result = operation.argument, operation.result
        if not isinstance(commit, Commit):
            continue
        for event in commit.events:
            subject = (event.collection, event.key)
            if isinstance(result, Committed):
                version = event.version or result.versions.get(subject)
                if version is not None:
                    applied.add((*subject, version, event.ordinal))
            elif result is UNKNOWN:
                possible.add((*subject, event.ordinal))
    return applied, possible


def _disorder(log: Iterable[LogEntry]) -> Iterator[str]:
    last: dict[tuple[str, str], tuple[int, int]] = {}
    for entry in log:
        subject, place = (entry.collection, entry.key), (entry.version, entry.ordinal)
        before = last.get(subject, (0, -1))
        if place < before:
            yield f"the event {_name(entry)} is told after version {before[0]} of its record"
        last[subject] = max(place, before)


def _name(entry: LogEntry) -> _Name:
    return entry.collection, entry.key, entry.version, entry.ordinal
