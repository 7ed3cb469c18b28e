"""The log of a shard: applied journal items, copied to numbered items, in order.

Any number of processes may do this concurrently. Each step is one conditional put of the next
number, and its item has the processed end of the journal; so exactly one process does each step.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Final

from anyio import Lock, sleep

from cicd_core.clock import monotonic_seconds
from cicd_core.errors import StoreReadOnly
from cicd_core.values import frozen
from cicd_core_dynamodb import items
from cicd_core_dynamodb.applied_commits import is_proved, is_void, served
from cicd_core_dynamodb.calls import all_of
from cicd_core_dynamodb.expressions import Expression
from cicd_core_dynamodb.failures import ConditionFailed
from cicd_core_dynamodb.log_stream import Numbered
from cicd_core_dynamodb.log_times import APART, RIPE, SETTLED, keeps_for
from cicd_core_dynamodb.ordering import in_order, with_predecessors
from cicd_core_dynamodb.server_clock import UNCERTAIN
from cicd_core_dynamodb.still_open import first_too_many, still_open

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from cicd_core.increments import Increment
    from cicd_core.store.records import Subject
    from cicd_core_dynamodb.calls import Calls, Item
    from cicd_core_dynamodb.items import Layout
    from cicd_core_dynamodb.journal_reader import JournalReader, Look
    from cicd_core_dynamodb.log_stream import LogStream
    from cicd_core_dynamodb.ordering import Name, WaitingEntry
    from cicd_core_dynamodb.reads import Reader
    from cicd_core_dynamodb.still_open import StillOpen

#: The pause after the first lost race, in seconds; it doubles, up to the longest.
_FIRST_PAUSE: Final = 0.004
_LONGEST_PAUSE: Final = 0.25
#: An item journalled so long (µs) after the start of a call, by its writer's clock, was written
#: after the call started, even if both clocks have their largest errors.
_LATER: Final = APART
#: About the most bytes of entries in an item of the log, unless a single one has more.
_ITEM_BYTES: Final = 64 * 1024
#: The number of entries without an applied commit at which the log records how far the journal
#: was read.
_LEFTOVERS: Final = 200
#: The most bytes of the names of open entries in an item of the log: beside the largest event there
#: is no more room. If they need more, hundreds of commits were abandoned, and the journal is read
#: again from the first entry that is not named.
OPEN_BYTES: Final = 10_500
#: The number of items of the log whose increments are remembered for the counters.
_REMEMBERED: Final = 512
#: Seconds for which the cached end of the log is worth continuing from.
_REMEMBERED_SECONDS: Final = 30.0


@frozen(kw_only=True)
class _Step:
    """The next step after a look at the journal."""

    entries: list[WaitingEntry]
    #: Proofs that are no longer needed, by the record that holds them.
    served: Mapping[Subject, Sequence[bytes]]
    reached: int
    open: tuple[StillOpen, ...]
    #: The moment (µs) after which the journal was not read; None: it was read to its end.
    cut: int | None

    def is_owed(self, until: int) -> bool:
        """Whether the step or the unread rest may have entries journalled up to ``until`` (µs)."""
        missing = self.cut is not None and self.cut <= until
        return missing or any(entry.micros <= until for entry in self.entries)


class Sequencer:
    """One shard of the log, as this process knows it."""

    def __init__(
        self,
        shard: int,
        calls: Calls,
        reader: Reader,
        layout_of: Callable[[str], Layout],
        *,
        journal: JournalReader,
        log: LogStream,
        retention: int,
        jitter: Callable[[], float],
    ) -> None:
        """Copy from the journal to the log; an event stays for ``retention`` µs.

        ``layout_of`` returns the layout of a collection by its name, even of a collection that only
        other processes know. ``jitter`` returns a random number from 0 up to 1.
        """
        self._shard = shard
        self._calls = calls
        self._reader = reader
        self._layout_of = layout_of
        self._journal = journal
        self._retention = retention
        self._jitter = jitter
        self._lock = Lock()
        #: The time of the last complete read (monotonic seconds); None: never.
        self._known: float | None = None
        #: The items of the log.
        self.log = log
        #: The number of the last item; 0: there is none.
        self.head = 0
        self._reached = 0
        self._open: tuple[StillOpen, ...] = ()
        #: The entries in the log that a look may find again, and when they were appended (µs).
        self._done: dict[Name, int] = {}
        self._increments: OrderedDict[int, tuple[Increment, ...]] = OrderedDict()

    async def advance(self) -> int:
        """Update the log with all applied commits, and return the number of its last item.

        It includes all commits applied before the call, by any process. Other processes may append
        meanwhile, so the log may grow; commits after the start of the call are not awaited.
        """
        async with self._lock:
            now = await self._calls.now()
            until = now.micros + _LATER + max(0, now.uncertainty - UNCERTAIN)
            races = 0
            while True:
                await self._catch_up()
                step = await self._next_step()
                if step is None:
                    return self.head
                taken = await self._take(step)
                if (taken and step.cut is None) or not step.is_owed(until):
                    return self.head
                if not taken:
                    await sleep(self._pause(races))
                    races += 1

    async def follow(self) -> int:
        """Read the items that others have appended, and return the number of the last one."""
        async with self._lock:
            await self._catch_up()
            return self.head

    def increments(self, after: int) -> dict[int, tuple[Increment, ...]]:
        """Return the increments of the items after a number, as far as they are remembered."""
        return {at: those for at, those in self._increments.items() if at > after}

    def _pause(self, races: int) -> float:
        """Return how many seconds to wait after a number of lost races, so that others finish."""
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(races, 16))
        return longest * (0.5 + self._jitter())

    # -------------------------------------------------------------------------- the known state

    async def _catch_up(self) -> None:
        asked = monotonic_seconds()
        if self._known is not None and asked - self._known < _REMEMBERED_SECONDS:
            found = await self.log.read(self.head + 1)
        else:  # reading all items that others have written since could be too much
            self._done.clear()
            self._increments.clear()
            found = await self.log.latest(APART)
            now = (await self._calls.now()).micros
            # Older items are in a log whose items have all expired, or were never applied.
            self._reached = max(0, now - keeps_for(self._retention))
        for item in found:
            self._note(item)
        self._known = asked

    def _note(self, item: Numbered) -> None:
        self.head = item.at
        if item.reached is not None:
            self._reached, self._open = item.reached, item.open
        # An item without a time was appended before the journal was processed further.
        when = item.appended if item.appended is not None else self._reached + SETTLED + RIPE
        self._done.update((entry.name, when) for entry in item.entries)
        # Older items were journalled before that time, with both clocks UNCERTAIN.
        oldest = self._reached - APART
        for name in [item for item, when in self._done.items() if when < oldest]:
            del self._done[name]
        self._increments[item.at] = tuple(
            increment for entry in item.entries for increment in entry.increments
        )
        while len(self._increments) > _REMEMBERED:
            self._increments.popitem(last=False)

    # -------------------------------------------------------------------------- the next step

    async def _next_step(self) -> _Step | None:
        """Return the next step; None: there is nothing to do."""
        look = await self._journal.look(self._reached, self._open)
        fresh = self._fresh(look)
        there = await self._anchors(fresh.values())
        applied = [item for item in fresh.values() if is_proved(item, there)]
        if not applied:
            return self._step(look, fresh, there, [], {})
        # All commits before an applied commit were journalled before it, so their items exist now.
        beyond = self._fresh(await self._journal.look(self._reached, self._open, beyond=look))
        done = {} if look.cut else served(self._shard, there, beyond)
        for one in applied:
            beyond.pop(one.name, None)
        later = await self._anchors(beyond.values())
        chosen = with_predecessors(applied, [e for e in beyond.values() if is_proved(e, later)])
        return self._step(look, fresh, {**there, **later}, chosen, done)

    def _fresh(self, look: Look) -> dict[Name, WaitingEntry]:
        """Return the entries that the log does not have yet."""
        return {item.name: item for item in look.waiting if item.name not in self._done}

    def _step(
        self,
        look: Look,
        fresh: Mapping[Name, WaitingEntry],
        there: Mapping[Subject, Item],
        chosen: list[WaitingEntry],
        done: Mapping[Subject, Sequence[bytes]],
    ) -> _Step | None:
        now = look.asked
        names = {item.name for item in chosen}
        undecided = [
            item
            for name, item in fresh.items()
            if name not in names and not is_void(item, there, now.micros)
        ]
        opened = still_open(undecided)
        reached = max(self._reached, min(self._bounds(look, undecided, opened)))
        named = tuple(item for item in opened if item.micros <= reached)
        passed = sum(self._reached < item.micros <= reached for item in look.waiting)
        decided = len(self._open) - sum(item.micros <= self._reached for item in named)
        if not chosen and passed < _LEFTOVERS and decided < _LEFTOVERS:
            return None
        return _Step(
            entries=in_order(chosen),
            served=done,
            reached=reached,
            open=named,
            cut=look.last if look.cut else None,
        )

    @staticmethod
    def _bounds(
        look: Look, undecided: Iterable[WaitingEntry], opened: Sequence[StillOpen]
    ) -> Iterable[int]:
        """Return limits of the time up to which the journal has been processed.

        They exclude items that may still appear, entries that may be decided soon, the unread rest
        of the journal, and open entries that do not fit into the item's list.
        """
        now = look.asked
        yield now.micros - RIPE - max(0, now.uncertainty - UNCERTAIN)
        for item in undecided:
            if item.micros > now.micros - SETTLED:
                yield item.micros - 1
        if look.cut:
            yield look.last - 1
        if (unnamed := first_too_many(opened, OPEN_BYTES)) is not None:
            yield unnamed.micros - 1

    async def _anchors(self, entries: Iterable[WaitingEntry]) -> dict[Subject, Item]:
        """Read the current records that may prove entries."""
        keys: dict[str, set[str]] = {}
        for entry in entries:
            collection, key = entry.entry.anchor
            keys.setdefault(collection, set()).add(key)
        found = await all_of(
            partial(self._reader.items, self._layout_of(name), sorted(wanted), only=items.PROVING)
            for name, wanted in keys.items()
        )
        return {
            (name, key): item
            for name, those in zip(keys, found, strict=True)
            for key, item in those.items()
        }

    # -------------------------------------------------------------------------- the step's work

    async def _take(self, step: _Step) -> bool:
        """Append the item of a step; False: another process was faster, so read more."""
        now = await self._calls.now()
        # Never before its entries were journalled, except by UNCERTAIN: _note relies on this.
        appended = now.micros + max(0, now.uncertainty - UNCERTAIN)
        parcels = list(_parcels(step.entries)) or [[]]
        for part, parcel in enumerate(parcels, start=1):
            is_last = part == len(parcels)
            item = Numbered(
                at=(self.head or await self.log.base(appended)) + 1,
                entries=tuple(item.entry for item in parcel),
                appended=appended,
                reached=step.reached if is_last else self._reached,
                open=step.open if is_last else self._open,
                is_first=not self.head,
            )
            if not await self.log.append(item):
                return False
            self._note(item)
        await all_of(partial(self._drop, *pair) for pair in step.served.items())
        return True

    async def _drop(self, anchor: Subject, proofs: Sequence[bytes]) -> None:
        """Remove proofs that are no longer needed."""
        layout = self._layout_of(anchor[0])
        update = Expression()
        update.delete(items.PROOFS, {"BS": list(proofs)})
        update.require("attribute_exists({e})", e=items.PROOFS)
        key = {items.KEY: layout.key(anchor[1])}
        try:
            await self._calls("update_item", **update.parameters(self._calls.table(anchor[0]), key))
        except (ConditionFailed, StoreReadOnly):
            return  # the record is gone, or this process may only read: others will do it


def _parcels(entries: Iterable[WaitingEntry]) -> Iterable[list[WaitingEntry]]:
    parcel: list[WaitingEntry] = []
    size = 0
    for entry in entries:
        if parcel and size + entry.entry.size > _ITEM_BYTES:
            yield parcel
            parcel, size = [], 0
        parcel.append(entry)
        size += entry.entry.size
    if parcel:
        yield parcel
