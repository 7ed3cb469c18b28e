"""Waiters for records: who waits for what, and which of them an arrival wakes.

A watch without a turn is woken by each record that comes in. Of the watches with a turn, a record
wakes one: the smallest turn first. A waiter that was chosen and ends without an answer passes the
wake-up on. Every store that learns of arrivals by itself uses this one implementation.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from anyio import Event, current_time, move_on_after
from sortedcontainers import SortedDict

from cicd_core.clock import monotonic_seconds
from cicd_core.threads import run_soon_here

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from cicd_core.store.records import Partition, Watch

#: How a store names a partition; hashable.
Place = TypeVar("Place")
#: A turn, and a number that tells equal ones apart.
_Turn = tuple[str, int]

#: The longest that a waiter relies on being woken, in seconds; then it looks again. The one that
#: was chosen may have died with its process.
LOOK_PERIOD: Final = 5.0
#: How long a waiter that was chosen may take to claim, in seconds, before a store that only sees
#: that a record is there chooses another one.
_CLAIM_PERIOD: Final = 1.0


class Waiter(Generic[Place]):
    """One call of ``wait``."""

    def __init__(self, watches: Sequence[Watch], owner: object, number: int) -> None:
        """Belong to the event loop that runs here."""
        self.watches = tuple(watches)
        self.owner = owner
        self.number = number
        #: Whether it was woken; its event follows, in the turn of its own loop.
        self.is_woken = False
        #: The arrival that it alone was woken by: the partition and the sort value.
        self.chosen_for: tuple[Place, str] | None = None
        self._woken = Event()
        self._run_soon = run_soon_here()

    def wake(self) -> bool:
        """Wake it, from any thread; False: its event loop has ended."""
        self.is_woken = True
        return self._run_soon(self._woken.set)

    async def is_woken_within(self, seconds: float) -> bool:
        """Wait to be woken, so many seconds at most."""
        with move_on_after(seconds):
            await self._woken.wait()
        return self._woken.is_set()


class Waiters(Generic[Place]):
    """Who waits, by partition. Safe for threads."""

    def __init__(
        self,
        place_of: Callable[[Partition], Place],
        *,
        pass_on: Callable[[Place, str], object] | None = None,
    ) -> None:
        """Start with nobody.

        Args:
            place_of: names a partition.
            pass_on: gets the partition and the sort value of an arrival whose chosen waiter ends
                without an answer; by default :meth:`offer`.
        """
        self._place_of = place_of
        self._pass_on = pass_on or self.offer
        self._lock = threading.RLock()
        self._number = 0
        self._waiters: dict[int, Waiter[Place]] = {}
        #: Those without a turn, with the bound above which a sort value wakes them.
        self._crowds: dict[Place, dict[Waiter[Place], str]] = {}
        #: Those with one.
        self._lines: dict[Place, SortedDict[_Turn, tuple[Waiter[Place], str]]] = {}
        #: When one of a line was chosen last, while others stand in it.
        self._chosen: dict[Place, float] = {}
        #: Where one was chosen since a record is there: the news of it may be yet to come.
        self._foreseen: set[Place] = set()

    async def wait(
        self,
        watches: Sequence[Watch],
        seconds: float,
        *,
        owner: object,
        look: Callable[[], Awaitable[bool]],
        check: Callable[[], object],
    ) -> bool:
        """Return whether one of the watches may have come true within so many seconds.

        Args:
            watches: what to wait for.
            seconds: how long.
            owner: the store that is asked; :meth:`wake_all` wakes its waiters.
            look: tells whether one of the watches is true now; asked first, and now and then.
            check: raises if the store has been closed; asked before every answer.
        """
        waiter = self._add(watches, owner)  # before it looks: no arrival falls in between
        answer = False
        try:
            came = await _is_met(waiter, current_time() + seconds, look)
            check()
            answer = came
        finally:
            self._remove(waiter)
            if waiter.chosen_for is not None and not answer:
                self._pass_on(*waiter.chosen_for)
        return answer

    def tell(self, place: Place, sort: str) -> None:
        """Wake those whom a record with this sort value in a partition concerns."""
        if place in self._crowds:
            self.announce(place, sort)
        if place in self._foreseen:
            self._foreseen.discard(place)  # where it was another record, the claim passes it on
        elif place in self._lines:
            self.offer(place, sort)

    def announce(self, place: Place, sort: str) -> None:
        """Wake all who wait without a turn."""
        with self._lock:
            for waiter, bound in self._crowds.get(place, {}).items():
                if sort > bound:
                    waiter.wake()

    def offer(self, place: Place, sort: str) -> bool:
        """Wake the first of those who wait with a turn; False: there is none."""
        with self._lock:
            line = self._lines.get(place)
            if line is None:
                return False
            for turn, (waiter, bound) in line.items():
                if sort > bound and not waiter.is_woken and waiter.wake():
                    waiter.chosen_for = (place, sort)
                    del line[turn]
                    self._chosen[place] = monotonic_seconds()
                    self._tidy(place)
                    return True
            return False

    def offer_to(self, place: Place, turn: str, sort: str) -> bool:
        """Wake one with this very turn; False: it does not wait any more."""
        with self._lock:
            line = self._lines.get(place, SortedDict())
            for key in line.irange((turn, 0)):
                if key[0] != turn:
                    break
                waiter, bound = line[key]
                if sort > bound and not waiter.is_woken and waiter.wake():
                    waiter.chosen_for = (place, sort)
                    return True
            return False

    def offer_what_is_there(self, place: Place, sort: str) -> None:
        """Wake the first with a turn, unless one was a moment ago, who may be about to claim."""
        with self._lock:
            chosen = self._chosen.get(place)
            may_choose = chosen is None or monotonic_seconds() - chosen > _CLAIM_PERIOD
            if may_choose and self.offer(place, sort) and place in self._lines:
                self._foreseen.add(place)

    def claimed(self, place: Place) -> bool:
        """Note that somebody claimed from a partition; whether any wait there with a turn."""
        with self._lock:
            self._chosen.pop(place, None)
            self._foreseen.discard(place)
            return place in self._lines

    @property
    def have_turns(self) -> bool:
        """Whether any wait with a turn, anywhere."""
        return bool(self._lines)

    def wait_in_turn(self, place: Place) -> bool:
        """Whether any wait in a partition with a turn."""
        return place in self._lines

    def wake_all(self, owner: object) -> None:
        """Wake every waiter of a store, for nothing: it was closed, or its connection was lost."""
        with self._lock:
            for waiter in self._waiters.values():
                if waiter.owner is owner:
                    waiter.wake()

    def _add(self, watches: Sequence[Watch], owner: object) -> Waiter[Place]:
        with self._lock:
            self._number += 1
            waiter = self._waiters[self._number] = Waiter(watches, owner, self._number)
            for watch in watches:
                place, bound = self._place_of(watch.partition), watch.after or ""
                # Every sort value is above the empty one; of two watches the wider one counts.
                if watch.turn is None:
                    crowd = self._crowds.setdefault(place, {})
                    crowd[waiter] = min(bound, crowd.get(waiter, bound))
                else:
                    line = self._lines.setdefault(place, SortedDict())
                    turn = (watch.turn, waiter.number)
                    line[turn] = (waiter, min(bound, line[turn][1] if turn in line else bound))
        return waiter

    def _remove(self, waiter: Waiter[Place]) -> None:
        with self._lock:
            del self._waiters[waiter.number]
            for watch in waiter.watches:
                place = self._place_of(watch.partition)
                if watch.turn is None:
                    crowd = self._crowds.get(place, {})
                    crowd.pop(waiter, None)
                    if not crowd:
                        self._crowds.pop(place, None)
                elif place in self._lines:
                    self._lines[place].pop((watch.turn, waiter.number), None)
                    self._tidy(place)

    def _tidy(self, place: Place) -> None:
        if not self._lines[place]:
            del self._lines[place]
            self._chosen.pop(place, None)
            self._foreseen.discard(place)


async def _is_met(waiter: Waiter[Place], until: float, look: Callable[[], Awaitable[bool]]) -> bool:
    while not await look():
        left = until - current_time()
        if await waiter.is_woken_within(min(left, LOOK_PERIOD)):
            return True
        if left <= LOOK_PERIOD:
            return False
    return True
