"""The harness of a store: opens the store for the suite, and lists its capabilities."""

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


#: The most attempts of a call that a store cannot answer under load.
PATIENT: Final = 9


def checked(store: Store) -> RetryingStore:
    """Return a store that checks its calls, as a store from ``open_store`` does."""
    return store if isinstance(store, RetryingStore) else RetryingStore(store)


class Capability(Enum):
    """A property that the contract leaves to the store."""

    #: ``count`` answers exact numbers.
    EXACT_COUNTS = "exact counts"
    #: A claim sees all records put before it, in one order over all of its partitions.
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
    #: If a test cannot move the clock: the seconds of each wait for the end of a lease or a
    #: retention, or longer if the store is too slow. Some thirty tests wait once each.
    brief: float = 0.05
    #: Seconds after which a missing wake-up counts as lost, and a clock as stopped. A working store
    #: is always faster, even on a busy machine.
    patience: float = 120.0

    @abstractmethod
    def open(
        self, namespace: str, collections: tuple[Collection, ...] = COLLECTIONS
    ) -> AbstractAsyncContextManager[Store]:
        """Open the store on a new namespace, or on one that is open now, as ``open_store`` does.

        A backend is enough: the suite adds the checks of every call. Two stores that are open on
        one namespace share its data. The collections are those of
        :mod:`cicd_core.testing.samples` or, for the tests of whole jobs, the library's own.
        """

    async def set_wall_clock(self, seconds: float) -> bool:
        """Move the wall clock that the store uses forward, or back (below 0).

        This is the server's clock if a server keeps the time, or the calendar of :attr:`clock` if
        that is set; the suite itself sets the clock of the client's process. Elapsed time does not
        change. Returns whether the clock was moved; if not, the tests that need it are skipped. By
        default it is moved if :attr:`clock` is set.
        """
        if self.clock is None:
            return False
        self.clock.step_calendar(seconds)
        return True

    def open_forgetful(self, namespace: str) -> AbstractAsyncContextManager[Store] | None:
        """Open the store with a log retention of :attr:`brief`.

        It is needed if a test cannot move the clock. None: there is no such setting, and the test
        that lets the log expire is skipped.
        """
        return None

    async def damage(self, namespace: str, collection: str, key: str) -> bool:
        """Damage a stored record so that it does not decode any more.

        Returns whether the record was damaged. If not, as by default, the tests of unreadable
        records are skipped. A store whose engine keeps a record's bytes can always do this.
        """
        return False

    def work(self) -> int | None:
        """Return how much work the store has done so far, in units that load does not change.

        Examples are rows read, or requests to a server. ``python -m cicd_core.testing.cost`` reads
        it before and after a call, and fails if the cost of a call grows with the number of
        records. None, the default: the calls are timed instead.
        """
        return None

    async def settle(self) -> None:  # noqa: B027 - most stores need nothing here
        """Return when pages, counts, claims and the log show every answered commit.

        The suite calls it between a write and such a read. By default it does nothing, which is
        right for a store that never lags.
        """
