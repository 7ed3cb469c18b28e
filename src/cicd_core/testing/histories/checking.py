"""All checks of a recorded history, and the report of a failure."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from cicd_core.testing.histories.log_check import check_counted, check_log
from cicd_core.testing.histories.oracle import Refuted
from cicd_core.testing.histories.queue_monitor import check_queue
from cicd_core.testing.histories.queue_view import queue_of, queues_of
from cicd_core.testing.histories.record_check import check_record
from cicd_core.testing.histories.record_view import by_record
from cicd_core.testing.histories.serial import check_serial
from cicd_core.testing.histories.wing_gong import LIMIT, Stuck, TooManyOrders
from cicd_core.testing.recording.journal import save
from cicd_core.testing.samples import COLLECTIONS
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from cicd_core.store.records import Collection, LogEntry, Subject
    from cicd_core.testing.histories.model import RecordOperation
    from cicd_core.testing.recording.store_calls import History


#: Maximum number of reported findings; one fault often causes many.
MOST = 20


@frozen
class Finding:
    """Something that no order of the operations explains."""

    #: A record, a queue, or the whole store.
    subject: str
    explanation: str

    def __str__(self) -> str:
        return f"{self.subject}: {self.explanation}"


def check_history(
    history: History,
    *,
    collections: Iterable[Collection] = COLLECTIONS,
    strict_order: bool = True,
    log: Sequence[LogEntry] | None = None,
    counted: Mapping[str, int] | None = None,
    search_limit: int = LIMIT,
) -> tuple[Finding, ...]:
    """Check that the clients' view of a store can be explained, and return the contradictions.

    Each record must be linearizable. Each queue must return each stay of a record once, lose none,
    and return the best rank first. The log must have each event once, in the order of its record's
    versions. And one order must fit all commits, claims and reads.

    Args:
        history: the operations of all clients, starting with an empty store.
        collections: the collections of the store; by default the suite's.
        strict_order: whether the store promises one order over all partitions and commits, in
            which the log also has them.
        log: the whole log; None: it is not checked.
        counted: the counters at the end, if each commit counted its events
            (:data:`~cicd_core.testing.histories.log_check.EVENTS_COUNTED`).
        search_limit: the limit of a search, see
            :func:`cicd_core.testing.histories.wing_gong.linearize`; a search that reaches it is a
            finding too, since its result is unknown.
    """
    findings = chain(
        _queue_findings(history, strict_order=strict_order),
        _record_findings(history, collections, search_limit),
        _log_findings(history, log, counted),
        _serial_findings(history, log) if strict_order else (),
    )
    return tuple(finding for finding, _ in zip(findings, range(MOST), strict=False))


def assert_explained(history: History, path: Path, findings: Sequence[Finding]) -> None:
    """Save the history to a file if there are findings.

    Raises:
        AssertionError: there are findings. The message has them, and the path of the file;
            ``python -m cicd_core.testing.histories FILE`` checks the file again.
    """
    if findings:
        save(history, path)
        text = "\n".join(map(str, findings))
        raise AssertionError(
            f"no order explains these {len(history)} operations, saved in {path}:\n{text}"
        )


def _queue_findings(history: History, *, strict_order: bool) -> Iterator[Finding]:
    for queue in sorted(queues_of(history), key=str):
        view = queue_of(history, queue)
        violations = check_queue(
            view.operations, remaining=view.remaining, strict_order=strict_order
        )
        name = f"the queue of {queue[0]!r} by {queue[1].name}"
        for violation in violations:
            yield Finding(name, str(violation))


def _record_findings(
    history: History, collections: Iterable[Collection], limit: int
) -> Iterator[Finding]:
    for subject, operations in by_record(history, collections).items():
        explanation = _why_not(operations, limit)
        if explanation is not None:
            yield Finding(_name(subject), explanation)


def _why_not(operations: Sequence[RecordOperation], limit: int) -> str | None:
    """Return why the history of a record is not linearizable, or None if it is."""
    try:
        refuted = check_record(operations, limit=limit)
    except TooManyOrders as too_many:
        return f"undecided: {too_many}"
    match refuted:
        case None:
            return None
        case Refuted(reason, against):
            return _described(reason, against)
        case Stuck(operation, concurrent, states):
            reason = "nothing explains the answer of the first of these, with the others under way"
            text = _described(reason, (operation, *concurrent))
            return text + _described("\n  the record may have been", states[:MOST])


def _log_findings(
    history: History, log: Sequence[LogEntry] | None, counted: Mapping[str, int] | None
) -> Iterator[Finding]:
    if log is None:
        return
    for reason in check_log(history, log):
        yield Finding("the log", reason)
    for reason in check_counted(counted, log) if counted is not None else ():
        yield Finding("the counters", reason)


def _serial_findings(history: History, log: Sequence[LogEntry] | None) -> Iterator[Finding]:
    refuted = check_serial(history, log)
    if refuted is not None:
        yield Finding("the store", _described(refuted.reason, refuted.operations))


def _name(subject: Subject) -> str:
    return f"record {subject[1]!r} of {subject[0]!r}"


def _described(reason: str, things: Iterable[object]) -> str:
    return "\n    ".join([reason, *map(str, things)])
