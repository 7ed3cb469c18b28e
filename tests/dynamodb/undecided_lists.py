"""A store that puts a commit into many lists which stays undecided: its lease does not expire.

What a list tells is journalled together. The neighbours of a commit that is refused, and whose
record stays as it is, must come into the log and the counters once, whoever reads meanwhile and
whoever is killed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cicd_core.ids import IdSource
from cicd_core.increments import Increment
from cicd_core.persistence.collections import COORDINATION
from cicd_core.store.records import Commit, Committed, Conflict, Guard, Lease, Put

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cicd_core.store.contract import Store

#: What such commits count, in vain.
COUNTER: Final = "undecided|n"
_HOUR: Final = 3600 * 1_000_000
#: So many of ten lists get such a commit.
_TENTHS: Final = 6


class UndecidedLists:
    """Passes on what it is asked, with a commit that is to be refused in most lists."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ids = IdSource()
        #: A record with a long lease, and its version.
        self._held: tuple[str, int] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, commits: Sequence[Commit]) -> list[Committed | Conflict]:
        if not commits or self._ids.jitter() * 10 >= _TENTHS:
            return await self._store.commit(commits)
        place = int(self._ids.jitter() * (len(commits) + 1))
        undecided = await self._undecided()
        answers = await self._store.commit([*commits[:place], undecided, *commits[place:]])
        answer = answers.pop(place)
        assert isinstance(answer, Conflict), "a lease was taken for expired an hour early"
        return answers

    async def _undecided(self) -> Commit:
        """Return a commit of a record with a long lease, which asks that it has expired."""
        if self._held is None:
            self._held = await self._hold()
        key, version = self._held
        return self._commit(
            Put(
                collection=COORDINATION.name,
                key=key,
                expected=version,
                body=b"{}",
                guard=Guard.LEASE_EXPIRED,
            ),
            Increment(COUNTER, 1),
        )

    async def _hold(self) -> tuple[str, int]:
        """Make a record with a long lease: another one each time, since an answer may be lost."""
        key, now = f"undecided-{self._ids.commit_id()}", (await self._store.now()).micros
        ends = now + _HOUR
        lease = Lease(
            claim_id=self._ids.claim_id(), granted=now, renewed=now, expires=ends, limit=ends
        )
        put = Put(collection=COORDINATION.name, key=key, expected=0, body=b"{}", lease=lease)
        (answer,) = await self._store.commit([self._commit(put)])
        assert isinstance(answer, Committed)
        return key, answer.versions[COORDINATION.name, key]

    def _commit(self, put: Put, *increments: Increment) -> Commit:
        return Commit(commit_id=self._ids.commit_id(), writes=(put,), increments=increments)
