"""The report of a simulation: whether all promises were kept, and statistics."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - the shape of the report, for its readers
from typing import Any, Final

from attrs import asdict

from cicd_core.model.job import Priority  # noqa: TC001 - as above
from cicd_core.testing.simulation.measuring import Sample, Waits  # noqa: TC001 - as above
from cicd_core.testing.simulation.plan import SimulationPlan  # noqa: TC001 - as above
from cicd_core.values import frozen

#: The numbers of a plan that the command takes.
OPTIONS: Final = (
    "seed",
    "agents",
    "days",
    "jobs_per_hour",
    "crash_rate",
    "stall_rate",
    "clock_steps",
    "lane_losses",
    "lost_replies",
    "cancels",
    "hangs",
    "setup_failures",
)


@frozen(kw_only=True)
class Violation:
    """A promise that was broken."""

    #: Its name; names of the audit start with ``audit:``.
    invariant: str
    #: The step after which it was found.
    step: int
    #: The violation, in a sentence.
    text: str


@frozen(kw_only=True)
class SimulationReport:
    """The result of a simulation, which ended at its end or at the first broken promise."""

    plan: SimulationPlan
    steps: int
    #: Virtual seconds from the first step to the last, including the end of the remaining work.
    seconds: float
    violations: tuple[Violation, ...]
    #: How often each invariant was checked.
    checked: Mapping[str, int]
    #: How many events and records the audit looked at.
    audited: int
    waits: Mapping[Priority, Waits]
    #: The share of the slots in use during the traffic, 0 to 1.
    utilisation: float
    samples: tuple[Sample, ...]
    #: The counts of events by name (enqueued, success, retries, dead_lettered, crashes, …).
    tally: Mapping[str, int]

    @property
    def ok(self) -> bool:
        """Whether every promise held."""
        return not self.violations

    @property
    def replay(self) -> str:
        """The command that reaches the same step again."""
        plan = self.plan
        given = [f"--{name.replace('_', '-')} {getattr(plan, name)}" for name in OPTIONS]
        given += ["--autoscale"] if plan.autoscale else []
        step = min((item.step for item in self.violations), default=self.steps)
        given.append(f"--steps {step}")
        return f"python -m cicd_core.testing.simulate {' '.join(given)}"

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain values; the same plan gives the same values."""
        return {
            "ok": self.ok,
            "plan": asdict(self.plan),
            "steps": self.steps,
            "virtual_seconds": self.seconds,
            "violations": [asdict(violation) for violation in self.violations],
            "replay": self.replay,
            "checked": dict(self.checked),
            "audited": self.audited,
            "waits": {item.name.lower(): asdict(found) for item, found in self.waits.items()},
            "utilisation": self.utilisation,
            "tally": dict(self.tally),
            "samples": [asdict(sample) for sample in self.samples],
        }
