"""What an audit says: a check for each promise, and what the log tells of the work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping  # noqa: TC003 - the shape of the report, for whoever reads it
from datetime import datetime  # noqa: TC003 - as above
from enum import StrEnum
from typing import Final

from attrs import field, frozen

from cicd_core.model.job import JobState  # noqa: TC001 - as above

#: How many faults of one check are told; all of them are counted.
TOLD_FAULTS: Final = 20


class Promise(StrEnum):
    """What is checked, in the order in which it is told."""

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


#: What each check is about, in a sentence.
PROMISES: Final[Mapping[Promise, str]] = {
    Promise.READABLE: "every record and every event decodes",
    Promise.ACCOUNTED: "no job that was enqueued is lost",
    Promise.VERDICTS: "one final verdict a job, and nothing after it",
    Promise.FENCES: "each claim's fence is above all before it",
    Promise.LEASES: "a lease has an owner, a held job has a lease",
    Promise.LOG: "no gap: versions and ordinals are dense",
    Promise.PATHS: "every step is legal, and leads to the record",
    Promise.COUNTERS: "the counters equal a recount of the log",
    Promise.INDEXES: "each record is found where its state belongs",
    Promise.COUNTS: "each count equals a full listing",
}


class CheckResult(StrEnum):
    """How a check ended."""

    OK = "ok"
    FAILED = "failed"
    #: It could not be made; the check says why.
    SKIPPED = "skipped"


@frozen(kw_only=True)
class Check:
    """One promise, and whether it holds."""

    name: Promise
    #: What was looked at: records, events, claims or counters.
    examined: int
    #: All that contradict the promise.
    fault_count: int
    #: The first 20 of them, each a sentence that names the record.
    faults: tuple[str, ...]
    #: Why it could not be made; None where it was.
    skipped: str | None = None

    @property
    def promise(self) -> str:
        """What is promised, in a sentence."""
        return PROMISES[self.name]

    @property
    def result(self) -> CheckResult:
        """Whether it holds; a fault that was found counts, whatever could not be looked at."""
        if self.fault_count:
            return CheckResult.FAILED
        return CheckResult.OK if self.skipped is None else CheckResult.SKIPPED


@frozen(kw_only=True)
class AuditReport:
    """The state of a store, checked against its own log."""

    #: On the store's clock (UTC), when the audit began.
    as_of: datetime
    #: Records of jobs; and how many are in each state.
    jobs: int
    jobs_by_state: Mapping[JobState, int] = field(factory=dict["JobState", int])
    #: Events in the log.
    events: int = 0
    #: Claims that the log tells of.
    attempts: int = 0
    #: Attempts that led to another one, releases left out.
    retries: int = 0
    releases: int = 0
    #: Leases that ran out because nobody renewed them.
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
    """What the checks found so far."""

    def __init__(self) -> None:
        """Begin with nothing examined."""
        self._examined: Counter[Promise] = Counter()
        self._faults: Counter[Promise] = Counter()
        self._told: dict[Promise, list[str]] = {name: [] for name in Promise}
        self._skipped: dict[Promise, str] = {}

    def examine(self, name: Promise, number: int = 1) -> None:
        """Count what was looked at."""
        self._examined[name] += number

    def fault(self, name: Promise, text: str) -> None:
        """Count a contradiction, and keep its description while there are few."""
        self._faults[name] += 1
        if len(self._told[name]) < TOLD_FAULTS:
            self._told[name].append(text)

    def require(self, name: Promise, holds: object, text: str) -> None:
        """Count a contradiction unless ``holds`` is true."""
        if not holds:
            self.fault(name, text)

    def skip(self, name: Promise, why: str) -> None:
        """Say why a check, or a part of it, could not be made."""
        self._skipped.setdefault(name, why)

    def checks(self) -> tuple[Check, ...]:
        """Return all checks, in their order."""
        return tuple(
            Check(
                name=name,
                examined=self._examined[name],
                fault_count=self._faults[name],
                faults=tuple(self._told[name]),
                skipped=self._skipped.get(name),
            )
            for name in Promise
        )
