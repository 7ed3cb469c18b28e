"""A call can be cancelled exactly where it waits, at each of its awaits."""

from __future__ import annotations

import anyio
import pytest

from cicd_core.testing.conformance.cancel_points import cancelled_at

pytestmark = pytest.mark.anyio

AWAITS = 4


@pytest.fixture
def steps() -> list[int]:
    return []


async def call(steps: list[int]) -> None:
    for number in range(AWAITS):
        steps.append(number)
        await (anyio.sleep(0.001) if number % 2 else anyio.lowlevel.checkpoint())
    steps.append(AWAITS)


@pytest.mark.parametrize("point", range(AWAITS))
async def test_a_call_goes_no_further_than_the_await_at_which_it_is_cancelled(
    steps: list[int], point: int
) -> None:
    assert await cancelled_at(lambda: call(steps), point)
    assert steps == list(range(point + 1))


async def test_a_call_that_waits_less_often_ends_by_itself(steps: list[int]) -> None:
    assert not await cancelled_at(lambda: call(steps), AWAITS)
    assert steps == list(range(AWAITS + 1))


async def test_some_turns_later_it_is_cancelled_wherever_it_is_then(steps: list[int]) -> None:
    assert await cancelled_at(lambda: call(steps), 0, turns=1)
    assert steps[:2] == [0, 1]
    assert AWAITS not in steps


async def test_what_a_call_raises_is_raised() -> None:
    async def fail() -> None:
        await anyio.lowlevel.checkpoint()
        raise ValueError("as it happens")

    with pytest.raises(ExceptionGroup) as raised:
        await cancelled_at(fail, 9)
    assert raised.group_contains(ValueError, match="as it happens")


async def test_a_call_may_catch_what_its_awaits_raise(steps: list[int]) -> None:
    async def survive() -> None:
        with anyio.move_on_after(0):
            await anyio.sleep_forever()
        steps.append(1)

    assert not await cancelled_at(survive, 9)
    assert steps == [1]
