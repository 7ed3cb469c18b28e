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
from cicd_core.errors import CorruptRecord, UnsupportedCapability
from cicd_core.ids import IdSource
from cicd_core.persistence.collections import BY_STATUS, COLLECTIONS, JOBS, job_statuses
from cicd_core.persistence.context import Context
from cicd_core.persistence.grants import load_job
from cicd_core.redaction import redacted_url
from cicd_core.store.records import Partition
from cicd_core.store.registry import StoreURL, open_store
from cicd_core.store.sqlite.location import locate
from cicd_core.testing.crash.draining import drain
from cicd_core.testing.crash.evidence import Evidence
from cicd_core.testing.crash.fork_server import errors_path
from cicd_core.testing.crash.journal import Ending, read_notes
from cicd_core.testing.crash.losses import early_ends, lost_effects, lost_jobs
from cicd_core.testing.crash.ownership import double_owners
from cicd_core.testing.crash.plan import SETTINGS, Mishap, fate_of
from cicd_core.testing.crash.recovery import recovery
from cicd_core.testing.crash.report import CrashReport, Faults
from cicd_core.testing.crash.storm import Storm
from cicd_core.testing.crash.worker_log import Witnesses

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable

    from cicd_core.store.records import Record
    from cicd_core.testing.crash.plan import Bomb, LabPlan
    from cicd_core.testing.crash.storm import StormReport


def run_lab(plan: LabPlan, tell: Callable[[str], None] = lambda _: None) -> CrashReport:
    """Let workers hammer a store and be killed, then check what they left behind.

    Args:
        plan: what is done; its folder must be there, its store must hold no job.
        tell: is given a line of progress now and then.

    Raises:
        UnsupportedCapability: the store lives in one process, or it is not empty; or the system
            has no such processes and signals.
        StoreError: the store can't be opened, or not be read when all is over.
    """
    if os.name != "posix":
        raise UnsupportedCapability("the lab forks, stops and kills processes as POSIX has it")
    anyio.run(_check_empty, plan)
    storm = Storm(plan, tell).run()
    tell("the storm is over; draining")
    return anyio.run(_examine, plan, storm, tell)


async def _check_empty(plan: LabPlan) -> None:
    if StoreURL.parse(plan.store).scheme == "memory":
        raise UnsupportedCapability(
            "memory:// lives in one process and dies with it: there is nothing that a kill of "
            "another process could break; give a store that several processes share"
        )
    async with _opened(plan) as plane:
        if (await plane.jobs.list(limit=1)).items:
            raise UnsupportedCapability(
                f"{redacted_url(plan.store)} holds jobs already, which nobody could tell from "
                f"those of the lab: give a new file, or a namespace of its own"
            )


async def _examine(plan: LabPlan, storm: StormReport, tell: Callable[[str], None]) -> CrashReport:
    async with _opened(plan) as plane:
        # At once: the jobs of those that were killed last wait for somebody to take them back.
        drained = await drain(plane, patience=plan.patience)
        tell("drained; reading what the workers wrote, and the whole store")
        witnesses = Witnesses.of(sorted(plan.folder.glob("*.jsonl")))
        offset = (await plane.store.now()).micros - boot_micros()
        evidence = await Evidence.of(plane)
        ended = set(witnesses.enqueued.values())
        tags = await _tags(plane, evidence.jobs)
        found = await audit(plane, ended=ended if drained else ())
    tell("the audit is done")
    owners = (fault for job_id in witnesses.jobs for fault in _owners(witnesses, job_id))
    return CrashReport(
        store=redacted_url(plan.store),
        seed=plan.seed,
        workers=plan.workers,
        seconds=storm.seconds,
        kills=storm.kills,
        points=_points(plan, storm),
        stops=storm.stops,
        mishaps=_mishaps(plan, storm),
        operations=witnesses.operations,
        refused=witnesses.calls[Ending.REFUSED],
        unknown=witnesses.calls[Ending.UNKNOWN],
        refused_stale=witnesses.refused_stale,
        enqueued=len(witnesses.enqueued),
        events=found.events,
        recovery=recovery(evidence, storm.deaths, offset),
        lost=Faults.of((*lost_jobs(witnesses, tags), *lost_effects(witnesses, evidence))),
        double_owned=Faults.of(owners),
        early=Faults.of(early_ends(witnesses, evidence)),
        unfounded=Faults.of((*witnesses.torn, *witnesses.unfounded(tags.values()))),
        broken=Faults.of((*witnesses.broken, *_strange_deaths(plan, storm), *_stall(plan, storm))),
        unfinished=Faults.of(() if drained else ("jobs were left that nobody could finish",)),
        integrity=Faults.of(_damage(plan)),
        audit=found,
    )


