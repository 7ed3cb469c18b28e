"""Sessions: only a token's hash is stored; the idle expiry is the lease on the session's record."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cicd_core.errors import NotFound, SessionRejected, TooManyConflicts
from cicd_core.lifecycle import sessions as lifecycle
from cicd_core.model.checks import check_label
from cicd_core.model.instants import SECOND, from_micros, micros
from cicd_core.model.session import Session, SessionSpec, check_session_id, checked, hash_token
from cicd_core.persistence.collections import BY_USER, SESSIONS
from cicd_core.persistence.listing import Listing, Page, read_page
from cicd_core.persistence.repository import UNREADABLE
from cicd_core.store.records import (
    Commit,
    Committed,
    Guard,
    Lease,
    Partition,
    Renewal,
)
from cicd_core.values import evolve, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from cicd_core.lifecycle.decision import Decision
    from cicd_core.persistence.context import Context
    from cicd_core.persistence.grants import Loaded
    from cicd_core.persistence.repository import Repository
    from cicd_core.store.records import Record, StoreTime

_log = logging.getLogger("cicd_core.control_plane")

#: A use moves the idle expiry at most this often, in seconds: otherwise validating is a read. For
#: a short idle time it is this fraction of it.
_TOUCH_SECONDS = 30.0
_TOUCH_PART = 0.1
#: Drift of the two clocks from which a use records their offset (µs).
_DRIFT = SECOND
_ROTATED = "it has ended, or was rotated, meanwhile"


@frozen(kw_only=True)
class IssuedSession:
    """A new session with its token, which is shown only once."""

    session: Session
    token: str

    def __repr__(self) -> str:
        """Omit the token: a repr may end up in logs."""
        return f"IssuedSession(session={self.session!r}, token='…')"


class SessionService:
    """Sessions of people and programs: create, validate, log out."""

    def __init__(self, context: Context, repository: Repository[Session]) -> None:
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
        """Create a session.

        Args:
            user_id: the user.
            ttl_seconds: maximum lifetime. Default: that of the settings (24 hours).
            idle_seconds: maximum time without a use. Default: that of the settings.
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
        decision = _created(spec, token, time)
        lease = _first_lease(decision.value, time)
        made = await self._repository.create(decision, time=time, lease=lease)
        return IssuedSession(session=decision.value if made is None else made.value, token=token)

    async def validate(self, token: str | None) -> Session:
        """Return the session that a token opens, and count this as a use of it.

        A session ends when its lifetime, or its idle time, has passed on the store's steady clock.
        It is also refused according to the calendar: from ``expires_at``, and ``idle_seconds``
        after its last use. If the store's machine was off, or the calendar is ahead, that may be
        earlier. This refusal is not stored: once the calendar is right again, the session is
        valid again.

        Raises:
            SessionRejected: there is no token (None); or the session is unknown, expired, idle for
                too long, or logged out.
            InvalidInput: the token is not a string.
            CorruptRecord: its record does not decode. ``SchemaTooNew`` likewise.
        """
        if token is None:
            raise SessionRejected("no token was given")
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

    async def rotate(self, token: str | None) -> IssuedSession:
        """Replace a session's token, after a log-in or periodically; the old session ends.

        The new session ends when the old one would have; idle time and metadata are the same. Both
        happen in one commit: of several concurrent calls one succeeds, and a session that ends
        meanwhile has no successor. If the answer is lost, the user has to log in again.

        Raises:
            SessionRejected: as for :meth:`validate`.
            InvalidInput: the token is not a string.
        """
        old = await self.validate(token)
        new_token = self._context.ids.session_token()

        def decide(
            session: Session, time: StoreTime
        ) -> tuple[Decision[Session], Decision[Session]]:
            now = from_micros(time.calendar)
            ended = lifecycle.log_out(session, now=now, actor="user")
            if not ended.changed:
                raise SessionRejected(_ROTATED)
            spec = SessionSpec(
                user_id=session.user_id,
                ttl_seconds=max((session.expires_at - now).total_seconds(), 1.0),
                idle_seconds=session.idle_seconds,
                metadata=session.metadata,
            )
            return ended, _created(checked(spec), new_token, time)

        try:
            issued = await self._repository.change_and_create(
                old.session_id, decide, lease=_first_lease
            )
        except NotFound:
            raise SessionRejected(_ROTATED) from None
        return IssuedSession(session=issued.value, token=new_token)

    async def log_out(self, token: str | None, *, actor: str = "user") -> None:
        """End the session of a token; it is no error if it has ended or never existed.

        A session whose record does not decode ends too: see :meth:`log_out_everywhere`.
        """
        if token is not None:
            await self._log_out(hash_token(token), actor)

    async def revoke(self, session_id: str, *, actor: str = "operator") -> None:
        """End a session by its id, which :meth:`list` returns, even if its record does not decode.

        Raises:
            InvalidInput: it is not the id of a session.
        """
        await self._log_out(check_session_id(session_id), actor)

    async def log_out_everywhere(self, user_id: str, *, actor: str = "operator") -> int:
        """End every session of a user, and return their number.

        It repeats the search until there are none: a session may be rotated meanwhile.

        A session that this process cannot read, because a newer version of the library wrote it or
        because it is damaged, may be valid for another process. It ends too, and counts: its
        record is removed. The program's log names it, and its event has the reason.

        Raises:
            InvalidInput: ``user_id`` or ``actor`` is wrong; no session was ended.
            TooManyConflicts: a session kept changing. It may still be valid: repeat the call, as
                after every other error.
        """
        check_label("actor", actor)
        ended = 0
        known: set[str] = set()
        while found := await self._open_sessions(user_id) - known:
            for session_id in sorted(found):
                ended += await self._log_out(session_id, actor)
            known |= found
        return ended

    async def _open_sessions(self, user_id: str) -> set[str]:
        """Return the ids of a user's sessions that have not ended, or cannot be read."""
        found: set[str] = set()
        cursor: str | None = None
        while True:
            page = await self.list(user_id, limit=100, cursor=cursor)
            found |= {each.session_id for each in page.items if not lifecycle.has_ended(each)}
            found |= {*page.unreadable}
            cursor = page.cursor
            if cursor is None:
                return found

    async def list(
        self, user_id: str, *, limit: int = 50, cursor: str | None = None
    ) -> Page[Session]:
        """Return a page of a user's sessions, the newest first."""
        partition = Partition(SESSIONS.name, BY_USER, check_label("user_id", user_id))
        listing = Listing(partitions=(partition,), load=self._repository.load)
        return await read_page(self._context, listing, limit=limit, cursor=cursor)

    async def _log_out(self, session_id: str, actor: str) -> bool:
        """End a session; return whether this call ended it."""
        is_ours = False

        def decide(session: Session, now: datetime, _: int = 0) -> Decision[Session]:
            nonlocal is_ours
            decision = lifecycle.log_out(session, now=now, actor=actor)
            is_ours = decision.changed
            return decision

        try:
            await self._repository.change(session_id, decide)
        except NotFound:
            return False
        except UNREADABLE:
            return await self._withdraw(session_id, actor)
        return is_ours

    async def _withdraw(self, session_id: str, actor: str) -> bool:
        """End a session that does not decode by removing its record for every process.

        Raises:
            TooManyConflicts: it had as many conflicts as the settings allow.
        """
        attempts = self._context.settings.commit_attempts
        for attempt in range(attempts):
            record = (await self._repository.records([session_id])).get(session_id)
            if record is None:
                return attempt > 0
            time = await self._context.store.now()
            commit = self._withdrawal(record, actor, time)
            (answer,) = await self._context.store.commit([commit])
            if isinstance(answer, Committed):
                _log.error("session %s… was not readable and has been removed", session_id[:8])
                return True
            await self._context.store.pause(attempt)
        raise TooManyConflicts([f"session {session_id[:8]}…"], attempts)

    def _withdrawal(self, record: Record, actor: str, time: StoreTime) -> Commit:
        user_id = record.attributes.get(BY_USER.partition, "")
        draft = lifecycle.withdraw(user_id, now=from_micros(time.calendar), actor=actor)
        return self._repository.removal(record, draft, time=time)

    async def _expire(self, loaded: Loaded[Session]) -> None:
        """Record its end, if its lease has expired; a use in between wins."""
        time = await self._context.store.now()
        if loaded.lease is not None and loaded.lease.expires >= time.micros:
            return  # only the calendar says so, and it may be wrong
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
        """Record a use; a writer in between has also recorded a use, or has ended the session."""
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


