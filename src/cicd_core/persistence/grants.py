"""The grant overlay: a claimed record is the queued body plus the grant of the claim.

A claim rewrites no body, in any store. Reading a claimed record applies the domain's own pure
claim with the grant (I5). It also returns the events and increments of that claim that are not in
the log and the counters yet: the next commit over the grant writes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from attrs import field

from cicd_core.errors import CorruptRecord
from cicd_core.lifecycle import leases
from cicd_core.model.instants import from_micros
from cicd_core.persistence.codec import JOB, EntityCodec
from cicd_core.persistence.collections import JOBS, LEASED, of_pool
from cicd_core.persistence.event_bodies import encode_event
from cicd_core.persistence.json_bytes import dump_json, load_json
from cicd_core.store.own_commits import holds_commit, with_commit
from cicd_core.store.records import EventWrite, Lease
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cicd_core.increments import Increment
    from cicd_core.lifecycle.decision import Decision
    from cicd_core.model.job import Job
    from cicd_core.store.records import Record

Entity = TypeVar("Entity")


@frozen(kw_only=True)
class Grant:
    """The holder of a claim, and how it started."""

    agent_id: str
    #: The holder starts at once: the job reads as RUNNING.
    start: bool
    #: How far the store's calendar was ahead of its steady clock at the claim (µs): a lease has
    #: only the time of the steady clock.
    ahead: int = 0

    def encode(self) -> bytes:
        """Return the grant as bytes for a store."""
        members = {"agent_id": self.agent_id, "start": self.start}
        return dump_json({**members, "ahead": self.ahead} if self.ahead else members)

    def patch(self, pool_name: str) -> dict[str, str | None]:
        """Return the attributes that the claim changes, as ``job_attributes`` would set them."""
        patch: dict[str, str | None] = {
            "lane": None,
            "timer": LEASED,
            "agent_id": self.agent_id,
        }
        if self.start:
            patch |= {"status": "running", "pool_status": of_pool(pool_name, "running")}
        return patch


@frozen(kw_only=True)
class Loaded(Generic[Entity]):
    """An entity as read from its record, and the data that a commit over that record needs."""

    value: Entity
    version: int
    lease: Lease | None
    #: Fields of the body that this version of the library does not know.
    unknown: Mapping[str, Any] = field(factory=dict[str, Any], repr=False)
    #: The commits that led to it, see :mod:`cicd_core.store.own_commits`.
    commits: str = field(default="", repr=False)
    #: The claim's own events and increments, until the next commit writes them.
    pending_events: tuple[EventWrite, ...] = ()
    pending_increments: tuple[Increment, ...] = ()


def load(codec: EntityCodec[Entity], record: Record) -> Loaded[Entity]:
    """Return the entity of a record without a grant.

    Raises:
        CorruptRecord: the body does not decode.
    """
    body = codec.decode(record.key, record.body)
    return Loaded(
        value=body.value,
        version=record.version,
        lease=record.lease,
        unknown=body.unknown,
        commits=_with_last(body.commits, record.commit_id),
    )


def _with_last(commits: str, commit_id: str) -> str:
    """Return the commits of a body, and the one that wrote it: the record itself has that one."""
    # The first versions of the schema list it as well.
    return commits if holds_commit(commits, commit_id) else with_commit(commits, commit_id)


def load_job(record: Record) -> Loaded[Job]:
    """Return the job of a record, with its grant applied.

    Raises:
        CorruptRecord: the body or the grant does not decode.
    """
    if record.grant is None or record.lease is None:
        return load(JOB, record)
    body = JOB.decode(record.key, record.body)
    decision = _claimed(record, body.value, record.lease)
    events = [
        EventWrite(
            collection=JOBS.name,
            key=record.key,
            version=record.version,
            ordinal=ordinal,
            body=encode_event(draft),
        )
        for ordinal, draft in enumerate(decision.events)
    ]
    return Loaded(
        value=decision.value,
        version=record.version,
        lease=record.lease,
        unknown=body.unknown,
        commits=_with_last(body.commits, record.commit_id),
        pending_events=tuple(events),
        pending_increments=decision.increments,
    )


def _claimed(record: Record, queued: Job, lease: Lease) -> Decision[Job]:
    """Return the decision of the domain's own claim of the job (I5)."""
    try:
        raw = load_json(record.grant or b"")
        return leases.claim(
            queued,
            agent_id=raw["agent_id"],
            claim_id=lease.claim_id,
            now=from_micros(max(0, lease.granted + raw.get("ahead", 0))),
            steady=lease.granted,
            start=raw["start"],
        )
    except Exception as broken:  # not JSON, other JSON, or a body that was never in the queue
        raise CorruptRecord(JOBS.name, record.key, f"its grant: {broken}") from broken
