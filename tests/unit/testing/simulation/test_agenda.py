"""The agenda: what happens when."""

from __future__ import annotations

from functools import partial

import pytest

from cicd_core.testing.clock import START, VirtualClock
from cicd_core.testing.simulation.agenda import Agenda

pytestmark = pytest.mark.anyio


async def told(done: list[tuple[str, int]], name: str, clock: VirtualClock) -> None:
    done.append((name, clock.micros() - START))


async def test_actions_happen_in_the_order_of_their_times() -> None:
    clock, done = VirtualClock(), list[tuple[str, int]]()
    agenda = Agenda(clock)
    agenda.after(2.0, partial(told, done, "late", clock))
    agenda.after(1.0, partial(told, done, "early", clock))
    agenda.after(2.0, partial(told, done, "later", clock))
    while agenda:
        await agenda.step()
    assert done == [("early", 1_000_000), ("late", 2_000_000), ("later", 2_000_000)]
    assert agenda.steps == 3


async def test_what_should_have_happened_already_happens_now() -> None:
    clock, done = VirtualClock(), list[tuple[str, int]]()
    agenda = Agenda(clock)
    agenda.at(START - 5, partial(told, done, "overdue", clock))
    await agenda.step()
    assert done == [("overdue", 0)]