def _points(plan: LabPlan, storm: StormReport) -> dict[str, int]:
    """Return how many workers killed themselves at each point."""
    counts = Counter(f"{bomb.verb}: {bomb.point.value}" for bomb in _exploded(plan, storm))
    return dict(sorted(counts.items()))


def _exploded(plan: LabPlan, storm: StormReport) -> list[Bomb]:
    """Return the bombs of the workers that killed themselves."""
    bombs = (
        fate_of(plan, death.slot, death.generation).bomb
        for death in storm.deaths
        if death.was_killed and death.by_itself
    )
    return [bomb for bomb in bombs if bomb is not None]


def _owners(witnesses: Witnesses, job_id: str) -> Iterable[str]:
    return double_owners(job_id, witnesses.jobs[job_id])


async def _tags(plane: ControlPlane, known: Iterable[str]) -> dict[str, str]:
    """Return the tag of each job that is there: of those in a list, and of others in the log."""
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
    with suppress(CorruptRecord):  # the audit tells of it
        tags[record.key] = str(load_job(record).value.payload["tag"])


def _strange_deaths(plan: LabPlan, storm: StormReport) -> list[str]:
    strange = [death for death in storm.deaths if not death.was_killed]
    if not strange:
        return []
    words = errors_path(plan.folder).read_text(errors="replace").strip()[-2000:]
    names = ", ".join(f"{each.slot}.{each.generation} ({each.code})" for each in strange)
    return [f"workers ended by themselves: {names}: {words}"]


def _mishaps(plan: LabPlan, storm: StormReport) -> dict[str, int]:
    """Return how often each mishap happened."""
    notes = Counter(note for path in plan.folder.glob("*.jsonl") for note in read_notes(path))
    notes["fork at the kill"] = sum(bomb.forks for bomb in _exploded(plan, storm))
    return {name: notes[name] for name in (*Mishap, "fork at the kill")}


def _stall(plan: LabPlan, storm: StormReport) -> list[str]:
    if not storm.stalled:
        return []
    return [f"no call was acknowledged for {plan.patience:g} s, which ended the storm"]


def _damage(plan: LabPlan) -> list[str]:
    """Ask SQLite whether its file is whole; other stores have no such question."""
    url = StoreURL.parse(plan.store)
    if url.scheme != "sqlite":
        return []
    path = locate(url, namespace=None, synchronous=None, busy_timeout=None, log_retention=None).path
    return integrity_faults(path)


def integrity_faults(path: Any) -> list[str]:
    """Return what SQLite finds wrong with a file; nothing: it is whole."""
    with closing(sqlite3.connect(path)) as connection:
        try:
            rows = connection.execute("PRAGMA integrity_check").fetchall()
        except sqlite3.DatabaseError as broken:  # too broken to be checked
            return [str(broken)]
    return [str(text) for (text,) in rows if text != "ok"]


@asynccontextmanager
async def _opened(plan: LabPlan) -> AsyncGenerator[ControlPlane, None]:
    """Open the store itself, whatever stands between it and the workers."""
    async with open_store(plan.store, collections=COLLECTIONS) as store:
        yield ControlPlane(store, settings=SETTINGS)
