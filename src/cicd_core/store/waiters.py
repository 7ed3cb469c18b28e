"""Waiters for records, and the choice of the waiters that an arrival wakes.

Each new record wakes all watches without a turn. Of the watches with a turn, it wakes one: the
smallest turn first. If the chosen waiter ends without an answer, it passes the wake-up on. All
stores that notice arrivals themselves use this implementation.
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

#: A store's name of a partition; hashable.
PartitionKey = TypeVar("PartitionKey")
#: A turn, and a number that makes equal turns unique.
_Turn = tuple[str, int]

#: The longest time that a waiter relies on being woken, in seconds; then it looks again. The chosen
#: waiter may have died with its process.
LOOK_PERIOD: Final = 5.0
#: How long a chosen waiter may take to claim, in seconds, before a store that only sees an existing
#: record chooses another waiter.
_CLAIM_PERIOD: Final = 1.0


class Waiter(Generic[PartitionKey]):
    """One call of ``wait``."""

    def __init__(self, watches: Sequence[Watch], owner: object, number: int) -> None:
        """Create a waiter of the current event loop."""
        self.watches = tuple(watches)
        self.owner = owner
        self.number = number
        #: Whether it was woken; its event is set later, in its own loop.
        self.is_woken = False
        #: The arrival for which only this waiter was woken: the partition and the sort value.
        self.chosen_for: tuple[PartitionKey, str] | None = None
        self._woken = Event()
        self._run_soon = run_soon_here()

    def wake(self) -> bool:
        """Wake it, from any thread; False: its event loop has ended."""
        self.is_woken = True
        return self._run_soon(self._woken.set)

    async def is_woken_within(self, seconds: float) -> bool:
        """Wait to be woken, for at most ``seconds``."""
        with move_on_after(seconds):
            await self._woken.wait()
        return self._woken.is_set()


class Waiters(Generic[PartitionKey]):
    """The waiters, by partition. Thread-safe."""

    def __init__(
        self,
        key_of_partition: Callable[[Partition], PartitionKey],
        *,
        pass_on: Callable[[PartitionKey, str], object] | None = None,
    ) -> None:
        """Start without waiters.

        Args:
            key_of_partition: returns the name of a partition.
            pass_on: called with the partition and the sort value of an arrival whose chosen waiter
                ends without an answer; by default :meth:`offer`.
        """
        self._key_of = key_of_partition
        self._pass_on = pass_on or self.offer
        self._lock = threading.RLock()
        self._number = 0
        self._waiters: dict[int, Waiter[PartitionKey]] = {}
        #: The waiters without a turn, each with the bound above which a sort value wakes it.
        self._crowds: dict[PartitionKey, dict[Waiter[PartitionKey], str]] = {}
        #: The waiters with a turn.
        self._lines: dict[PartitionKey, SortedDict[_Turn, tuple[Waiter[PartitionKey], str]]] = {}
        #: When the last waiter of a line was chosen, if others remain in the line.
        self._chosen: dict[PartitionKey, float] = {}
        #: The partitions in which a waiter was chosen for an existing record: the arrival of that
        #: record may still be reported.
        self._foreseen: set[PartitionKey] = set()
        #: The number of claims, and the number of each line's last claim.
        self.claims = 0
        self._last_claims: dict[PartitionKey, int] = {}

    async def wait(
        self,
        watches: Sequence[Watch],
        seconds: float,
        *,
        owner: object,
        look: Callable[[], Awaitable[bool]],
        check: Callable[[], object],
    ) -> bool:
        """Return whether one of the watches may have come true within ``seconds``.

        Args:
            watches: the watches to wait for.
            seconds: the longest time to wait.
            owner: the store of the call; :meth:`wake_all` wakes its waiters.
            look: returns whether one of the watches is true now; called first, and periodically.
            check: raises an error if the store was closed; called before every answer.
        """
        waiter = self._add(watches, owner)  # before the look, so that no arrival is missed
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

    def tell(self, partition: PartitionKey, sort: str) -> None:
        """Wake the waiters for a new record with this sort value in a partition."""
        if not self._waiters and not self._foreseen:
            return
        if partition in self._crowds:
            self.announce(partition, sort)
        if partition in self._foreseen:
            self._foreseen.discard(partition)  # if it is another record, the claim passes it on
        elif partition in self._lines:
            self.offer(partition, sort)

    def announce(self, partition: PartitionKey, sort: str) -> None:
        """Wake all waiters without a turn."""
        with self._lock:
            for waiter, bound in self._crowds.get(partition, {}).items():
                if sort > bound:
                    waiter.wake()

    def offer(self, partition: PartitionKey, sort: str) -> bool:
        """Wake the first waiter with a turn; False: there is none."""
        with self._lock:
            line = self._lines.get(partition)
            if line is None:
                return False
            for turn, (waiter, bound) in line.items():
                if sort > bound and not waiter.is_woken and waiter.wake():
                    waiter.chosen_for = (partition, sort)
                    del line[turn]
                    self._chosen[partition] = monotonic_seconds()
                    self._tidy(partition)
                    return True
            return False

    def offer_to(self, partition: PartitionKey, turn: str, sort: str) -> bool:
        """Wake a waiter with this turn; False: none waits any more."""
        with self._lock:
            line = self._lines.get(partition, SortedDict())
            for key in line.irange((turn, 0)):
                if key[0] != turn:
                    break
                waiter, bound = line[key]
                if sort > bound and not waiter.is_woken and waiter.wake():
                    waiter.chosen_for = (partition, sort)
                    return True
            return False

    def offer_what_is_there(self, partition: PartitionKey, sort: str, claims: int) -> None:
        """Wake the first waiter with a turn, unless one was just woken and may be about to claim.

        Args:
            partition: the partition in which a record was seen.
            sort: a sort value below the record's.
            claims: the value of :attr:`claims` before the look that saw the record. A later claim
                may have taken it, and makes its own look at the remaining records.
        """
        with self._lock:
            chosen = self._chosen.get(partition)
            may_choose = chosen is None or monotonic_seconds() - chosen > _CLAIM_PERIOD
            may_choose = may_choose and self._last_claims.get(partition, 0) <= claims
            if may_choose and self.offer(partition, sort) and partition in self._lines:
                self._foreseen.add(partition)

    def claimed(self, partition: PartitionKey) -> bool:
        """Note a claim from a partition; return whether any waiter there has a turn."""
        with self._lock:
            self._chosen.pop(partition, None)
            self._foreseen.discard(partition)
            if partition not in self._lines:
                return False
            self.claims += 1
            self._last_claims[partition] = self.claims
            return True

    @property
    def have_turns(self) -> bool:
        """Whether any waiter has a turn, in any partition."""
        return bool(self._lines)

    def wait_in_turn(self, partition: PartitionKey) -> bool:
        """Whether any waiter in a partition has a turn."""
        return partition in self._lines

    def wake_all(self, owner: object) -> None:
        """Wake every waiter of a store without a record: it was closed, or lost its connection."""
        with self._lock:
            for waiter in self._waiters.values():
                if waiter.owner is owner:
                    waiter.wake()

    def _add(self, watches: Sequence[Watch], owner: object) -> Waiter[PartitionKey]:
        with self._lock:
            self._number += 1
            waiter = self._waiters[self._number] = Waiter(watches, owner, self._number)
            for watch in watches:
                partition, bound = self._key_of(watch.partition), watch.after or ""
                # Every sort value is above the empty one; of two watches, the lower bound counts.
                if watch.turn is None:
                    crowd = self._crowds.setdefault(partition, {})
                    crowd[waiter] = min(bound, crowd.get(waiter, bound))
                else:
                    line = self._lines.setdefault(partition, SortedDict())
                    turn = (watch.turn, waiter.number)
                    line[turn] = (waiter, min(bound, line[turn][1] if turn in line else bound))
        return waiter

    def _remove(self, waiter: Waiter[PartitionKey]) -> None:
        with self._lock:
            del self._waiters[waiter.number]
            for watch in waiter.watches:
                partition = self._key_of(watch.partition)
                if watch.turn is None:
                    crowd = self._crowds.get(partition, {})
                    crowd.pop(waiter, None)
                    if not crowd:
                        self._crowds.pop(partition, None)
                elif partition in self._lines:
                    self._lines[partition].pop((watch.turn, waiter.number), None)
                    self._tidy(partition)

    def _tidy(self, partition: PartitionKey) -> None:
        if not self._lines[partition]:
            del self._lines[partition]
            self._chosen.pop(partition, None)
            self._foreseen.discard(partition)
            self._last_claims.pop(partition, None)


async def _is_met(
    waiter: Waiter[PartitionKey], until: float, look: Callable[[], Awaitable[bool]]
) -> bool:
    while not await look():
        left = until - current_time()
        if await waiter.is_woken_within(min(left, LOOK_PERIOD)):
            return True
        if left <= LOOK_PERIOD:
            return False
    return True
