"""Checks that the log and the counters have each event and increment of each commit, once.

The record, the version and the ordinal name an event. So a repeated name is a repeated event. If
every event adds one to a counter, the counter equals the length of the log.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, TypeAlias

from cicd_core.store.records import Commit, Committed
from cicd_core.testing.recording.operation import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from cicd_core.store.records import LogEntry
    from cicd_core.testing.recording.store_calls import History

#: The counter to which each commit of a workload adds the number of its events.
EVENTS_COUNTED: Final = "events"

#: An event's collection, key, version and ordinal.
_Name: TypeAlias = tuple[str, str, int, int]


def check_log(history: History, log: Sequence[LogEntry]) -> Iterator[str]:
    """Yield each event that the log repeats, lacks, invents, or has out of order.

    Args:
        history: the operations of all clients.
        log: the whole log.
    """
    logged = Counter(map(_name, log))
    for name, times in logged.items():
        if times > 1:
            yield f"the log has the event {name} {times} times"
    applied, possible = _events_of(history)
    for name in sorted(applied - logged.keys()):
        yield f"the log lacks the event {name} of an applied commit"
    for name in sorted(logged.keys() - applied):
        if (name[0], name[1], name[3]) not in possible:
            yield f"the log has the event {name}, which no applied commit has"
    yield from _disorder(log)


def check_counted(counted: Mapping[str, int], log: Sequence[LogEntry]) -> Iterator[str]:
    """Yield a sentence if the counter of events does not agree with the log."""
    number = counted.get(EVENTS_COUNTED, 0)
    if number != len(log):
        yield f"the counter {EVENTS_COUNTED!r} is {number}, but the log has {len(log)} events"


def _events_of(history: History) -> tuple[set[_Name], set[tuple[str, str, int]]]:
    """Return the required events; and the optional ones, without the version."""
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
            yield f"the event {_name(entry)} comes after version {before[0]} of its record"
        last[subject] = max(place, before)


def _name(entry: LogEntry) -> _Name:
    return entry.collection, entry.key, entry.version, entry.ordinal
