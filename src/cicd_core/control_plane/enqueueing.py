"""Creation of jobs: specs are checked, named and written in one call to the store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from cicd_core.errors import AlreadyExists, IdempotencyConflict, InvalidInput, NotFound
from cicd_core.lifecycle import jobs as lifecycle
from cicd_core.lifecycle.decision import Decision
from cicd_core.model.checks import check_label
from cicd_core.model.instants import from_micros
from cicd_core.model.job import JobState
from cicd_core.model.json_values import canonical
from cicd_core.model.spec import JobSpec, checked, placed, with_instants
from cicd_core.persistence.converting import FULL_NAMES
from cicd_core.queueing.lanes import lane_named
from cicd_core.store.records import Committed, StoreTime
from cicd_core.values import evolve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cicd_core.control_plane.lanes import LaneBook
    from cicd_core.model.job import Job
    from cicd_core.persistence.context import Context
    from cicd_core.persistence.repository import Repository
    from cicd_core.queueing.lanes import Lane
    from cicd_core.store.records import Commit

#: Maximum number of jobs created by one call to the store.
BATCH = 500


class JobFactory:
    """Creates jobs, enqueued or not, once for each idempotency key."""

    def __init__(self, context: Context, repository: Repository[Job], lanes: LaneBook) -> None:
        self._context = context
        self._repository = repository
        self._lanes = lanes

    async def make(self, specs: Sequence[JobSpec], *, actor: str, enqueue: bool) -> list[Job]:
        """Return the jobs, in the order of the specs; jobs of one call keep that order in a lane.

        Raises:
            InvalidInput: a field of a spec is wrong; no job was created.
            IdempotencyConflict: a key was used with other fields. The jobs before it, and others of
                its batch, were created: repeating the call with keys creates none twice.
        """
        check_label("actor", actor)
        if not isinstance(specs, Iterable) or isinstance(specs, (str, bytes, Mapping)):
            raise InvalidInput("specs", specs, "give a list of JobSpec")
        wanted = [checked(spec) for spec in specs]
        await self._check_times(wanted)
        # Also for jobs that are not enqueued yet: a pool without room refuses them here.
        lanes, begin = await self._list_lanes(wanted)
        made: list[Job] = []
        made_at = begin.micros
        for first in range(0, len(wanted), BATCH):
            if first:
                begin = max(_later(begin, BATCH), await self._context.store.now(), key=_steady)
            batch = wanted[first : first + BATCH]
            jobs, at = await self._make_batch(batch, begin, actor=actor, enqueue=enqueue)
            made += jobs
            made_at = max(made_at, at)
        await self._lanes.confirm(lanes, made_at)
        return made

    async def _check_times(self, specs: Sequence[JobSpec]) -> None:
        """Check all relative times before the first job is created.

        A repeated call returns the job of its key, even if a job created now could never start.
        """
        relative = [
            spec
            for spec in specs
            if spec.delay_seconds is not None or spec.deadline_seconds is not None
        ]
        if not relative:
            return
        now = await self._context.calendar()
        refusals: dict[str, InvalidInput] = {}
        for spec in relative:
            try:
                placed(spec, now)
            except InvalidInput as refused:
                if spec.idempotency_key is None:
                    raise
                refusals[_keyed_id(spec.idempotency_key)] = refused
        made = await self._repository.records(list(refusals))
        for job_id, refusal in refusals.items():
            if job_id not in made:
                raise refusal

    async def _list_lanes(self, specs: Sequence[JobSpec]) -> tuple[list[Lane], StoreTime]:
        """List the lanes of the jobs that will be created; return them, and the time afterwards.

        A job that already exists under its key needs no lane, or has one: a call that only repeats
        such jobs lists nothing.
        """
        lanes: dict[Lane, list[JobSpec]] = {}
        for spec in specs:
            lane = lane_named(spec.pool_name, spec.job_type, spec.labels)
            lanes.setdefault(lane, []).append(spec)
        time = await self._context.store.now()
        missing = await self._lanes.unlisted(lanes, time)
        if not missing:
            return list(lanes), time
        keyed = [
            _keyed_id(spec.idempotency_key)
            for lane in missing
            for spec in lanes[lane]
            if spec.idempotency_key is not None
        ]
        taken = await self._repository.get_readable(keyed)
        for lane in missing:
            keys = [spec.idempotency_key for spec in lanes[lane]]
            if all(key is not None and _keyed_id(key) in taken for key in keys):
                del lanes[lane]
        await self._lanes.ensure(lanes)
        return list(lanes), await self._context.store.now()

    async def _make_batch(
        self, specs: list[JobSpec], begin: StoreTime, *, actor: str, enqueue: bool
    ) -> tuple[list[Job], int]:
        """Return the jobs, and the time (µs) of their commits: a new record's version tells it."""
        # A microsecond apart, so that first in, first out holds within the call as well.
        decisions = [
            self._decided(spec, _later(begin, position), actor=actor, enqueue=enqueue)
            for position, spec in enumerate(specs)
        ]
        commits = [self._repository.commit_of(None, item, time=begin) for item in decisions]
        answers = await self._context.store.commit(commits)
        made_at = 0
        made: list[Job] = []
        for spec, decision, commit, answer in zip(specs, decisions, commits, answers, strict=True):
            job = decision.value
            if isinstance(answer, Committed):
                made_at = max(made_at, *answer.versions.values())
            else:
                job = await self._existing(spec, job, commit, actor=actor, enqueue=enqueue)
                made_at = max(made_at, (await self._context.store.now()).micros)
            made.append(job)
        return made, made_at

    def _decided(
        self, spec: JobSpec, time: StoreTime, *, actor: str, enqueue: bool
    ) -> Decision[Job]:
        now = from_micros(time.calendar)
        job_id, request_hash = self._identity(spec, time)
        created = lifecycle.create(
            with_instants(spec, now), job_id=job_id, now=now, actor=actor, request_hash=request_hash
        )
        if not enqueue:
            return created
        queued = lifecycle.submit(created.value, now=now, actor=actor, steady=time.micros)
        return Decision(
            queued.value,
            created.events + queued.events,
            created.increments + queued.increments,
        )

    def _identity(self, spec: JobSpec, time: StoreTime) -> tuple[str, str | None]:
        """Return the job's id, and the hash of its request if it has an idempotency key.

        An idempotent job's id is a hash of its key: no second record is needed to find it.
        """
        if spec.idempotency_key is None:
            return self._context.ids.sortable(time.calendar), None
        request = FULL_NAMES.unstructure(evolve(spec, payload=canonical(spec.payload)))
        fields = json.dumps(request, sort_keys=True, separators=(",", ":"))
        request_hash = hashlib.blake2b(fields.encode(), digest_size=16).hexdigest()
        return _keyed_id(spec.idempotency_key), request_hash

    async def _existing(
        self, spec: JobSpec, wanted: Job, commit: Commit, *, actor: str, enqueue: bool
    ) -> Job:
        """Return the existing job with this id: the caller's own, or that of its key."""
        try:
            return await self._found(wanted, commit, actor)
        except NotFound:  # its retention has just ended, and its key is free again
            begin = await self._context.store.now()
            made, _ = await self._make_batch([spec], begin, actor=actor, enqueue=enqueue)
            return made[0]

    async def _found(self, wanted: Job, commit: Commit, actor: str) -> Job:
        own = await self._repository.made_by(commit)
        if own is not None:
            return own.value
        found = await self._repository.get(wanted.job_id)
        if wanted.idempotency_key is None:
            raise AlreadyExists("job", wanted.job_id, "the generated id is in use: try again")
        if found.value.request_hash != wanted.request_hash:
            raise IdempotencyConflict(wanted.idempotency_key, wanted.job_id)
        if wanted.state is JobState.QUEUED and found.value.state is JobState.PENDING:
            # It was created to be enqueued later: that is now.
            submitted = await self._repository.change(
                wanted.job_id,
                lambda job, now, steady: lifecycle.submit(job, now=now, actor=actor, steady=steady),
                before=found,
            )
            return submitted.value
        return found.value


def _later(time: StoreTime, micros: int) -> StoreTime:
    if not micros:
        return time
    return StoreTime(time.micros + micros, calendar=time.calendar + micros)


def _steady(time: StoreTime) -> int:
    return time.micros


def _keyed_id(idempotency_key: str) -> str:
    """Return the id of an idempotency key's job."""
    return "k" + hashlib.blake2b(idempotency_key.encode(), digest_size=15).hexdigest()
