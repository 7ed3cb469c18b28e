"""Estimates the bill of a month: the operations of a fleet, times their consumption. Pure."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final

from attrs import field

from cicd_core.control_plane.lane_tending import LISTS, TENDING_SECONDS
from cicd_core.control_plane.leadership import RENEWALS, leadership_of
from cicd_core.control_plane.timers import LONG_REST, OVERLAP
from cicd_core.errors import InvalidInput
from cicd_core.model.checks import check_integer, check_seconds
from cicd_core.model.instants import SECOND
from cicd_core.values import frozen
from cicd_core_dynamodb import costs
from cicd_core_dynamodb.costs import AGENT_LIFECYCLE, BY_NAME, MONTH, PRICES, Units
from cicd_core_dynamodb.location import SHARDS
from cicd_core_dynamodb.log_leader import EVERY
from cicd_core_dynamodb.log_times import KEPT, RIPE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cicd_core_dynamodb.costs import Prices

_GIGABYTE: Final = 1e9
_DAY: Final = 86400.0
#: How long (s) an agent's claim waits for work: the default of the agent.
_CLAIM_WAIT: Final = 20.0
#: How often a lease is renewed while it lasts.
_RENEWALS: Final = 3
#: The bytes that one read unit covers in a consistent read.
_READ_BYTES: Final = 4096
#: The largest number of jobs a month, agents and so on.
_MOST: Final = 10**12


@frozen(kw_only=True)
class BilledWorkload:
    """The work and the settings of a fleet in a month; durations are seconds unless named.

    Raises:
        InvalidInput: a number is out of its range; the error names it.
    """

    #: Jobs a month, how many minutes each runs, and how many of each hundred are retried.
    jobs: float = 1_000_000
    minutes: float = 3.0
    retried: float = 2.0
    #: Agents that always run, each in its own process.
    agents: int = 100
    #: Pools, and how many lanes an agent serves.
    pools: int = 1
    lanes: int = 1
    #: Processes that run maintenance, of which one sweeps; processes that follow the log.
    sweepers: int = 2
    followers: int = 0
    #: The settings of the same names.
    shards: int = SHARDS
    log: bool = True
    claim_marks: bool = True
    poll_seconds: float = 2.0
    lane_refresh_seconds: float = 5.0
    heartbeat_interval_seconds: float = 10.0
    lease_seconds: float = 30.0
    sweep_seconds: float = 1.0
    #: How many days an ended job and an event are kept.
    job_days: float = 90.0
    log_days: float = 30.0

    def __attrs_post_init__(self) -> None:
        """Check each number."""
        for name in ("agents", "pools", "lanes", "sweepers", "followers"):
            check_integer(name, getattr(self, name), least=0, most=_MOST)
        check_integer("shards", self.shards, least=1, most=128)
        for name in ("jobs", "minutes", "retried", "job_days", "log_days"):
            if not 0 <= getattr(self, name) <= _MOST:  # in this form, it refuses NaN too
                reason = f"give a number from 0 to {float(_MOST):g}"
                raise InvalidInput(name, getattr(self, name), reason)
        for name in (
            "poll_seconds",
            "lane_refresh_seconds",
            "heartbeat_interval_seconds",
            "lease_seconds",
            "sweep_seconds",
        ):
            check_seconds(name, getattr(self, name), least=0.01, most=_DAY)

    @property
    def heartbeat_timeout(self) -> float:
        """After how many seconds without a heartbeat an agent is offline: three intervals."""
        return self.heartbeat_interval_seconds * _RENEWALS

    @property
    def busy_agents(self) -> float:
        """How many agents work, on average, if each does one job at a time."""
        return min(self.agents, self.jobs * self.minutes * 60 / MONTH)


@frozen(kw_only=True)
class Line:
    """One line of the bill."""

    name: str
    #: Its purpose, in a few words.
    description: str
    units: Units = field(factory=Units)
    gigabytes: float = 0.0
    dollars: float


@frozen(kw_only=True)
class Bill:
    """The cost of a month, the most expensive lines first."""

    workload: BilledWorkload
    prices: Prices
    lines: tuple[Line, ...]

    @property
    def dollars(self) -> float:
        """The total."""
        return sum(line.dollars for line in self.lines)

    @property
    def dollars_a_job(self) -> float:
        """The total per job."""
        return self.dollars / self.workload.jobs if self.workload.jobs else 0.0


def bill_of(workload: BilledWorkload, prices: Prices = PRICES) -> Bill:
    """Return the bill of a month in the long run, when as many records expire as are created."""
    consumed = (
        Line(name=name, description=description, units=units, dollars=prices.of(units))
        for name, description, units in _consumed(workload)
    )
    lines = [*consumed, *_stored(workload, prices)]
    shown = [line for line in lines if line.dollars > 0]
    shown.sort(key=lambda line: -line.dollars)
    return Bill(workload=workload, prices=prices, lines=tuple(shown))


def _consumed(of: BilledWorkload) -> Iterable[tuple[str, str, Units]]:
    jobs = of.jobs
    bare = costs.lifecycle(AGENT_LIFECYCLE, shards=of.shards * of.lanes, log=False, marks=False)
    yield "jobs", "enqueue, claim and start, complete", bare.times(jobs)
    yield "retries", "retry, wait, claim again", _retry(of).times(jobs * of.retried / 100)
    if of.claim_marks:
        yield "claim marks", "make a repeated claim recognizable", Units(writes=jobs)
    if of.log:
        yield "log", "events and counters, written and copied", _log(of).times(jobs)
        yield "log's readers", "followers, and the process that updates it", _read_log(of)
    renewals = of.minutes * 60 / (of.lease_seconds / _RENEWALS)
    yield "lease renewals", "of running jobs", BY_NAME["renew"].records.times(jobs * renewals)
    beats = of.agents * MONTH / of.heartbeat_interval_seconds
    yield "heartbeats", "of agents", BY_NAME["heartbeat"].records.times(beats)
    idle = max(0.0, of.agents - of.busy_agents)
    yield "idle polling", "agents waiting for work", _waiting(of).times(idle * MONTH)
    if of.sweepers:
        yield "maintenance", "one process sweeps, the others check its lease", _maintenance(of)


def _retry(of: BilledWorkload) -> Units:
    retry, ready = BY_NAME["retry"].records, BY_NAME["sweep that makes a job ready"].records
    claim = BY_NAME["claim and start"].total(shards=of.shards * of.lanes, log=False, marks=False)
    return retry + ready + claim


def _log(of: BilledWorkload) -> Units:
    units = Units()
    for name in AGENT_LIFECYCLE:
        units += BY_NAME[name].log
    again = (BY_NAME["retry"].log + BY_NAME["sweep that makes a job ready"].log).times(of.retried)
    return units + again.times(0.01) + costs.COPYING


def _read_log(of: BilledWorkload) -> Units:
    """Return the consumption of the processes that look at the log.

    A process that writes asks once a minute whether it is its turn, and one of them looks. An agent
    commits when a job ends. As many processes enqueue jobs as run maintenance, by assumption.
    """
    most = MONTH / EVERY
    asked = min(of.sweepers * most, of.jobs) + min(of.agents * most, of.jobs)
    turns = min(most, asked)
    again = 2 * RIPE / SECOND * of.jobs / MONTH * costs.JOURNAL_BYTES / _READ_BYTES
    return (
        costs.TURN_ASKED.times(asked)
        + (costs.TURN_TAKEN + costs.TENDING + Units(reads=again)).times(turns)
        + (costs.LOG_LOOK + Units(reads=again)).times(of.followers * MONTH)
    )


def _waiting(of: BilledWorkload) -> Units:
    """Return the consumption per second of an agent without work.

    A waiting claim polls every ``poll_seconds``, at its start and at its end. It claims at its
    start, and again with a fresh read of the lanes once in ``lane_refresh_seconds``, at the latest
    at its end.
    """
    pause = min(of.lane_refresh_seconds, _CLAIM_WAIT)
    pauses = ceil(_CLAIM_WAIT / pause)
    looks = pauses * (1 + ceil(pause / of.poll_seconds))
    look = 0.5 * of.lanes * of.shards + 0.5
    claim = BY_NAME["claim, nothing there"].total(
        shards=of.shards * of.lanes, log=False, marks=of.claim_marks
    )
    own_record = 1.0 / of.lane_refresh_seconds
    return Units(reads=((pauses + 1) * claim.reads + looks * look) / _CLAIM_WAIT + own_record)


def _maintenance(of: BilledWorkload) -> Units:
    """Return the consumption of maintenance: of the sweeping process, and of those on standby."""
    sweep = BY_NAME["sweep, nothing due"].total(shards=of.shards, log=False, marks=False)
    tending = Units(reads=0.5 + of.shards + 0.5 * min(of.pools, LISTS))
    return (
        sweep.times(MONTH / of.sweep_seconds)
        + tending.times(MONTH / TENDING_SECONDS)
        + _election(of)
        + _looks(of)
    )


def _election(of: BilledWorkload) -> Units:
    """Return the consumption of the election: the leader's renewals, and the others' reads.

    They read when the lease would have ended, or up to the length of a lease later.
    """
    lasts = leadership_of(of.lease_seconds, of.heartbeat_timeout)
    renewals = MONTH * RENEWALS / lasts
    pause = lasts * (1.5 - 0.5 / RENEWALS)
    return Units(writes=renewals, reads=(of.sweepers - 1) * MONTH / pause)


def _looks(of: BilledWorkload) -> Units:
    """Return the reads for agents with heartbeats, and for jobs longer than their first lease.

    Each record is read by its key after the rest of its lease, and with its timer once a minute.
    Each sweep also reads a job for some seconds after its first lease has ended.
    """
    held = of.busy_agents * (1 - min(1.0, of.lease_seconds / (of.minutes * 60 or 1.0)))
    by_key = of.agents / _left(of.heartbeat_timeout, of.heartbeat_interval_seconds)
    by_key += held / _left(of.lease_seconds, of.lease_seconds / _RENEWALS)
    in_pages = (of.agents + held) * SECOND / LONG_REST
    long_jobs = of.jobs if of.minutes * 60 > of.lease_seconds else 0.0
    shown = long_jobs * (1 + OVERLAP / SECOND / of.sweep_seconds)
    return Units(reads=(by_key + 0.5 * in_pages) * MONTH + 0.5 * shown)


def _left(lasts: float, renewed: float) -> float:
    """Return how many seconds of a lease are left on average; ``renewed`` is its interval."""
    return lasts - renewed / 2


def _stored(of: BilledWorkload, prices: Prices) -> Iterable[Line]:
    a_month = of.jobs / (MONTH / _DAY)
    days = of.job_days + KEPT / _DAY
    records = a_month * days * costs.JOB_BYTES / _GIGABYTE
    indexes = a_month * days * costs.JOB_INDEX_BYTES / _GIGABYTE
    # Items of the journal and the log stay for a while after their events have left the log.
    log = a_month * (of.log_days + KEPT / _DAY) * costs.LOG_BYTES / _GIGABYTE if of.log else 0.0
    kept = records + indexes + log
    yield Line(
        name="storage",
        description="jobs, their indexes and the log",
        gigabytes=kept,
        dollars=kept * prices.storage,
    )
    backed_up = records + log
    yield Line(
        name="continuous backups",
        description="point-in-time recovery of the tables",
        gigabytes=backed_up,
        dollars=backed_up * prices.recovery,
    )
