"""The log, event by event: checks the history of each subject."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from cicd_core.audit.history import Trail
from cicd_core.audit.report import Promise
from cicd_core.audit.transition_check import (
    DELETIONS,
    FINAL,
    HELD,
    QUIET,
    STEPS,
    is_birth,
    states_of,
)
from cicd_core.entities import COLLECTIONS
from cicd_core.model.instants import to_micros
from cicd_core.model.job import JobState
from cicd_core.persistence.collections import JOBS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from cicd_core.audit.counter_check import Recount
    from cicd_core.audit.record_summary import Known
    from cicd_core.audit.report import Findings
    from cicd_core.model.event import Event
    from cicd_core.store.records import Subject

_CLAIMED: Final = "job.claimed"
_OURS: Final = frozenset(collection.name for collection in COLLECTIONS)


class Trails:
    """The histories of all subjects. Pass it the log from its beginning, then finish."""

    def __init__(
        self, known: Mapping[Subject, Known], recount: Recount, findings: Findings
    ) -> None:
        self._known = known
        self._recount = recount
        self._findings = findings
        self._trails: dict[Subject, Trail] = {}
        #: The time of the log's first event.
        self.oldest: datetime | None = None
        #: Number of events, claims, retries and so on, by the report's field.
        self.tallies: Counter[str] = Counter()

    def add(self, event: Event, *, counted: bool) -> None:
        """Process the next event of the log.

        Args:
            event: the next event.
            counted: whether the compared counters include it.
        """
        self.tallies["events"] += 1
        if self.oldest is None:
            self.oldest = event.at
        if event.subject[0] not in _OURS:  # an application may have its own records here
            return
        known = self._known.get(event.subject)
        trail = self._trails.setdefault(event.subject, Trail())
        if known is not None and event.version > known.version:
            self._compare(event.subject, trail, known)
        if counted:
            self._recount.add(event, trail, known)
        self._apply(event, trail)

    def finish(self) -> None:
        """Compare every subject with its record, live claims included."""
        for subject, known in self._known.items():
            trail = self._trails.get(subject)
            if trail is None:
                self._findings.require(
                    Promise.LOG,
                    self._fell_off(known),
                    f"{_name(subject)}: the log has no event of it",
                )
                continue
            if not trail.compared and trail.version == known.version - 1:
                for event in known.pending:
                    self._apply(event, trail)
            self._compare(subject, trail, known)

    def without_record(self) -> dict[Subject, Trail]:
        """Return the histories of subjects that no list of records had."""
        return {key: trail for key, trail in self._trails.items() if key not in self._known}

    @property
    def is_whole(self) -> bool:
        """Whether the log has the first event of all its subjects."""
        return all(trail.born for trail in self._trails.values()) and not any(
            self._fell_off(known) for key, known in self._known.items() if key not in self._trails
        )

    def _fell_off(self, known: Known) -> bool:
        """Whether the log's retention may have removed its first event."""
        return self.oldest is not None and known.created_at < self.oldest

    def _apply(self, event: Event, trail: Trail) -> None:
        self._follow(event, trail)
        if event.subject[0] == JOBS.name:
            self._follow_job(event, trail)
        self._step(event, trail)
        trail.at, trail.deleted = event.at, event.type in DELETIONS

    def _follow(self, event: Event, trail: Trail) -> None:
        """Check that the event comes next: of this version, of the next, or of a new record."""
        self._findings.examine(Promise.LOG)
        birth = is_birth(event) and event.ordinal == 0
        if trail.version == 0:
            trail.born = birth
        elif not _is_next(event, trail):
            # A record with that key existed before, until its retention ended.
            reborn = birth and event.version > trail.version
            self._findings.require(
                Promise.LOG,
                reborn,
                f"{_name(event.subject)}: version {event.version} ordinal {event.ordinal} follows "
                f"version {trail.version} ordinal {trail.ordinal}",
            )
            if reborn:
                trail.state, trail.verdicts, trail.started_at = None, 0, None
        trail.version, trail.ordinal = event.version, event.ordinal

    def _step(self, event: Event, trail: Trail) -> None:
        steps = STEPS.get(event.subject[0])
        if steps is None:
            return
        self._findings.examine(Promise.PATHS)
        refusal = steps.refusal(event, trail.state)
        if refusal is not None:
            self._findings.fault(Promise.PATHS, f"{_name(event.subject)}: {refusal}")
        trail.state = states_of(event)[1] or trail.state

    def _follow_job(self, event: Event, trail: Trail) -> None:
        source, target = states_of(event)
        self._findings.require(
            Promise.VERDICTS,
            trail.state not in FINAL,
            f"{_name(event.subject)}: {event.type} after its final verdict, {trail.state}",
        )
        trail.verdicts += target in FINAL
        trail.pool_name = trail.pool_name or event.data.get("pool")
        if target == JobState.RUNNING.value:
            trail.started_at = event.at
        self._check_fence(event, trail)
        self._tally(event, source, target)

    def _check_fence(self, event: Event, trail: Trail) -> None:
        fence = event.data.get("fence")
        if not isinstance(fence, int):
            return
        who = _name(event.subject)
        if event.type == _CLAIMED:
            self._findings.examine(Promise.FENCES)
            self._findings.require(
                Promise.FENCES,
                fence > trail.fence,
                f"{who}: a claim has fence {fence} after fence {trail.fence}",
            )
            self._findings.require(
                Promise.FENCES,
                fence >= to_micros(event.at),
                f"{who}: fence {fence} is older than its claim at {event.at}",
            )
        elif trail.fence:
            self._findings.require(
                Promise.FENCES,
                fence == trail.fence,
                f"{who}: {event.type} with fence {fence}, the last claim has {trail.fence}",
            )
        trail.fence = fence

    def _tally(self, event: Event, source: str | None, target: str | None) -> None:
        released = event.type == "job.released"
        again = source in HELD and target == JobState.QUEUED.value
        lost = source in HELD and event.data.get("actor") == "maintenance"
        self.tallies["attempts"] += event.type == _CLAIMED
        self.tallies["retries"] += again and not released
        self.tallies["releases"] += again and released
        self.tallies["lost_leases"] += lost and event.type != "job.timed_out"
        self.tallies["dead_letters"] += target == JobState.DEAD_LETTERED.value
        self.tallies["replays"] += event.type == "job.replayed"

    def _compare(self, subject: Subject, trail: Trail, known: Known) -> None:
        """Compare the state from the log with the record; once per subject."""
        if trail.compared:
            return
        trail.compared = True
        who, require = _name(subject), self._findings.require
        require(
            Promise.LOG,
            trail.version == known.version
            or (subject[0] in QUIET and trail.version < known.version),
            f"{who}: its record is at version {known.version}, the log is at {trail.version}",
        )
        require(
            Promise.LOG, trail.born or self._fell_off(known), f"{who}: its first event is missing"
        )
        if trail.state is not None:
            require(
                Promise.PATHS,
                trail.state == known.state,
                f"{who}: its record is {known.state}, but its events lead to {trail.state}",
            )
        if subject[0] == JOBS.name:
            self._compare_job(who, trail, known)

    def _compare_job(self, who: str, trail: Trail, known: Known) -> None:
        require = self._findings.require
        if trail.born or trail.fence:
            require(
                Promise.FENCES,
                trail.fence == known.fence,
                f"{who}: its record has fence {known.fence}, its events {trail.fence}",
            )
        require(
            Promise.VERDICTS,
            trail.verdicts == (known.state in FINAL),
            f"{who} is {known.state}, but its events have {trail.verdicts} final verdicts",
        )


def _is_next(event: Event, trail: Trail) -> bool:
    """Return whether an event is the next one of its subject: of this version or of the next."""
    if event.subject[0] in QUIET and event.ordinal == 0:
        return event.version > trail.version
    found = (event.version, event.ordinal)
    return found in {(trail.version, trail.ordinal + 1), (trail.version + 1, 0)}


def _name(subject: Subject) -> str:
    collection, key = subject
    return f"{collection} {key}"
