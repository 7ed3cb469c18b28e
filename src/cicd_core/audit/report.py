"""The report of an audit: a check per promise, and statistics from the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping  # noqa: TC003 - the shape of the report, for its readers
from datetime import datetime  # noqa: TC003 - as above
from enum import StrEnum
from typing import Final

from attrs import field

from cicd_core.model.job import JobState  # noqa: TC001 - as above
from cicd_core.values import frozen

#: Maximum number of faults reported per check; all are counted.
SHOWN_FAULTS: Final = 20


class Promise(StrEnum):
    """The checked promises, in the order of the report."""

    READABLE = "readable"
    ACCOUNTED = "accounted"
    VERDICTS = "verdicts"
    FENCES = "fences"
    LEASES = "leases"
    LOG = "log"
    PATHS = "paths"
    COUNTERS = "counters"
    INDEXES = "indexes"
    COUNTS = "counts"


#: Each promise in a sentence.
PROMISES: Final[Mapping[Promise, str]] = {
    Promise.READABLE: "every record and every event decodes",
    Promise.ACCOUNTED: "no enqueued job is lost",
    Promise.VERDICTS: "each job has one final verdict and no event after it",
    Promise.FENCES: "each claim has a higher fence than all claims before it",
    Promise.LEASES: "each lease has an owner, each held job a lease",
    Promise.LOG: "no gap: versions and ordinals are dense",
    Promise.PATHS: "every transition is legal, and together they lead to the record",
    Promise.COUNTERS: "the counters equal a recount of the log",
    Promise.INDEXES: "each record is found where its state belongs",
    Promise.COUNTS: "each count equals a full listing",
}


class CheckResult(StrEnum):
    """The result of a check."""

    OK = "ok"
    FAILED = "failed"
    #: It could not be made; the check has the reason.
    SKIPPED = "skipped"


@frozen(kw_only=True)
class Check:
    """A promise, and the result of its check."""

    name: Promise
    #: The number of examined records, events, claims or counters.
    examined: int
    #: The number of contradictions.
    fault_count: int
    #: The first 20 contradictions, each a sentence that names the record.
    faults: tuple[str, ...]
    #: Why the check could not be made; None if it was.
    skipped: str | None = None

    @property
    def promise(self) -> str:
        """The promise, in a sentence."""
        return PROMISES[self.name]

    @property
    def result(self) -> CheckResult:
        """The result; a fault counts even if a part could not be examined."""
        if self.fault_count:
            return CheckResult.FAILED
        return CheckResult.OK if self.skipped is None else CheckResult.SKIPPED


@frozen(kw_only=True)
class AuditReport:
    """The state of a store, checked against its own log."""

    #: The start of the audit, on the store's clock (UTC).
    as_of: datetime
    #: Number of jobs, in total and by state.
    jobs: int
    jobs_by_state: Mapping[JobState, int] = field(factory=dict["JobState", int])
    #: Events in the log.
    events: int = 0
    #: Claims in the log.
    attempts: int = 0
    #: Attempts that led to another one, without releases.
    retries: int = 0
    releases: int = 0
    #: Leases that expired without a renewal.
    lost_leases: int = 0
    dead_letters: int = 0
    replays: int = 0
    checks: tuple[Check, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no check failed; one that was skipped did not."""
        return all(check.result is not CheckResult.FAILED for check in self.checks)

    def check(self, name: Promise) -> Check:
        """Return the check of that name."""
        return next(check for check in self.checks if check.name is name)


class Findings:
    """The findings so far."""

    def __init__(self) -> None:
        self._examined: Counter[Promise] = Counter()
        self._faults: Counter[Promise] = Counter()
        self._shown: dict[Promise, list[str]] = {name: [] for name in Promise}
        self._skipped: dict[Promise, str] = {}

    def examine(self, name: Promise, number: int = 1) -> None:
        """Count examined items."""
        self._examined[name] += number

    def fault(self, name: Promise, text: str) -> None:
        """Count a contradiction, and keep the description of the first ones."""
        self._faults[name] += 1
        if len(self._shown[name]) < SHOWN_FAULTS:
            self._shown[name].append(text)

    def require(self, name: Promise, holds: object, text: str) -> None:
        """Count a contradiction unless ``holds`` is true."""
        if not holds:
            self.fault(name, text)

    def skip(self, name: Promise, reason: str) -> None:
        """Record why a check, or a part of it, could not be made."""
        self._skipped.setdefault(name, reason)

    def checks(self) -> tuple[Check, ...]:
        """Return all checks, in their order."""
        return tuple(
            Check(
                name=name,
                examined=self._examined[name],
                fault_count=self._faults[name],
                faults=tuple(self._shown[name]),
                skipped=self._skipped.get(name),
            )
            for name in Promise
        )
