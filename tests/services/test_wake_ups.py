"""One job wakes one agent, the first that came, whatever becomes of the one that it wakes."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from cicd_core import open_store
from cicd_core.entities import COLLECTIONS
from tests.patience import PATIENCE
from tests.services import crowds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cicd_core.store.contract import Store

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["one handle", "four handles"])
async def stores(
    request: pytest.FixtureRequest, store_url: str, anyio_backend_name: str
) -> AsyncIterator[list[Store]]:
    """One store that all agents share, or several of one process on the same data."""
    url = store_url.replace("memory://", f"memory://wake-ups-{anyio_backend_name}")
    async with AsyncExitStack() as stack:
        number = 1 if request.param == "one handle" else 4
        yield [
            await stack.enter_async_context(open_store(url, collections=COLLECTIONS))
            for _ in range(number)
        ]


@pytest.fixture(autouse=True)
def _no_look_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have who waits rely on being woken."""
    monkeypatch.setattr("cicd_core.store.waiters.LOOK_PERIOD", PATIENCE)
    monkeypatch.setattr("cicd_core.store.waiters._CLAIM_PERIOD", PATIENCE)


async def test_a_job_costs_the_same_calls_however_many_agents_are_idle(
    stores: list[Store],
) -> None:
    calls = await crowds.one_job_costs(100, stores)
    assert calls["woken"] <= 2
    assert calls.total() <= 8


@pytest.mark.thorough
async def test_claims_that_wait_in_rounds_are_served_in_the_order_they_came(
    stores: list[Store],
) -> None:
    await crowds.first_come_first_served(stores)


async def test_a_job_whose_chosen_agents_are_cancelled_goes_to_the_one_that_is_left(
    stores: list[Store],
) -> None:
    await crowds.each_chosen_one_is_cancelled(stores)


async def test_a_job_whose_chosen_agents_drain_goes_to_the_one_that_is_left(
    stores: list[Store],
) -> None:
    await crowds.each_chosen_one_is_unfit(stores)


async def test_as_many_agents_are_woken_as_there_are_jobs(stores: list[Store]) -> None:
    await crowds.many_jobs_wake_as_many(stores)
