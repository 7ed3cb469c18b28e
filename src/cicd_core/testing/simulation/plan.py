"""The plan of a simulation: its size, its faults, its machines and its kinds of work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from attrs import field

from cicd_core.errors import InvalidInput
from cicd_core.model.checks import check_integer, check_number
from cicd_core.model.job import Delivery
from cicd_core.queueing.lanes import Lane, serves
from cicd_core.testing.seeds import drawn
from cicd_core.values import frozen

if TYPE_CHECKING:
    from random import Random  # noqa: TID251 - the caller's, seeded

HOUR: Final = 3600.0
DAY: Final = 24 * HOUR


@frozen
class Machine:
    """A kind of agent."""

    pool_name: str
    labels: tuple[str, ...]
    #: None: it takes every type.
    job_types: tuple[str, ...] | None
    slots: int
    #: The share of all agents, 0 to 1.
    share: float

    def serves(self, lane: Lane) -> bool:
        """Return whether such an agent may run the jobs of the lane."""
        return lane.pool_name == self.pool_name and serves(lane, self.labels, self.job_types)


@frozen
class Work:
    """A kind of job."""

    lane: Lane
    #: The share of all jobs, 0 to 1.
    share: float
    #: The median duration of an attempt, in seconds, and the spread of its logarithm.
    median_seconds: float
    spread: float
    delivery: Delivery = Delivery.AT_LEAST_ONCE


MACHINES: Final = (
    Machine("build", ("linux",), None, 2, 0.6),
    Machine("build", ("arm", "linux"), ("build", "test"), 2, 0.2),
    Machine("gpu", ("gpu", "linux"), None, 1, 0.1),
    Machine("deploy", (), ("deploy",), 1, 0.1),
)
WORKS: Final = (
    Work(Lane("build", "build", ("linux",)), 0.45, 180.0, 0.6),
    Work(Lane("build", "test", ("linux",)), 0.3, 300.0, 0.8),
    Work(Lane("build", "build", ("arm", "linux")), 0.08, 240.0, 0.6),
    Work(Lane("build", "lint"), 0.06, 40.0, 0.4),
    Work(Lane("gpu", "train", ("gpu",)), 0.04, 700.0, 0.9),
    Work(Lane("deploy", "deploy"), 0.07, 90.0, 0.5, Delivery.AT_MOST_ONCE),
)
POOLS: Final = tuple(dict.fromkeys(machine.pool_name for machine in MACHINES))


@frozen(kw_only=True)
class SimulationPlan:
    """A simulation: the same plan gives the same numbers, on every machine.

    Raises:
        InvalidInput: a number is out of its range; the error names the field.
    """

    seed: int = 0
    #: At least one of each kind of machine.
    agents: int = 100
    #: Days of traffic; the remaining queue is then processed without further faults.
    days: float = 1.0
    #: The average over the day; the rate varies with the time of day and with bursts.
    jobs_per_hour: float = 600.0
    #: Crashes of an agent per hour; it comes back ten minutes later, on average.
    crash_rate: float = 0.02
    #: Stalls of an agent per hour, mostly longer than its leases.
    stall_rate: float = 0.02
    #: Share of calls whose reply is lost, so that the caller repeats them, 0 to 1.
    lost_replies: float = 0.02
    #: Share of jobs that are cancelled, 0 to 1.
    cancels: float = 0.02
    #: Share of attempts that never end by themselves, 0 to 1.
    hangs: float = 0.001
    #: Share of claims whose agent cannot start the work and releases the jobs, 0 to 1.
    setup_failures: float = 0.01
    #: How often per hour the wall clock of the store's machine is set wrong, or right again.
    clock_steps: float = 0.0
    #: How often per hour the list of a pool's lanes is lost, as in a failover or a restore, and
    #: the control plane starts again.
    lane_losses: float = 0.0
    #: The largest relative error of an agent's clock rate, 0 to 0.5.
    drift: float = 0.05
    #: Start and drain agents by the scaling signal; ``agents`` is the maximum.
    autoscale: bool = False
    #: Stop after this number of steps, to inspect the step that broke a promise.
    steps: int | None = None
    #: Seconds.
    lease_seconds: float = 120.0
    heartbeat_timeout_seconds: float = 1800.0
    sweep_seconds: float = 20.0
    sample_seconds: float = field(default=600.0)

    def __attrs_post_init__(self) -> None:
        """Check every number."""
        check_integer("seed", self.seed, least=0, most=2**63)
        check_integer("agents", self.agents, least=len(MACHINES), most=100_000)
        check_number("days", self.days, least=0.001, most=60)
        check_number("jobs_per_hour", self.jobs_per_hour, least=1, most=1_000_000)
        for name in ("crash_rate", "stall_rate", "clock_steps", "lane_losses"):
            check_number(name, getattr(self, name), least=0, most=60)
        for name in ("lost_replies", "cancels", "hangs", "setup_failures"):
            check_number(name, getattr(self, name), least=0, most=1)
        check_number("drift", self.drift, least=0, most=0.5)
        for name in (
            "lease_seconds",
            "heartbeat_timeout_seconds",
            "sweep_seconds",
            "sample_seconds",
        ):
            check_number(name, getattr(self, name), least=1, most=DAY)
        if self.steps is not None and self.steps < 1:
            raise InvalidInput("steps", self.steps, "give at least 1, or None for all of them")

    @property
    def seconds(self) -> float:
        """The duration of the traffic, in seconds."""
        return self.days * DAY

    def drawn(self, *words: object) -> Random:
        """Return the random numbers of one part, which do not depend on other parts."""
        return drawn(self.seed, *words)

    def machines(self) -> list[Machine]:
        """Return the kind of each agent: all kinds by their shares, at least one of each."""
        counts = [max(1, int(self.agents * machine.share)) for machine in MACHINES]
        counts[0] = max(1, self.agents - sum(counts[1:]))
        return [
            machine for machine, number in zip(MACHINES, counts, strict=True) for _ in range(number)
        ]
