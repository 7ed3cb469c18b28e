"""What a store's author gives to the suite: how the store is opened, and what it can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import Enum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from cicd_core.store.contract import Store
    from cicd_core.testing.clock import VirtualClock


class Capability(Enum):
    """Something that the contract leaves to the store."""

    #: ``count`` answers exact numbers.
    EXACT_COUNTS = "exact counts"
    #: A claim sees every record that was put before, in one order over all of its partitions.
    STRICT_ORDER = "strict order"


class StoreHarness(ABC):
    """Opens a store for the suite, with the collections of :mod:`cicd_core.testing.samples`.

    A harness lives for one test or for many: a namespace keeps them apart, so that what is dear,
    a file or a server, may be made once and shared.
    """

    #: What the store can do; the suite skips what needs more, and says so.
    capabilities: ClassVar[frozenset[Capability]] = frozenset(Capability)
    #: The store's clock, if a test can move it; without one, what takes time is skipped.
    clock: VirtualClock | None = None

    @abstractmethod
    def open(self, namespace: str) -> AbstractAsyncContextManager[Store]:
        """Open the store on a namespace that is new, or open now.

        Two that are open on one namespace at once share its data.
        """

    async def settle(self) -> None:  # noqa: B027 - to do nothing is right for most
        """Return when pages, counts, claims and the log show every commit that was answered.

        The suite calls it between a write and a read of these. By default it does nothing, which
        is right for a store that never lags.
        """
