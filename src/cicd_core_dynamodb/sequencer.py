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

#: The pause after the first race that was lost, in seconds; it doubles, up to the longest.
_FIRST_PAUSE: Final = 0.004
_LONGEST_PAUSE: Final = 0.25
#: What was journalled (µs) so long after a call began, by the clock of who did, came after it: two
#: clocks that are both off by as much as they may.
_LATER: Final = APART
#: About the most bytes of entries in an item of the log, unless a single one has more.
_ITEM_BYTES: Final = 64 * 1024
#: So many entries that came to nothing are reason enough to note how far the journal was read.
_LEFTOVERS: Final = 200
#: The most bytes in which an item of the log names what is open: beside the largest event there is
#: room for no more. Where it takes more, commits by the hundred were given up, and the journal is
#: read again from the first one that is not named.
OPEN_BYTES: Final = 10_500
#: How many items of the log are remembered for the counters.
_REMEMBERED: Final = 512
#: Seconds for which the cached end of the log is worth continuing from.
_REMEMBERED_SECONDS: Final = 30.0


@frozen(kw_only=True)
class _Step:
    """What a look at the journal leads to."""

    entries: list[WaitingEntry]
    #: Proofs that are no longer needed, by the record that holds them.
    served: Mapping[Subject, Sequence[bytes]]
    reached: int
    open: tuple[StillOpen, ...]
    #: The moment (µs) behind which the journal was not looked at; None: it was, to its end.
    cut: int | None

    def is_owed(self, until: int) -> bool:
        """Whether anything may be in it, or behind it, that was journalled ``until`` then (µs)."""
        missing = self.cut is not None and self.cut <= until
        return missing or any(entry.micros <= until for entry in self.entries)


class Sequencer:
    """One shard of the log, as far as this process knows it."""

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

        ``layout_of`` returns the layout of a collection by its name: also of those that only other
        processes know. ``jitter`` draws a number from 0 up to 1.
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
        #: The items themselves.
        self.log = log
        #: The number of the last item; 0: there is none.
        self.head = 0
        self._reached = 0
        self._open: tuple[StillOpen, ...] = ()
        #: What the log has already, of what may be met again: when it was appended (µs).
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
        """Read what others have appended, and return the number of the last item."""
        async with self._lock:
            await self._catch_up()
            return self.head

    def increments(self, after: int) -> dict[int, tuple[Increment, ...]]:
        """Return the increments of the items after a number, as far as they are remembered."""
        return {at: those for at, those in self._increments.items() if at > after}

    def _pause(self, races: int) -> float:
        """How many seconds to wait after so many races that were lost: others may finish."""
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(races, 16))
        return longest * (0.5 + self._jitter())

    # ------------------------------------------------------------------------------ what is there

    async def _catch_up(self) -> None:
        asked = monotonic_seconds()
        if self._known is not None and asked - self._known < _REMEMBERED_SECONDS:
            found = await self.log.read(self.head + 1)
        else:  # all that others have written since would be too much
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
        # One that does not say when it was appended was so before the journal was read further.
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

    # ------------------------------------------------------------------------------ what is to do

    async def _next_step(self) -> _Step | None:
        """Return what to do next; None: there is nothing to do."""
        look = await self._journal.look(self._reached, self._open)
        fresh = self._fresh(look)
        there = await self._anchors(fresh.values())
        applied = [item for item in fresh.values() if is_proved(item, there)]
        if not applied:
            return self._step(look, fresh, there, [], {})
        # The commits before an applied commit were journalled before it: so they exist by now.
        beyond = self._fresh(await self._journal.look(self._reached, self._open, beyond=look))
        done = {} if look.cut else served(self._shard, there, beyond)
        for one in applied:
            beyond.pop(one.name, None)
        later = await self._anchors(beyond.values())
        chosen = with_predecessors(applied, [e for e in beyond.values() if is_proved(e, later)])
        return self._step(look, fresh, {**there, **later}, chosen, done)

    def _fresh(self, look: Look) -> dict[Name, WaitingEntry]:
        """Return what the log does not have yet."""
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
        """Return the times up to which the journal has been processed.

        That is what may still come; what may be decided soon; what was not looked at; and what
        would be too much to name.
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
        """Read the records that may prove entries, as they stand now."""
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

    # ------------------------------------------------------------------------------ what is done

    async def _take(self, step: _Step) -> bool:
        """Append the item of a step; False: another process was faster, so read more."""
        now = await self._calls.now()
        # Never before what it has was journalled, but for UNCERTAIN: see what is done with _done.
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
        """Drop proofs that have served."""
        layout = self._layout_of(anchor[0])
        update = Expression()
        update.delete(items.PROOFS, {"BS": list(proofs)})
        update.require("attribute_exists({e})", e=items.PROOFS)
        key = {items.KEY: layout.key(anchor[1])}
        try:
            await self._calls("update_item", **update.parameters(self._calls.table(anchor[0]), key))
        except (ConditionFailed, StoreReadOnly):
            return  # the record has gone, or this one may only read records: others will do it


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
