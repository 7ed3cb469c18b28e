"""Sessions: only a token's hash is stored; the idle expiry is the lease on the session's record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from cicd_core.control_plane.kinds import micros
from cicd_core.control_plane.listing import Listed, Listing, read_page
from cicd_core.errors import NotFound, SessionRejected
from cicd_core.lifecycle import sessions as lifecycle
from cicd_core.model.fields import check_label
from cicd_core.model.instants import from_micros
from cicd_core.model.session import Session, SessionSpec, check_session_id, checked, hash_token
from cicd_core.store.collections import BY_USER, SESSIONS
from cicd_core.store.records import Guard, Lease, Partition, Renewal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from cicd_core.control_plane.repository import Repository
    from cicd_core.control_plane.writer import Writer
    from cicd_core.lifecycle.decision import Decision
    from cicd_core.store.overlay import Loaded
    from cicd_core.store.records import StoreTime

#: A use moves the idle expiry at most this often, in seconds: validating is a read otherwise. Of
#: a short idle time it is this part.
_TOUCH_SECONDS = 30.0
_TOUCH_PART = 0.1


@frozen(kw_only=True)
class OpenedSession:
    """A new session, and the one time that its token is seen."""

    session: Session
    token: str

    def __repr__(self) -> str:
        """Leave the token out: a repr ends in logs."""
        return f"OpenedSession(session={self.session!r}, token='…')"


class SessionService:
    """Sessions of people and programs: create, validate, log out."""

    def __init__(self, writer: Writer, repository: Repository[Session]) -> None:
        """Take the way to the store, and the sessions' records."""
        self._writer = writer
        self._repository = repository

    async def create(
        self,
        user_id: str,
        *,
        ttl_seconds: float | None = None,
        idle_seconds: float | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> OpenedSession:
        """Open a session.

        Args:
            user_id: whose it is.
            ttl_seconds: how long it lasts at most; the settings' (24 hours) when left out.
            idle_seconds: how long without a use; the settings' when left out.
            metadata: such as ``user_agent`` and ``ip``.

        Raises:
            InvalidInput: a field is wrong; the error names it.
        """
        settings = self._writer.settings
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
        token = self._writer.ids.session_token()
        time = await self._writer.store_time()
        now = from_micros(time.calendar)
        decision = lifecycle.create(spec, session_id=hash_token(token), now=now)
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
        return OpenedSession(session=session if made is None else made.value, token=token)

    async def validate(self, token: str) -> Session:
        """Return the session that a token opens, and count this as a use of it.

        A session is over when its time has passed, and also from its ``expires_at`` on: the time
        that the store's machine was off, or a calendar that is ahead, may bring that earlier. That
        is not written down: once the calendar is right again, so is the session.

        Raises:
            SessionRejected: it is unknown, expired, idle for too long, or logged out.
        """
        key = hash_token(token)
        loaded = (await self._repository.get_many([key])).get(key)
        time = await self._writer.store_time()
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
            await self._touch(session)
        return session

    async def log_out(self, token: str, *, by: str = "user") -> None:
        """End the session that a token opens; one that has ended already, or never was, is fine."""
        await self._log_out(hash_token(token), by)

    async def revoke(self, session_id: str, *, by: str = "operator") -> None:
        """End a session by its id, as :meth:`list` tells it.

        Raises:
            InvalidInput: it is no session's id.
        """
        await self._log_out(check_session_id(session_id), by)

    async def log_out_everywhere(self, user_id: str, *, by: str = "operator") -> int:
        """End every session of a user, and return how many there were."""
        ended, cursor = 0, None
        while True:
            page = await self.list(user_id, limit=100, cursor=cursor)
            for session in page.items:
                if session.logged_out_at is None and session.expired_at is None:
                    await self._log_out(session.session_id, by)
                    ended += 1
            cursor = page.cursor
            if cursor is None:
                return ended

    async def list(
        self, user_id: str, *, limit: int = 50, cursor: str | None = None
    ) -> Listed[Session]:
        """Return a page of a user's sessions, the newest first."""
        partition = Partition(SESSIONS.name, BY_USER, check_label("user_id", user_id))
        listing = Listing(partitions=(partition,), load=self._repository.load)
        return await read_page(self._writer, listing, limit=limit, cursor=cursor)

    async def _log_out(self, session_id: str, by: str) -> None:
        def decide(session: Session, now: datetime) -> Decision[Session]:
            return lifecycle.log_out(session, now=now, by=by)

        try:
            await self._repository.change(session_id, decide)
        except NotFound:
            return

    async def _expire(self, loaded: Loaded[Session]) -> None:
        """Write down that it is over; a use that came in between wins."""
        time = await self._writer.store_time()
        decision = lifecycle.expire(
            loaded.value,
            now=from_micros(time.calendar),
            idle_expires_at=_idle_expires_at(loaded, time),
        )
        if decision.changed:
            commit = self._repository.commit_of(
                loaded, decision, time=time, guard=Guard.LEASE_EXPIRED
            )
            await self._writer.commit([commit])

    async def _touch(self, session: Session) -> None:
        renewal = Renewal(
            collection=SESSIONS.name,
            key=session.session_id,
            claim_id=_claim_id(session.session_id),
            duration=micros(session.idle_seconds),
        )
        await self._writer.patiently(lambda: self._writer.store.renew([renewal]))


def _claim_id(session_id: str) -> str:
    return session_id[:32]


def _idle_expires_at(loaded: Loaded[Session], time: StoreTime) -> datetime:
    if loaded.lease is None:
        return loaded.value.expires_at
    return from_micros(time.calendar_of(loaded.lease.expires))
