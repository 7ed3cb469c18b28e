"""Suites over stores whose failures must say what is wrong.

Not collected by itself: ``test_failure_messages.py`` runs them in a process of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from cicd_core.store.memory import MemoryBackend
from cicd_core.testing import StoreConformance, StoreHarness
from tests.conformance.faulty_suites import FaultyHarness

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cicd_core.store.records import Claim, Record, Renewal, Renewed, Watch


class ClaimsNothing(MemoryBackend):
    """Its claims find no record."""

    async def claim(self, claim: Claim) -> list[Record]:
        await super().claim(claim)
        return []


class RenewsNothing(MemoryBackend):
    """Its renewals find no lease."""

    async def renew(self, renewals: Sequence[Renewal]) -> list[Renewed | None]:
        return [None for _ in await super().renew(renewals)]


class WakesNobody(MemoryBackend):
    """Its waits end with their timeout, and find nothing."""

    async def wait(self, watches: Sequence[Watch], timeout: float) -> bool:  # noqa: ASYNC109 - as
        # in the contract
        await anyio.sleep(timeout)
        return False


def suite_over(store: type[MemoryBackend]) -> type[StoreConformance]:
    """Return the suite over a store."""

    def harness(_self: Any) -> StoreHarness:
        return FaultyHarness(store)

    return type(f"Test{store.__name__}", (StoreConformance,), {"harness": pytest.fixture(harness)})


STORES = (ClaimsNothing, RenewsNothing, WakesNobody)
globals().update({f"Test{store.__name__}": suite_over(store) for store in STORES})
