"""A run from beginning to end: the storm, the drain, the audit."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from contextlib import asynccontextmanager, closing, suppress
from typing import TYPE_CHECKING, Any

import anyio

from cicd_core.audit import audit
from cicd_core.audit.reading import read_partition, read_records
from cicd_core.clock import boot_micros
from cicd_core.control_plane.plane import ControlPlane
from cicd_core.entities import COLLECTIONS
from cicd_core.errors import CorruptRecord, UnsupportedCapability
from cicd_core.ids import IdSource
from cicd_core.persistence.collections import BY_STATUS, JOBS, job_statuses
from cicd_core.persistence.context import Context
from cicd_core.persistence.grants import load_job
from cicd_core.redaction import redacted_url
from cicd_core.store.records import Partition
from cicd_core.store.registry import StoreURL, open_store
from cicd_core.store.sqlite.location import locate
from cicd_core.testing.crash.draining import drain
from cicd_core.testing.crash.plan import SETTINGS, fate_of
from cicd_core.testing.crash.recovery import recovery
from cicd_core.testing.crash.report import CrashReport, Faults
from cicd_core.testing.crash.storm import Storm
from cicd_core.testing.job_oracle.losses import lost_jobs
from cicd_core.testing.job_oracle.oracle import JobOracle
from cicd_core.testing.recording.journal import read
from cicd_core.testing.recording.service_calls import Ending
from cicd_core.testing.workers.fork_server import errors_path
from cicd_core.values import evolve

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable

    from cicd_core.store.records import Record
    from cicd_core.testing.crash.plan import LabPlan
    from cicd_core.testing.crash.storm import StormReport
    from cicd_core.testing.job_oracle.answers import Answers
    from cicd_core.testing.workers.orders import KillPoint


def run_lab(plan: LabPlan, tell: Callable[[str], None] = lambda _: None) -> CrashReport:
    """Let workers load a store and be killed, then check the store.

    Args:
        plan: the plan; its folder must exist, its store must have no jobs.
        tell: called with a line of progress at intervals.

    Raises:
        UnsupportedCapability: the store lives in one process, or it is not empty; or the system
            has no POSIX processes and signals.
        StoreError: the store cannot be opened, or cannot be read at the end.
    """
    if os.name != "posix":
        raise UnsupportedCapability("the lab needs POSIX: it forks, stops and kills processes")
    plan = anyio.run(_prepared, plan)
    storm = Storm(plan, tell).run()
    tell("the storm is over; draining")
    return anyio.run(_examine, plan, storm, tell)


async def _prepared(plan: LabPlan) -> LabPlan:
    """Return the plan with values from the store, which must be empty."""
    if StoreURL.parse(plan.store).scheme == "memory":
        raise UnsupportedCapability(
            "memory:// lives in one process and ends with it, so killing other processes cannot "
            "break it: give a store that several processes share"
        )
    async with _opened(plan) as plane:
        if (await plane.jobs.list(limit=1)).items:
            raise UnsupportedCapability(
                f"{redacted_url(plan.store)} has jobs already, which the lab cannot distinguish "
                f"from its own: give a new file, or a new namespace"
            )
        if plan.remote is None:
            return plan
        return evolve(plan, remote=evolve(plan.remote, clock_offset=await _clock_offset(plane)))


async def _clock_offset(plane: ControlPlane) -> int:
    """Return the store's steady clock minus the time since the machine started (µs)."""
    return int((await plane.store.now()).micros - boot_micros())


