"""The report of a run of the lab."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from attrs import define, field

from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cicd_core.audit import AuditReport
    from cicd_core.testing.crash.recovery import Recovery

#: The most faults of a kind that are described; all of them are counted.
_DESCRIBED: Final = 10


@define
class Faults:
    """Contradictions of one kind."""

    number: int = 0
    details: list[str] = field(factory=list[str])

    def add(self, text: str) -> None:
        """Count a fault, and keep its description while there are few."""
        self.number += 1
        if len(self.details) < _DESCRIBED:
            self.details.append(text)

    @classmethod
    def of(cls, texts: Iterable[str]) -> Faults:
        """Count all faults."""
        faults = cls()
        for text in texts:
            faults.add(text)
        return faults


@frozen(kw_only=True)
class CrashReport:
    """The statistics of a run, and all violations of the promises."""

    store: str
    seed: int
    workers: int
    seconds: float
    #: Workers that were killed by SIGKILL.
    kills: int
    #: How many of them killed themselves at each chosen point, by verb and point.
    points: Mapping[str, int]
    #: Workers that were stopped until their leases had expired, and continued.
    stops: int
    #: The number of each other mishap: a forked child, a lost list of lanes.
    mishaps: Mapping[str, int]
    #: Calls that were acknowledged, that were refused, and with an unknown outcome.
    operations: int
    refused: int
    unknown: int
    #: Refused calls of workers that had lost the job.
    refused_stale: int
    enqueued: int
    events: int
    #: From the kill of a job's holder until the queue had the job again.
    recovery: Recovery
    #: Acknowledged writes that are missing (I11).
    lost: Faults
    #: Two owners, or two final verdicts (I8, I10, I11).
    double_owned: Faults
    #: Leases that were taken away before their time (I4).
    early: Faults
    #: Jobs without a request, or that exist twice (I6).
    unfounded: Faults
    #: Unexpected errors, and workers that ended without a kill.
    broken: Faults
    #: Jobs that never ended (I9).
    unfinished: Faults
    #: The result of the store's own integrity check.
    integrity: Faults
    #: The audit of the whole store (I8 to I12).
    audit: AuditReport

    @property
    def chosen_kills(self) -> int:
        """How many workers killed themselves at a chosen point."""
        return sum(self.points.values())

    @property
    def violations(self) -> dict[str, Faults]:
        """The violations that were found, by name."""
        named = {
            "lost": self.lost,
            "double owned": self.double_owned,
            "early": self.early,
            "unfounded": self.unfounded,
            "broken": self.broken,
            "unfinished": self.unfinished,
            "integrity": self.integrity,
        }
        for check in self.audit.checks:
            named[f"audit: {check.name.value}"] = Faults(check.fault_count, list(check.faults))
        return {name: faults for name, faults in named.items() if faults.number}

    @property
    def ok(self) -> bool:
        """Whether no promise is violated."""
        return not self.violations

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        skipped = {check.name.value: check.skipped for check in self.audit.checks if check.skipped}
        return {
            "store": self.store,
            "seed": self.seed,
            "workers": self.workers,
            "seconds": round(self.seconds, 1),
            "kills": self.kills,
            "chosen_kills": self.chosen_kills,
            "points": dict(self.points),
            "stops": self.stops,
            "mishaps": dict(self.mishaps),
            "operations": self.operations,
            "refused": self.refused,
            "unknown": self.unknown,
            "refused_stale": self.refused_stale,
            "enqueued": self.enqueued,
            "events": self.events,
            "lost": self.lost.number,
            "double_owned": self.double_owned.number,
            "recovered": self.recovery.jobs,
            "recovery_p50_seconds": self.recovery.median,
            "recovery_max_seconds": self.recovery.longest,
            "jobs": {state.value: number for state, number in self.audit.jobs_by_state.items()},
            "not_checked": skipped,
            "violations": {
                name: {"number": faults.number, "first": faults.details}
                for name, faults in self.violations.items()
            },
            "ok": self.ok,
        }

    def as_text(self) -> str:
        """Return the report for people."""
        run = f"seed {self.seed}, {self.workers} workers, {self.seconds:.0f} s"
        unheard = f"{self.refused} refused, {self.unknown} with an unknown outcome"
        lines = [
            f"store          {self.store}, {run}",
            f"kills          {self.kills} by SIGKILL, {self.chosen_kills} at a chosen point",
            f"stops          {self.stops} workers stopped past their leases",
            f"mishaps        {_counted(self.mishaps)}",
            f"operations     {self.operations} acknowledged, {unheard}",
            f"enqueued       {self.enqueued} jobs acknowledged, {self.events} events in the log",
            f"lost           {self.lost.number}",
            f"double-owned   {self.double_owned.number}",
            f"stale calls    {self.refused_stale} refused",
            f"recovery       {_shown(self.recovery)}",
        ]
        lines += [
            f"not checked    {check.name.value}: {check.skipped}"
            for check in self.audit.checks
            if check.skipped is not None
        ]
        for name, faults in self.violations.items():
            lines.append(f"VIOLATION      {name}: {faults.number}")
            lines += [f"               {text}" for text in faults.details]
        lines.append("every check holds" if self.ok else "FAILED")
        return "\n".join(lines)


def _counted(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in numbers.items())


def _shown(found: Recovery) -> str:
    if found.median is None or found.longest is None:
        return "no job had to be requeued"
    return f"{found.jobs} jobs, p50 {found.median:.2f} s, max {found.longest:.2f} s"
