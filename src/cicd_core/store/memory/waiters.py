"""Those who wait for a record in a partition. Not safe for threads; what it calls is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from cicd_core.store.memory.rows import place_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from cicd_core.store.memory.rows import Place
    from cicd_core.store.records import Watch


@frozen(eq=False)  # each waits for itself, even beside another one just like it
class Waiter:
    """Somebody who is woken when one of the watches may have come true."""

    watches: tuple[Watch, ...]
    #: Safe to call from any thread, and more than once.
    wake: Callable[[], object]


class Waiters:
    """Who waits, by partition."""

    def __init__(self) -> None:
        """Start with nobody."""
        self._bounds: dict[Place, dict[Waiter, str]] = {}

    def add(self, waiter: Waiter) -> None:
        """Begin to tell ``waiter`` of new entries."""
        for watch in waiter.watches:
            bounds = self._bounds.setdefault(place_of(watch.partition), {})
            # Every sort value is above the empty one; of two watches the wider one counts.
            bounds[waiter] = min(watch.after or "", bounds.get(waiter, watch.after or ""))

    def remove(self, waiter: Waiter) -> None:
        """Tell ``waiter`` no more."""
        for place in {place_of(watch.partition) for watch in waiter.watches}:
            bounds = self._bounds[place]
            del bounds[waiter]
            if not bounds:
                del self._bounds[place]

    def tell(self, place: Place, sort: str) -> None:
        """Wake those who wait for an entry like this one."""
        for waiter, bound in self._bounds.get(place, {}).items():
            if sort > bound:
                waiter.wake()
