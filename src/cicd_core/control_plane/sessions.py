"""Sessions: only a token's hash is stored; the idle expiry is the lease on the session's record."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from cicd_core.control_plane.listing import Listing, Page, read_page
from cicd_core.errors import NotFound, SessionRejected, TooManyConflicts
from cicd_core.lifecycle import sessions as lifecycle
from cicd_core.model.checks import check_label
from cicd_core.model.instants import from_micros
from cicd_core.model.session import Session, SessionSpec, check_session_id, checked, hash_token
from cicd_core.persistence.collections import BY_USER, SESSIONS
from cicd_core.persistence.mappings import micros
from cicd_core.persistence.repository import UNREADABLE
from cicd_core.store.records import (
    Commit,
    Committed,
    Guard,
    Lease,
    Partition,
    Renewal,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from cicd_core.lifecycle.decision import Decision
    from cicd_core.persistence.context import Context
    from cicd_core.persistence.grants import Loaded
    from cicd_core.persistence.repository import Repository
    from cicd_core.store.records import Record, StoreTime

_log = logging.getLogger("cicd_core.control_plane")

#: A use moves the idle expiry at most this often, in seconds: validating is a read otherwise. Of
#: a short idle time it is this part.
_TOUCH_SECONDS = 30.0
_TOUCH_PART = 0.1
#: How far the two clocks may drift apart before a use writes down how far they are (µs).
_DRIFT = 1_000_000


@frozen(kw_only=True)
class IssuedSession:
    """A new session, and the one time that its token is seen."""

    session: Session
    token: str

    def __repr__(self) -> str:
        """Leave the token out: a repr ends in logs."""
        return f"IssuedSession(session={self.session!r}, token='…')"


class SessionService:
    """Sessions of people and programs: create, validate, log out."""

    def __init__(self, context: Context, repository: Repository[Session]) -> None:
        """Take the way to the store, and the sessions' records."""
        self._context = context
        self._repository = repository

    async def create(
        self,
        user_id: str,
        *,
        ttl_seconds: float | None = None,
        idle_seconds: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> IssuedSession:
        """Open a session.

        Args:
            user_id: whose it is.
            ttl_seconds: how long it lasts at most; the settings' (24 hours) when left out.
            idle_seconds: how long without a use; the settings' when left out.
            metadata: such as ``user_agent`` and ``ip``.

        Raises:
            InvalidInput: a field is wrong; the error names it.
        """
        settings = self._context.settings
        spec = checked(
            SessionSpec(
                user_id=user_id,
                ttl_seconds=settings.session_seconds if ttl_seconds is None else ttl_seconds,
                idle_seconds=(
                    settings.session_idle_seconds if idle_seconds is None else idle_seconds
                ),
                metadata=metadata or {},
            )
        )
        token = self._context.ids.session_token()
        time = await self._context.store.now()
        now = from_micros(time.calendar)
        decision = lifecycle.create(
            spec, session_id=hash_token(token), now=now, calendar_ahead=time.ahead
        )
        session = decision.value
        instant, limit = time.micros, time.micros + micros(spec.ttl_seconds)
        lease = Lease(
            claim_id=_claim_id(session.session_id),
            granted=instant,
            renewed=instant,
            expires=min(instant + micros(session.idle_seconds), limit),
            limit=limit,
        )
        made = await self._repository.create(decision, time=time, lease=lease)
        return IssuedSession(session=session if made is None else made.value, token=token)

    async def validate(self, token: str | None) -> Session:
        """Return the session that a token opens, and count this as a use of it.

        A session is over when its time, or its idle time, has passed on the store's steady clock.
        It is also refused while the calendar says so: from its ``expires_at`` on, and from
        ``idle_seconds`` after its last use on. The time that the store's machine was off, or a
        calendar that is ahead, may bring that earlier. That refusal is not written down: once the
        calendar is right again, so is the session.

        Raises:
            SessionRejected: there is no token (None); or its session is unknown, expired, idle for
                too long, or logged out.
            InvalidInput: the token is no string.
            CorruptRecord: its record does not decode: it opens nothing. So does ``SchemaTooNew``.
        """
        if token is None:
            raise SessionRejected("there is no token")
        key = hash_token(token)
        loaded = (await self._repository.get_many([key])).get(key)
        time = await self._context.store.now()
        now = from_micros(time.calendar)
        if loaded is None:
            raise SessionRejected("it is unknown, or has expired")
        idle_expires_at = _idle_expires_at(loaded, time)
        try:
            session = lifecycle.validate(loaded.value, now=now, idle_expires_at=idle_expires_at)
        except SessionRejected:
            await self._expire(loaded)
            raise
        left = (idle_expires_at - now).total_seconds()
        unsaid = min(_TOUCH_SECONDS, session.idle_seconds * _TOUCH_PART)
        if left < session.idle_seconds - unsaid:
            await self._touch(loaded, time)
        return session

    async def log_out(self, token: str | None, *, by: str = "user") -> None:
        """End the session that a token opens; one that has ended already, or never was, is fine.

        One whose record does not decode is ended as well: see :meth:`log_out_everywhere`.
        """
        if token is not None:
            await self._log_out(hash_token(token), by)

    async def revoke(self, session_id: str, *, by: str = "operator") -> None:
        """End a session by its id, as :meth:`list` tells it, whether or not its record decodes.

        Raises:
            InvalidInput: it is no session's id.
        """
        await self._log_out(check_session_id(session_id), by)

    async def log_out_everywhere(self, user_id: str, *, by: str = "operator") -> int:
        """End every session of a user, and return how many there were.

        A session whose record this process can't read, because a newer version of the library made
        it or because it is damaged, may open doors in another process. It is ended too, and
        counted: its record is removed. The program's log names it, and its event says why.

        Raises:
            InvalidInput: ``user_id`` or ``by`` is wrong; no session was ended.
            TooManyConflicts: one kept changing. It may still be valid: repeat the call. So for
                every other error.
        """
        check_label("by", by)
        ended, cursor = 0, None
        while True:
            page = await self.list(user_id, limit=100, cursor=cursor)
            for session in page.items:
                if session.logged_out_at is None and session.expired_at is None:
                    await self._log_out(session.session_id, by)
                    ended += 1
            for session_id in page.unreadable:
                ended += await self._withdraw(session_id, by)
            cursor = page.cursor
            if cursor is None:
                return ended

    async def list(
        self, user_id: str, *, limit: int = 50, cursor: str | None = None
    ) -> Page[Session]:
        """Return a page of a user's sessions, the newest first."""
        partition = Partition(SESSIONS.name, BY_USER, check_label("user_id", user_id))
        listing = Listing(partitions=(partition,), load=self._repository.load)
        return await read_page(self._context, listing, limit=limit, cursor=cursor)

    async def _log_out(self, session_id: str, by: str) -> None:
        def decide(session: Session, now: datetime) -> Decision[Session]:
            return lifecycle.log_out(session, now=now, by=by)

        try:
            await self._repository.change(session_id, decide)
        except NotFound:
            return
        except UNREADABLE:
            await self._withdraw(session_id, by)

    async def _withdraw(self, session_id: str, by: str) -> bool:
        """End a session that does not decode: from now on its record is absent, in every process.

        Raises:
            TooManyConflicts: it conflicted as often as the settings allow.
        """
        attempts = self._context.settings.commit_attempts
        for attempt in range(attempts):
            record = (await self._repository.records([session_id])).get(session_id)
            if record is None:
                return attempt > 0
            time = await self._context.store.now()
            commit = self._withdrawal(record, by, time)
            (answer,) = await self._context.store.commit([commit])
            if isinstance(answer, Committed):
                _log.error("session %s… was not readable, and is removed", session_id[:8])
                return True
            await self._context.store.pause(attempt)
        raise TooManyConflicts([f"session {session_id[:8]}…"], attempts)

    def _withdrawal(self, record: Record, by: str, time: StoreTime) -> Commit:
        user_id = record.attributes.get(BY_USER.partition, "")
        draft = lifecycle.withdraw(user_id, now=from_micros(time.calendar), by=by)
        return self._repository.removal(record, draft, time=time)

    async def _expire(self, loaded: Loaded[Session]) -> None:
        """Write down that it is over, if its lease is; a use that came in between wins."""
        time = await self._context.store.now()
        if loaded.lease is not None and loaded.lease.expires >= time.micros:
            return  # the calendar alone says so, and it may be wrong
        decision = lifecycle.expire(
            loaded.value,
            now=from_micros(time.calendar),
            idle_expires_at=_idle_expires_at(loaded, time),
        )
        if decision.changed:
            commit = self._repository.commit_of(
                loaded, decision, time=time, guard=Guard.LEASE_EXPIRED
            )
            await self._context.store.commit([commit])

    async def _touch(self, loaded: Loaded[Session], time: StoreTime) -> None:
        """Write a use down; who wrote in between has done so as well, or has ended the session."""
        session, lease = loaded.value, loaded.lease
        idle = micros(session.idle_seconds)
        if lease is None or abs(time.ahead - session.calendar_ahead) <= _DRIFT:
            renewal = Renewal(
                collection=SESSIONS.name,
                key=session.session_id,
                claim_id=_claim_id(session.session_id),
                duration=idle,
            )
            await self._context.store.renew([renewal])
            return
        decision = lifecycle.use(session, calendar_ahead=time.ahead)
        used = evolve(lease, renewed=time.micros, expires=min(time.micros + idle, lease.limit))
        commit = self._repository.commit_of(loaded, decision, time=time, lease=used)
        await self._context.store.commit([commit])


def _claim_id(session_id: str) -> str:
    return session_id[:32]


def _idle_expires_at(loaded: Loaded[Session], time: StoreTime) -> datetime:
    """Return when it ends unless it is used before, on the calendar as it is now.

    That is the end of its lease on the steady clock, or its idle time after the last use on the
    calendar, whatever comes first.
    """
    session, lease = loaded.value, loaded.lease
    if lease is None:
        return session.expires_at
    used = max(0, lease.renewed + session.calendar_ahead)
    end = min(time.calendar_of(lease.expires), used + micros(session.idle_seconds))
    return from_micros(end)