def _created(spec: SessionSpec, token: str, time: StoreTime) -> Decision[Session]:
    return lifecycle.create(
        spec,
        session_id=hash_token(token),
        now=from_micros(time.calendar),
        calendar_ahead=time.ahead,
    )


def _first_lease(session: Session, time: StoreTime) -> Lease:
    """Return the lease of a session created now: its idle time, within its lifetime."""
    lasts = (session.expires_at - session.created_at).total_seconds()
    limit = time.micros + micros(lasts)
    return Lease(
        claim_id=_claim_id(session.session_id),
        granted=time.micros,
        renewed=time.micros,
        expires=min(time.micros + micros(session.idle_seconds), limit),
        limit=limit,
    )


def _claim_id(session_id: str) -> str:
    return session_id[:32]


def _idle_expires_at(loaded: Loaded[Session], time: StoreTime) -> datetime:
    """Return when it ends without a further use, on the current calendar.

    That is the end of its lease on the steady clock, or its idle time after the last use on the
    calendar, whichever comes first.
    """
    session, lease = loaded.value, loaded.lease
    if lease is None:
        return session.expires_at
    used = max(0, lease.renewed + session.calendar_ahead)
    end = min(time.calendar_of(lease.expires), used + micros(session.idle_seconds))
    return from_micros(end)
