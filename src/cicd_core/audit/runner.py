"""The audit: compares the records with the log."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from cicd_core.audit.counter_check import Recount
from cicd_core.audit.history_check import Trails
from cicd_core.audit.reading import (
    LogReader,
    check_counts,
    partitions_of,
    read_partition,
    read_records,
)
from cicd_core.audit.record_summary import Known, check_indexes, check_job, known_job
from cicd_core.audit.report import AuditReport, Findings, Promise
from cicd_core.audit.transition_check import FINAL
from cicd_core.entities import MAPPINGS
from cicd_core.errors import CicdError
from cicd_core.ids import IdSource
from cicd_core.model.instants import from_micros
from cicd_core.model.job import JobState
from cicd_core.persistence.collections import (
    JOBS,
)
from cicd_core.persistence.context import Context
from cicd_core.store.counter_days import first_kept_day
from cicd_core.store.records import Partition, StoreTime

if TYPE_CHECKING:
    from collections.abc import Collection as AnyCollection

    from cicd_core.audit.history import Trail
    from cicd_core.control_plane.plane import ControlPlane
    from cicd_core.persistence.mapping import EntityMapping
    from cicd_core.store.records import Record, Subject

#: The entities whose records are all in indexes.
_AUDITED: Final = tuple(mapping for mapping in MAPPINGS if mapping.lists)

_AT_REST: Final = FINAL | {JobState.DEAD_LETTERED.value}


async def audit(plane: ControlPlane, *, ended: AnyCollection[str] = ()) -> AuditReport:
    """Check a store against its own log; writes nothing.

    It may run while others work: it tells changes in the meantime from faults. It reads every
    record and every event, and keeps a few hundred bytes per entity in memory.

    Args:
        plane: the control plane of the store to check.
        ended: ids of jobs that must exist, with a final verdict or as dead letters.

    Raises:
        StoreError: the store cannot be read.
    """
    return await _Audit(plane).run(ended)


class _Audit:
    """A running audit."""

    def __init__(self, plane: ControlPlane) -> None:
        settings = plane.settings
        self._context = Context(plane.store, IdSource(), settings)
        self._retention = {
            mapping.collection.name: mapping.retention(settings)
            for mapping in _AUDITED
            if mapping.retention is not None
        }
        self._findings = Findings()
        self._known: dict[Subject, Known] = {}
        self._unreadable: set[Subject] = set()
        self._listed: Counter[Partition] = Counter()

    async def run(self, ended: AnyCollection[str]) -> AuditReport:
        """Read the records, then the log, then compare: the log is never behind the records."""
        began = await self._context.store.now()
        for mapping in _AUDITED:
            await self._read_records(mapping)
        trails = await self._read_log()
        await self._check_without_record(trails.without_record(), began)
        self._check_ended(ended)
        await check_counts(self._context, self._listed, self._findings)
        states = Counter(
            JobState(known.state)
            for (collection, _), known in self._known.items()
            if collection == JOBS.name and known.state is not None
        )
        return AuditReport(
            as_of=from_micros(began.calendar),
            jobs=states.total(),
            jobs_by_state=dict(states),
            checks=self._findings.checks(),
            **trails.tallies,
        )

    async def _read_records(self, mapping: EntityMapping[Any]) -> None:
        for partition in mapping.lists:
            self._listed[partition] += 0  # an empty partition must be checked too
            async for record in read_partition(self._context, partition):
                subject = (mapping.collection.name, record.key)
                known = self._known.get(subject)
                # A record that moved during the reads is in two lists.
                if subject not in self._unreadable and (
                    known is None or known.version < record.version
                ):
                    self._read_record(mapping, record)

    def _read_record(self, mapping: EntityMapping[Any], record: Record) -> None:
        findings, subject = self._findings, (mapping.collection.name, record.key)
        findings.examine(Promise.READABLE)
        self._listed.update(partitions_of(record, mapping.collection))
        try:
            loaded = mapping.load(record)
        except CicdError as broken:
            findings.fault(Promise.READABLE, str(broken))
            self._unreadable.add(subject)
            return
        if mapping.collection is JOBS:
            findings.examine(Promise.ACCOUNTED)
            check_job(record, loaded, findings)
            self._known[subject] = known_job(loaded)
        else:
            self._known[subject] = _known_entity(loaded.value, record.version)
        check_indexes(
            record, mapping.collection, mapping.attributes(loaded.value, record.lease), findings
        )

    async def _read_log(self) -> Trails:
        recount = Recount()
        trails = Trails(self._known, recount, self._findings)
        reader = LogReader(self._context, self._findings)
        async for event in reader.rest():
            trails.add(event, counted=True)
        # The counters include all events up to a cursor, and none after it.
        counters = await self._context.store.counters("")
        tail = [event async for event in reader.rest()]
        later = {event.event_id async for event in reader.rest(counters.cursor)}
        for event in tail:
            trails.add(event, counted=event.event_id not in later)
        trails.finish()
        # A store removes events by the clock that is behind, at most up to its steady clock.
        steady = (await self._context.store.now()).micros
        first_day = max(_first_whole_day(trails), first_kept_day(StoreTime(steady)))
        recount.compare(counters.values, self._findings, first_day)
        return trails

    async def _check_without_record(self, trails: dict[Subject, Trail], began: StoreTime) -> None:
        """Check subjects of the log that no list has: lost, expired, or just created."""
        for collection in (mapping.collection.name for mapping in _AUDITED):
            keys = [
                key
                for name, key in trails
                if name == collection and (name, key) not in self._unreadable
            ]
            found = await read_records(self._context, collection, keys)
            for key in keys:
                record = found.get(key)
                self._check_unlisted(collection, key, trails[collection, key], record, began)

    def _check_unlisted(
        self, collection: str, key: str, trail: Trail, record: Record | None, began: StoreTime
    ) -> None:
        who = f"{collection} {key}"
        if record is not None:
            self._findings.require(
                Promise.INDEXES,
                _moved_since(record, trail, began),
                f"{who} exists, but is in no index of its collection",
            )
            return
        self._findings.require(
            Promise.ACCOUNTED,
            trail.deleted or self._may_be_dropped(collection, trail, began),
            f"{who}: the log follows it to {trail.state}, but its record is gone",
        )

    def _may_be_dropped(self, collection: str, trail: Trail, began: StoreTime) -> bool:
        seconds = self._retention.get(collection)
        if seconds is None or trail.at is None:
            return False
        if collection == JOBS.name and trail.state not in FINAL:
            return False
        # Retention is elapsed time; events have the calendar's time, which may have been set back.
        # Versions start at the steady clock's time of the creation: no end was before it.
        retention = timedelta(seconds=seconds)
        by_steady = trail.version + retention // timedelta(microseconds=1) <= began.micros
        return by_steady or trail.at + retention <= from_micros(began.calendar)

    def _check_ended(self, ended: AnyCollection[str]) -> None:
        for job_id in ended:
            known = self._known.get((JOBS.name, job_id))
            if known is None:
                self._findings.fault(
                    Promise.ACCOUNTED, f"job {job_id} was enqueued, but has no record"
                )
            else:
                self._findings.require(
                    Promise.ACCOUNTED,
                    known.state in _AT_REST,
                    f"job {job_id} has not ended: it is {known.state}",
                )


def _known_entity(value: Any, version: int) -> Known:
    status = getattr(value, "status", None)
    return Known(
        version=version,
        created_at=value.created_at,
        state=None if status is None else str(status.value),
    )


def _moved_since(record: Record, trail: Trail, began: StoreTime) -> bool:
    """Whether a record may have moved between lists during the reads."""
    claimed = record.lease is not None and record.lease.granted >= began.micros
    return claimed or (trail.at is not None and trail.at >= from_micros(began.calendar))


def _first_whole_day(trails: Trails) -> str:
    """Return the first UTC day, as counters name it, with all its events in the log."""
    if trails.is_whole or trails.oldest is None:
        return ""
    return f"{trails.oldest + timedelta(days=1):%Y%m%d}"
