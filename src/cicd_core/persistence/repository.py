"""Load, decide, commit: the same code for every kind of entity."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from cicd_core.errors import (
    CorruptRecord,
    NotFound,
    OperationRejected,
    SchemaTooNew,
    TooManyConflicts,
)
from cicd_core.model.instants import from_micros
from cicd_core.persistence.event_bodies import encode_event
from cicd_core.persistence.grants import Loaded
from cicd_core.store.own_commits import holds_commit, with_commit
from cicd_core.store.records import (
    KEEP,
    Commit,
    Committed,
    Conflict,
    EventWrite,
    Guard,
    Lease,
    Put,
)
from cicd_core.values import evolve

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from cicd_core.lifecycle.decision import Decision
    from cicd_core.model.event import EventDraft
    from cicd_core.persistence.context import Context
    from cicd_core.persistence.mapping import EntityMapping
    from cicd_core.store.records import Record, StoreTime

Entity = TypeVar("Entity")

_log = logging.getLogger("cicd_core.control_plane")

#: The errors of loading a record that this version can't decode. One such record must not block the
#: others of a list, a sweep or a renewal.
UNREADABLE: Final = (CorruptRecord, SchemaTooNew)


def _no_lease(*_: object) -> None:
    """Return None: no lease."""


class Repository(Generic[Entity]):
    """The records of one kind of entity."""

    def __init__(
        self,
        mapping: EntityMapping[Entity],
        context: Context,
        prepare: Callable[[Entity], Awaitable[None]] | None = None,
    ) -> None:
        self._mapping = mapping
        self._context = context
        self._prepare = prepare

    def load(self, record: Record) -> Loaded[Entity]:
        """Return the entity of a record.

        Raises:
            CorruptRecord: it does not decode.
        """
        return self._mapping.load(record)

    async def get(self, key: str) -> Loaded[Entity]:
        """Return the entity.

        Raises:
            NotFound: there is none.
            CorruptRecord: its record does not decode.
        """
        found = await self.get_many([key])
        if key not in found:
            raise NotFound(self._mapping.name, key)
        return found[key]

    async def get_many(self, keys: Sequence[str]) -> dict[str, Loaded[Entity]]:
        """Return the entities that exist, by key.

        Raises:
            CorruptRecord: one does not decode.
        """
        records = await self.records(keys)
        return {key: self._mapping.load(record) for key, record in records.items()}

    async def get_readable(self, keys: Sequence[str]) -> dict[str, Loaded[Entity]]:
        """Return the entities that exist and decode, by key; the log names the unreadable ones."""
        return (await self.sort_out(keys))[0]

    async def sort_out(self, keys: Sequence[str]) -> tuple[dict[str, Loaded[Entity]], list[str]]:
        """Return the entities that exist and decode, by key, and the keys of the unreadable ones.

        The program's log names these too.
        """
        found: dict[str, Loaded[Entity]] = {}
        unreadable: list[str] = []
        for key, record in (await self.records(keys)).items():
            try:
                found[key] = self._mapping.load(record)
            except UNREADABLE as broken:
                _log.error("skipped: %s", broken)
                unreadable.append(key)
        return found, unreadable

    async def records(self, keys: Sequence[str]) -> Mapping[str, Record]:
        """Return the records that exist, by key, whether or not they decode."""
        if not keys:
            return {}
        return await self._context.store.get(self._mapping.collection.name, keys)

    async def prepare(self, value: Entity) -> None:
        """Make the preparations that committing an existing entity as ``value`` needs."""
        if self._prepare is not None:
            await self._prepare(value)

    def commit_of(
        self,
        before: Loaded[Entity] | None,
        decision: Decision[Entity],
        *,
        time: StoreTime,
        lease: Lease | None = None,
        guard: Guard = Guard.NONE,
    ) -> Commit:
        """Return the commit that carries out a decision.

        Args:
            before: the entity that the decision was made on; None creates the record.
            decision: the decision to carry out.
            time: when it was made: retention begins then, at the earliest.
            lease: a lease to set; else the record keeps its own while the entity is held.
            guard: a condition besides the version.
        """
        value, mapping = decision.value, self._mapping
        key, commit_id = mapping.key(value), self._context.ids.commit_id()
        held = None if before is None else before.lease
        kept = held if mapping.keeps_lease(value) else None
        put = Put(
            collection=mapping.collection.name,
            key=key,
            expected=0 if before is None else before.version,
            body=mapping.codec.encode(
                value,
                {} if before is None else before.unknown,
                "" if before is None else before.commits,
            ),
            attributes=mapping.attributes(value, lease or kept),
            lease=lease or (KEEP if kept is not None else None),
            lease_limit=mapping.lease_limit(value, self._context.settings),
            expires_at=mapping.expires_at(value, time, lease or held, self._context.settings),
            guard=guard,
        )
        events = [
            EventWrite(
                collection=put.collection,
                key=key,
                version=None,
                ordinal=ordinal,
                body=encode_event(draft),
            )
            for ordinal, draft in enumerate(decision.events)
        ]
        pending_events = () if before is None else before.pending_events
        pending_increments = () if before is None else before.pending_increments
        return Commit(
            commit_id=commit_id,
            writes=(put,),
            events=(*pending_events, *events),
            increments=pending_increments + decision.increments,
        )

    def removal(self, record: Record, draft: EventDraft, *, time: StoreTime) -> Commit:
        """Return the commit that makes a record absent from now on, whether or not it decodes.

        The record expires at once instead of being deleted, so that the commit can carry an event:
        a commit puts at least one record.
        """
        put = Put(
            collection=self._mapping.collection.name,
            key=record.key,
            expected=record.version,
            body=record.body,
            attributes=record.attributes,
            lease=None,
            expires_at=time.micros,
        )
        event = EventWrite(
            collection=put.collection,
            key=put.key,
            version=None,
            ordinal=0,
            body=encode_event(draft),
        )
        return Commit(commit_id=self._context.ids.commit_id(), writes=(put,), events=(event,))

    def after(
        self,
        before: Loaded[Entity] | None,
        decision: Decision[Entity],
        commit: Commit,
        committed: Committed,
        lease: Lease | None = None,
    ) -> Loaded[Entity]:
        """Return the entity after its commit."""
        value, mapping = decision.value, self._mapping
        version = committed.versions[mapping.collection.name, mapping.key(value)]
        kept = before.lease if before is not None and mapping.keeps_lease(value) else None
        unknown: Mapping[str, Any] = {} if before is None else before.unknown
        return Loaded(
            value=value,
            version=version,
            lease=lease or kept,
            unknown=unknown,
            commits=_commits_after(before, commit.commit_id),
        )

    async def create(
        self, decision: Decision[Entity], *, time: StoreTime, lease: Lease | None = None
    ) -> Loaded[Entity] | None:
        """Create the entity, decided at ``time``; None if another call created one with its key.

        If this call created it, and the answer was lost, the entity is returned in its present
        state: others may have changed it before the commit was repeated.
        """
        commit = self.commit_of(None, decision, time=time, lease=lease)
        (answer,) = await self._context.store.commit([commit])
        if isinstance(answer, Conflict):
            return await self.made_by(commit)
        return self.after(None, decision, commit, answer, lease)

    async def change_and_create(
        self,
        key: str,
        decide: Callable[[Entity, StoreTime], tuple[Decision[Entity], Decision[Entity]]],
        *,
        lease: Callable[[Entity, StoreTime], Lease | None] = _no_lease,
    ) -> Loaded[Entity]:
        """Change an entity and create another one, both or neither; return the new one.

        The commit writes the first one even if its value stays: another change of it meanwhile
        conflicts, and the decision is made again.

        Args:
            key: the key of the entity to change.
            decide: makes both decisions; the new entity has an unused key.
            lease: makes the lease of the new entity.

        Raises:
            NotFound: there is no entity to change.
            TooManyConflicts: it conflicted as often as the settings allow.
        """
        attempts = self._context.settings.commit_attempts
        for attempt in range(attempts):
            loaded = await self.get(key)
            time = await self._context.store.now()
            changed, created = decide(loaded.value, time)
            new_lease = lease(created.value, time)
            first = self.commit_of(None, created, time=time, lease=new_lease)
            second = self.commit_of(loaded, changed, time=time)
            commit = evolve(
                first,
                writes=first.writes + second.writes,
                events=first.events + second.events,
                increments=first.increments + second.increments,
            )
            (answer,) = await self._context.store.commit([commit])
            if isinstance(answer, Committed):
                return self.after(None, created, commit, answer, new_lease)
            own = await self.made_by(commit)
            if own is not None:
                return own
            await self._context.store.pause(attempt)
        raise TooManyConflicts([f"{self._mapping.name} {key}"], attempts)

    async def put(
        self,
        key: str,
        decide: Callable[[Entity | None, datetime, int], Decision[Entity]],
        *,
        lease: Callable[[Loaded[Entity] | None, StoreTime], Lease | None] = _no_lease,
    ) -> Loaded[Entity]:
        """Create the entity, or change it; it may be deleted, or expire, during the call.

        Args:
            key: the key of the entity.
            decide: as for :meth:`change`; it gets None if there is no entity.
            lease: as for :meth:`change`; it gets None if there is no entity.

        Raises:
            TooManyConflicts: it conflicted as often as the settings allow.
        """
        attempts = self._context.settings.commit_attempts
        for attempt in range(attempts):
            known = (await self.get_many([key])).get(key)
            if known is not None:
                with suppress(NotFound):  # it is gone since: create it
                    return await self.change(key, decide, before=known, lease=lease)
            time = await self._context.store.now()
            decision = decide(None, from_micros(time.calendar), time.micros)
            made = await self.create(decision, time=time, lease=lease(None, time))
            if made is not None:
                return made
            await self._context.store.pause(attempt)
        raise TooManyConflicts([f"{self._mapping.name} {key}"], attempts)

    async def made_by(self, commit: Commit) -> Loaded[Entity] | None:
        """Return the entity that a commit of this repository wrote first, in its present state.

        Call it after a conflict: a commit whose answer was lost may have been applied, and others
        may have written since. None: the commit was not applied, or the entity is gone.

        Raises:
            CorruptRecord: the record does not decode.
        """
        write = commit.writes[0]
        found = (await self.get_many([write.key])).get(write.key)
        applied = found is not None and holds_commit(found.commits, commit.commit_id)
        return found if applied else None

    async def change(
        self,
        key: str,
        decide: Callable[[Entity, datetime, int], Decision[Entity]],
        *,
        before: Loaded[Entity] | None = None,
        lease: Callable[[Loaded[Entity], StoreTime], Lease | None] | None = None,
        guard: Guard = Guard.NONE,
        tried: Commit | None = None,
    ) -> Loaded[Entity]:
        """Decide and commit, from ``before`` or a load; after a conflict, load and decide again.

        A commit whose answer was lost is recognised, even if other commits followed: then the
        entity is returned in its present state. If it may have another holder by now, check the
        holder before you return it.

        Args:
            key: the key of the entity.
            decide: makes the decision from the entity, the calendar, and the steady clock (µs) at
                that moment; it must recognise its own effect.
            before: the entity as the caller knows it; it saves the load.
            lease: makes the lease to set, from the loaded entity and the store's time.
            guard: a condition besides the version.
            tried: an earlier commit of this change, which conflicted.

        Raises:
            NotFound: there is no such entity.
            TooManyConflicts: it conflicted as often as the settings allow.
        """
        # The caller's copy may be out of date, so that an attempt with it does not count.
        attempts = self._context.settings.commit_attempts + (before is not None)
        commit = tried
        for attempt in range(attempts):
            loaded = await self.get(key) if before is None else before
            if commit is not None and holds_commit(loaded.commits, commit.commit_id):
                return loaded
            time = await self._context.store.now()
            try:
                decision = decide(loaded.value, from_micros(time.calendar), time.micros)
            except OperationRejected:
                if before is None:
                    raise
                before = None  # the caller's copy may be out of date: load before refusing
                continue
            if not decision.changed:
                if before is None:
                    return loaded
                before = None  # nor does a copy that is out of date prove that nothing is to do
                continue
            held = lease is not None and self._mapping.keeps_lease(decision.value)
            new_lease = lease(loaded, time) if lease is not None and held else None
            await self.prepare(decision.value)
            commit = self.commit_of(loaded, decision, time=time, lease=new_lease, guard=guard)
            (answer,) = await self._context.store.commit([commit])
            if isinstance(answer, Committed):
                return self.after(loaded, decision, commit, answer, new_lease)
            before = None
            if attempt:  # the first conflict is normal: a stale handle
                await self._context.store.pause(attempt)
        last = None if commit is None else await self.made_by(commit)
        if last is not None:
            return last
        raise TooManyConflicts([f"{self._mapping.name} {key}"], attempts)


def _commits_after(before: Loaded[Any] | None, commit_id: str) -> str:
    return with_commit("" if before is None else before.commits, commit_id)