async def _examine(plan: LabPlan, storm: StormReport, tell: Callable[[str], None]) -> CrashReport:
    async with _opened(plan) as plane:
        # At once: the jobs of the last killed workers wait to be requeued.
        drained = await drain(plane, patience=plan.patience)
        tell("drained; reading the workers' journals and the whole store")
        oracle = JobOracle()
        for path in sorted(plan.folder.glob("*.jsonl")):
            for operation in read(path):
                oracle.add(operation)
        offset = await _clock_offset(plane)
        await oracle.logged.read(plane)
        answers = oracle.answers
        ended = set(answers.enqueued.values())
        tags = await _tags(plane, oracle.logged.jobs)
        found = await audit(plane, ended=ended if drained else ())
    tell("the audit is done")
    return CrashReport(
        store=redacted_url(plan.store),
        seed=plan.seed,
        workers=plan.workers,
        seconds=storm.seconds,
        kills=storm.kills,
        points=_points(plan, storm),
        stops=storm.stops,
        mishaps=_mishaps(plan, storm, answers),
        operations=answers.operations,
        refused=answers.calls[Ending.REFUSED],
        unknown=answers.calls[Ending.UNKNOWN],
        refused_stale=answers.refused_stale,
        enqueued=len(answers.enqueued),
        events=found.events,
        recovery=recovery(oracle.logged, storm.deaths, offset),
        lost=Faults.of((*lost_jobs(answers, tags), *oracle.lost())),
        double_owned=Faults.of(oracle.double_owned()),
        early=Faults.of(oracle.early()),
        unfounded=Faults.of((*answers.ambiguous, *answers.unfounded(tags.values()))),
        broken=Faults.of((*answers.broken, *_strange_deaths(plan, storm), *_stall(plan, storm))),
        unfinished=Faults.of(() if drained else ("some jobs could not be finished",)),
        integrity=Faults.of(_damage(plan)),
        audit=found,
    )


def _points(plan: LabPlan, storm: StormReport) -> dict[str, int]:
    """Return how many workers killed themselves at each point."""
    counts = Counter(
        f"{kill_point.verb}: {kill_point.point.value}" for kill_point in _reached(plan, storm)
    )
    return dict(sorted(counts.items()))


def _reached(plan: LabPlan, storm: StormReport) -> list[KillPoint]:
    """Return the points of the workers that killed themselves."""
    kill_points = (
        fate_of(plan, death.slot, death.generation).kill_point
        for death in storm.deaths
        if death.was_killed and death.by_itself
    )
    return [kill_point for kill_point in kill_points if kill_point is not None]


async def _tags(plane: ControlPlane, known: Iterable[str]) -> dict[str, str]:
    """Return the tag of each existing job: of the listed ones, and of others in the log."""
    context = Context(plane.store, IdSource(), plane.settings)
    tags: dict[str, str] = {}
    for status in job_statuses():
        async for record in read_partition(context, Partition(JOBS.name, BY_STATUS, status)):
            _note_tag(record, tags)
    missing = [job_id for job_id in known if job_id not in tags]
    for record in (await read_records(context, JOBS.name, missing)).values():
        _note_tag(record, tags)
    return tags


def _note_tag(record: Record, tags: dict[str, str]) -> None:
    with suppress(CorruptRecord):  # the audit reports it
        tags[record.key] = str(load_job(record).value.payload["tag"])


def _strange_deaths(plan: LabPlan, storm: StormReport) -> list[str]:
    strange = [death for death in storm.deaths if not death.was_killed]
    if not strange:
        return []
    words = errors_path(plan.folder).read_text(errors="replace").strip()[-2000:]
    names = ", ".join(f"{item.slot}.{item.generation} ({item.code})" for item in strange)
    return [f"workers ended by themselves: {names}: {words}"]


def _mishaps(plan: LabPlan, storm: StormReport, answers: Answers) -> dict[str, int]:
    """Return how often each mishap happened."""
    forks = sum(kill_point.forks for kill_point in _reached(plan, storm))
    return {name: answers.mishaps[name] for name in plan.mishaps} | {"fork at the kill": forks}


def _stall(plan: LabPlan, storm: StormReport) -> list[str]:
    if not storm.stalled:
        return []
    return [f"no call was acknowledged for {plan.patience:g} s, which ended the storm"]


def _damage(plan: LabPlan) -> list[str]:
    """Run SQLite's integrity check; other stores have none."""
    url = StoreURL.parse(plan.store)
    if url.scheme != "sqlite":
        return []
    path = locate(url, namespace=None, synchronous=None, busy_timeout=None, log_retention=None).path
    return integrity_faults(path)


def integrity_faults(path: Any) -> list[str]:
    """Return the faults that SQLite finds in a file; none: it is intact."""
    with closing(sqlite3.connect(path)) as connection:
        try:
            rows = connection.execute("PRAGMA integrity_check").fetchall()
        except sqlite3.DatabaseError as broken:  # too broken to be checked
            return [str(broken)]
    return [str(text) for (text,) in rows if text != "ok"]


@asynccontextmanager
async def _opened(plan: LabPlan) -> AsyncGenerator[ControlPlane, None]:
    """Open the store directly, without the layers that the workers use."""
    async with open_store(plan.store, collections=COLLECTIONS) as store:
        yield ControlPlane(store, settings=SETTINGS)
