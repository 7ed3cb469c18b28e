"""The harness of a store's author: opens the store, and lists its capabilities."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import Enum
from typing import TYPE_CHECKING, ClassVar, Final

from cicd_core.store.retrying import RetryingStore
from cicd_core.testing.samples import COLLECTIONS

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Collection
    from cicd_core.testing.clock import VirtualClock


#: How often a call is made at most that a store can't answer under load.
PATIENT: Final = 9


def checked(store: Store) -> RetryingStore:
    """Return a store that checks its calls, as the one that ``open_store`` opens does."""
    return store if isinstance(store, RetryingStore) else RetryingStore(store)


class Capability(Enum):
    """Something that the contract leaves to the store."""

    #: ``count`` answers exact numbers.
    EXACT_COUNTS = "exact counts"
    #: A claim sees every record that was put before, in one order over all of its partitions.
    STRICT_ORDER = "strict order"
    #: A push wakes a wait after another handle's write. Without it the store polls.
    PUSHED_WAKE_UPS = "wake-ups by a push"


class StoreHarness(ABC):
    """Opens a store for the suite.

    A harness is for one test or for many: namespaces keep them apart, so an expensive resource,
    such as a file or a server, may be created once and shared.
    """

    #: The capabilities of the store; the suite skips tests that need more, with a reason.
    capabilities: ClassVar[frozenset[Capability]] = frozenset(Capability)
    #: The store's clock, if a test can move it. None: the time is, for example, a server's, and
    #: passes by itself; then tests wait until the store's ``now`` shows it.
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
        """Open the store on a namespace that is new, or open now, as ``open_store`` does.

        A backend will do: the suite puts the checks of every call before it.
        Two that are open on one namespace at once share its data. The collections are those of
        :mod:`cicd_core.testing.samples` or, for the tests of whole jobs, the library's own.
        """

    async def set_wall_clock(self, seconds: float) -> bool:
        """Move the wall clock that the store uses forward, or back (below 0).

        It is the clock of the server if a server keeps the time, and the calendar of
        :attr:`clock` if that is given; the suite itself sets the clock of the client's process.
        Elapsed time does not change. Returns whether it could be done; if not, the tests with a
        moved wall clock of the store are skipped. By default it can be done if
        :attr:`clock` is given.
        """
        if self.clock is None:
            return False
        self.clock.step_calendar(seconds)
        return True

    def open_forgetful(self, namespace: str) -> AbstractAsyncContextManager[Store] | None:
        """Open the store with a log retention of :attr:`brief`.

        It is needed if the clock cannot be moved. None: there is no such setting, and the
        test that lets the log expire is skipped.
        """
        return None

    async def damage(self, namespace: str, collection: str, key: str) -> bool:
        """Damage a stored record so that it does not decode any more.

        Returns whether that was done. If not, the tests of unreadable records are skipped; by
        default it is not. A store whose engine keeps a record as its own bytes always can.
        """
        return False

    def work(self) -> int | None:
        """Return how much work the store has done so far, in units that load does not change.

        Such as rows read, or requests to a server. ``python -m cicd_core.testing.cost`` reads it
        before and after a call, and fails if the cost of a call grows with the number of records.
        None, the default: nothing is counted, and the calls are timed.
        """
        return None

    async def settle(self) -> None:  # noqa: B027 - to do nothing is right for most
        """Return when pages, counts, claims and the log show every commit that was answered.

        The suite calls it between a write and a read of these, and nowhere else does it count on
        them. By default it does nothing, which is right for a store that never lags.
        """
