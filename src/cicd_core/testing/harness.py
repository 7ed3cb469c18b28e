"""What a store's author gives to the suite: how the store is opened, and what it can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import Enum
from typing import TYPE_CHECKING, ClassVar

from cicd_core.testing.samples import COLLECTIONS

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Collection
    from cicd_core.testing.clock import VirtualClock


class Capability(Enum):
    """Something that the contract leaves to the store."""

    #: ``count`` answers exact numbers.
    EXACT_COUNTS = "exact counts"
    #: A claim sees every record that was put before, in one order over all of its partitions.
    STRICT_ORDER = "strict order"
    #: A wait learns of what other handles did by a push. Without it the store asks again and again.
    PUSHED_WAKE_UPS = "wake-ups by a push"


class StoreHarness(ABC):
    """Opens a store for the suite.

    A harness lives for one test or for many: a namespace keeps them apart, so that what is dear,
    a file or a server, may be made once and shared.
    """

    #: What the store can do; the suite skips what needs more, and says so.
    capabilities: ClassVar[frozenset[Capability]] = frozenset(Capability)
    #: The store's clock, if a test can move it. None: the time is a server's, say, and passes by
    #: itself; then tests wait until the store's ``now`` says that it has come.
    clock: VirtualClock | None = None
    #: Seconds: where the clock cannot be moved, what a test waits out lasts so long, or longer if
    #: the store was too slow for that. Some thirty tests wait once each.
    brief: float = 0.05
    #: Seconds after which a wake-up that has not come is lost, and a clock stands still. Nothing
    #: takes that long in a store that works, on a busy machine either.
    patience: float = 120.0

    @abstractmethod
    def open(
        self, namespace: str, collections: tuple[Collection, ...] = COLLECTIONS
    ) -> AbstractAsyncContextManager[Store]:
        """Open the store on a namespace that is new, or open now.

        Two that are open on one namespace at once share its data. The collections are those of
        :mod:`cicd_core.testing.samples` or, for the tests of whole jobs, the library's own.
        """

    async def set_wall_clock(self, seconds: float) -> bool:
        """Set the wall clock that the store lives with forward, or back (below 0), by so much.

        It is the server's where a server keeps the time, and :attr:`clock`'s calendar where that is
        given; the suite itself sets the clock of the client's process. No time passes: what has
        passed is not the wall clock's to say. Whether that could be done; where it cannot, the
        tests of a wall clock of the store's that is set are skipped. By default it can where
        :attr:`clock` is given.
        """
        if self.clock is None:
            return False
        self.clock.step_calendar(seconds)
        return True

    def open_forgetful(self, namespace: str) -> AbstractAsyncContextManager[Store] | None:
        """Open the store so that an event stays in its log for :attr:`brief` alone.

        It is asked for where the clock cannot be moved. None: there is no such setting, and the
        one test that lets the log run out is skipped.
        """
        return None

    async def damage(self, namespace: str, collection: str, key: str) -> bool:
        """Damage a record where it is kept, so that it does not decode any more.

        Whether that was done. Where it cannot be, the tests of unreadable records are skipped; by
        default it cannot. A store whose engine keeps a record as bytes of its own can always.
        """
        return False

    def work(self) -> int | None:
        """Return how much work the store has done so far, in units that no load changes.

        Rows that were read, say, or requests to a server. ``python -m cicd_core.testing.cost`` asks
        before and after a call, and fails where a call costs more the more records there are. None,
        the default: nothing is counted, and the calls are timed.
        """
        return None

    async def settle(self) -> None:  # noqa: B027 - to do nothing is right for most
        """Return when pages, counts, claims and the log show every commit that was answered.

        The suite calls it between a write and a read of these, and nowhere else does it count on
        them. By default it does nothing, which is right for a store that never lags.
        """
