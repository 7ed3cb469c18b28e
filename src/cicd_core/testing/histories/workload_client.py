"""One client of a workload: its next call depends on a seed, and on its last observations.

If the store is unavailable, the effect of the call is unknown, and the client continues. Clients
write the same few records, and fill and empty one queue. A client's last observation is often out
of date, so commits conflict. Some calls are repeated with the same id, and some are cancelled.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from anyio import create_task_group
from anyio.lowlevel import checkpoint

from cicd_core.errors import StoreUnavailable
from cicd_core.increments import Increment
from cicd_core.store.records import KEEP, Claim, Commit, Committed, Delete, Guard, Renewal
from cicd_core.testing.histories.log_check import EVENTS_COUNTED
from cicd_core.testing.samples import ITEMS, SECOND, claim, commit, event_of, item
from cicd_core.testing.seeds import drawn
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Put

LANES: Final = ("red", "blue")
PRIORITIES: Final = "123"

Action: TypeAlias = "Callable[[], Coroutine[Any, Any, None]]"


@frozen(kw_only=True)
class Workload:
    """The settings of the clients; the same seed gives the same choices."""

    seed: int
    #: Concurrent tasks in each process.
    clients: int = 6
    #: The calls of each client.
    calls: int = 25
    #: The number of records that all clients write; 0: there is only the queue.
    hot_records: int = 3
    #: Maximum number of records per claim.
    claim_limit: int = 2
    #: The share of calls that are cancelled under way.
    cancelled: float = 0.03


class WorkloadClient:
    """Makes random calls, one after the other."""

    def __init__(self, store: Store, name: str, workload: Workload) -> None:
        """Draw from the workload's seed and the unique ``name``."""
        self._store = store
        self._name = name
        self._workload = workload
        self._random = drawn(workload.seed, name)
        self._numbers = count()
        self._hot = [f"hot{number}" for number in range(workload.hot_records)]
        #: The versions of its last observations.
        self._seen: dict[str, int] = {}
        #: The records that it put into the queue.
        self._queued: set[str] = set()
        #: The records that it holds, with their claims.
        self._held: dict[str, str] = {}
        #: All records that it ever took, with their claims: another client may hold them now.
        self._taken: dict[str, str] = {}
        self._commit: Commit | None = None
        self._claim: Claim | None = None
        self._actions = self._weighed_actions()

    async def run(self) -> None:
        """Make all calls of the workload."""
        for _ in range(self._workload.calls):
            await self.step()

    async def step(self) -> None:
        """Make one call; if the store is unavailable, its outcome is unknown."""
        (action,) = self._random.choices(list(self._actions), list(self._actions.values()))
        with suppress(StoreUnavailable):
            if self._random.random() < self._workload.cancelled:
                await self._cancelled(action)
            else:
                await action()

    def _weighed_actions(self) -> dict[Action, int]:
        """Return its possible calls, with their weights."""
        queue: dict[Action, int] = {
            self._enqueue: 6,
            self._take: 6,
            self._renew: 2,
            self._finish: 3,
            self._give_back: 2,
            self._move: 2,
            self._again: 2,
        }
        if self._hot:
            queue |= {self._read: 6, self._write: 6}
            queue |= {self._write_two: 2, self._erase: 1, self._list: 1}
        return queue

    async def _cancelled(self, action: Action) -> None:
        async def act() -> None:
            with suppress(StoreUnavailable):
                await action()

        async with create_task_group() as tasks:
            tasks.start_soon(act)
            for _ in range(self._random.randrange(4)):
                await checkpoint()
            tasks.cancel_scope.cancel()

    async def _read(self) -> None:
        keys = self._random.sample(self._hot, self._random.randint(1, len(self._hot)))
        records = await self._store.get(ITEMS.name, keys)
        for key in keys:
            self._seen[key] = records[key].version if key in records else 0

    async def _write(self) -> None:
        key = self._random.choice(self._hot)
        guard = self._random.choice([Guard.NONE] * 4 + [Guard.LEASE_EXPIRED])
        lease = self._random.choice([KEEP, KEEP, None])
        await self._apply(self._put(key, guard=guard, lease=lease))

    async def _write_two(self) -> None:
        keys = self._random.sample(self._hot, min(2, len(self._hot)))
        await self._apply(*map(self._put, keys))

    async def _erase(self) -> None:
        """Delete an observed record, with a put, since a commit must have a put."""
        key = self._random.choice(self._hot)
        if version := self._seen.get(key):
            delete = Delete(collection=ITEMS.name, key=key, expected=version)
            await self._apply(self._put(self._new_key()), delete)
        else:
            await self._read()

    async def _list(self) -> None:
        """Write one record in two commits of a list; the second one conflicts."""
        key = self._random.choice(self._hot)
        commits = [self._new_commit(self._put(key)), self._new_commit(self._put(key))]
        for one, answer in zip(commits, await self._store.commit(commits), strict=True):
            self._learn(one, answer)

    async def _enqueue(self) -> None:
        key = self._new_key()
        self._queued.add(key)
        await self._apply(self._put(key, lane=self._random.choice(LANES)))

    async def _move(self) -> None:
        """Change the priority of a job that it enqueued, or remove the job; it may be gone."""
        if self._queued:
            await self._apply(self._put(self._random.choice(sorted(self._queued))))
        else:
            await self._enqueue()

    async def _take(self) -> None:
        lanes = self._random.sample(LANES, self._random.randint(1, len(LANES)))
        limit = self._random.randint(1, self._workload.claim_limit)
        self._claim = claim(limit, lanes=lanes, claim_id=self._new_id())
        await self._ask_for(self._claim)

    async def _renew(self) -> None:
        leases = self._random.choice([self._held, self._taken])
        if not leases:
            await self._take()
            return
        key = self._random.choice(sorted(leases))
        renewal = Renewal(
            collection=ITEMS.name,
            key=key,
            claim_id=leases[key],
            duration=self._random.randint(1, 90) * SECOND,
        )
        (renewed,) = await self._store.renew([renewal])
        if renewed is None:
            self._held.pop(key, None)
        else:
            self._seen[key] = renewed.version

    async def _finish(self) -> None:
        await self._let_go(None)

    async def _give_back(self) -> None:
        await self._let_go(self._random.choice(LANES))

    async def _let_go(self, lane: str | None) -> None:
        if self._held:
            key = self._random.choice(sorted(self._held))
            del self._held[key]
            await self._apply(self._put(key, lane=lane, lease=None))
        else:
            await self._take()

    async def _again(self) -> None:
        """Repeat its last commit or its last claim, as after a lost answer."""
        last = [one for one in (self._commit, self._claim) if one is not None]
        again = self._random.choice(last) if last else None
        if isinstance(again, Claim):
            await self._ask_for(again)
        elif again is not None:
            (answer,) = await self._store.commit([again])
            self._learn(again, answer)

    async def _apply(self, *writes: Put | Delete) -> None:
        self._commit = self._new_commit(*writes)
        (answer,) = await self._store.commit([self._commit])
        self._learn(self._commit, answer)

    async def _ask_for(self, one: Claim) -> None:
        for record in await self._store.claim(one):
            self._seen[record.key] = record.version
            self._held[record.key] = self._taken[record.key] = one.claim_id

    def _learn(self, one: Commit, answer: object) -> None:
        """Record the versions of a commit, and drop records that another client has changed."""
        for write in one.writes:
            if not isinstance(answer, Committed):
                self._queued.discard(write.key)
                self._held.pop(write.key, None)
            elif isinstance(write, Delete):
                self._seen[write.key] = 0
            else:
                self._seen[write.key] = answer.versions[write.collection, write.key]

    def _put(self, key: str, **fields: Any) -> Put:
        """Return a write of its last observation, by default in any lane or in none."""
        number = next(self._numbers)
        fields.setdefault("lane", self._random.choice([None, *LANES]))
        return item(
            key,
            expected=self._seen.get(key, 0),
            rank=f"{self._random.choice(PRIORITIES)}.{number:05}",
            body=f"{self._name}-{number}".encode(),
            **fields,
        )

    def _new_commit(self, *writes: Put | Delete) -> Commit:
        """Return a commit with an event per put, which counts them."""
        events = [event_of(write.key) for write in writes if not isinstance(write, Delete)]
        increments = [Increment(EVENTS_COUNTED, len(events))]
        return commit(*writes, events=events, increments=increments, commit_id=self._new_id())

    def _new_key(self) -> str:
        return f"item-{self._new_id()}"

    def _new_id(self) -> str:
        return f"{self._name}-{next(self._numbers)}"
