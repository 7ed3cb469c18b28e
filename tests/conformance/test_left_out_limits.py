"""The suite finds out about each check of a call that is left out."""

from __future__ import annotations

from typing import Final

import pytest

from cicd_core.store.limits import Limits
from cicd_core.store.memory import MemoryBackend
from cicd_core.store.retrying import RetryingStore
from cicd_core.testing.conformance.limits import calls
from cicd_core.testing.samples import COLLECTIONS

pytestmark = pytest.mark.anyio

CHECKS: Final = [name for name in vars(Limits) if name.startswith("check_")]


async def refused() -> set[str]:
    """Return the calls that a store refuses, each a call of a store of its own."""
    found: set[str] = set()
    for name, call in calls().items():
        try:
            await call(RetryingStore(MemoryBackend(COLLECTIONS)))
        except ValueError as error:  # a backend trips over some of what was not refused
            if type(error).__module__ == "cicd_core.errors":
                found.add(name)
        except KeyError:
            pass
    return found


async def test_a_sound_store_refuses_every_call() -> None:
    assert await refused() == calls().keys()


@pytest.mark.parametrize("check", CHECKS)
async def test_a_check_that_is_left_out_lets_a_call_through(
    monkeypatch: pytest.MonkeyPatch, check: str
) -> None:
    monkeypatch.setattr(Limits, check, lambda *_: None)
    assert calls().keys() - await refused()
