"""Who waits, and which of them a record wakes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import pytest

from cicd_core.store.memory.rows import PartitionKey, key_of_partition
from cicd_core.store.waiters import Waiters
from cicd_core.testing.samples import in_lane, watch

if TYPE_CHECKING:
    from cicd_core.store.records import Watch

pytestmark = pytest.mark.anyio

HOUR = 3600.0
MAIN = key_of_partition(in_lane())


async def settled() -> None:
    """Return when every waiter that was woken has gone on: its event comes a turn later."""
    for _ in range(20):
        await anyio.lowlevel.checkpoint()
    await anyio.wait_all_tasks_blocked()


class Line:
    """Waits on one object, and which of them were answered, by their names."""

    def __init__(self, tasks: anyio.abc.TaskGroup) -> None:
        self.waiters: Waiters[PartitionKey] = Waiters(key_of_partition)
        self.answers: list[str] = []
        self.failed: list[str] = []
        self._tasks = tasks
        self._is_closed = False

    async def begin(self, name: str, *watches: Watch) -> anyio.CancelScope:
        scope = anyio.CancelScope()

        async def wait() -> None:
            with scope:
                if await self.waiters.wait(
                    watches, HOUR, owner=self, look=self.sees_nothing, check=self.check
                ):
                    self.answers.append(name)

        self._tasks.start_soon(wait)
        await settled()
        return scope

    async def sees_nothing(self) -> bool:
        return False

    def check(self) -> None:
        if self._is_closed:
            raise ConnectionError("it was closed")

    async def tell(self, sort: str = "5", lane: str = "main") -> list[str]:
        """Return who has been answered once a record came in."""
        self.waiters.tell(key_of_partition(in_lane(lane)), sort)
        await settled()
        return self.answers


async def test_a_record_wakes_the_smallest_turn_and_all_who_have_none() -> None:
    async with anyio.create_task_group() as tasks:
        line = Line(tasks)
        for name in ("3", "1", "2"):
            await line.begin(name, watch(in_lane(), turn=name))
        for name in ("any", "all"):
            await line.begin(name, watch(in_lane()))
        assert await line.tell(lane="other") == []
        assert sorted(await line.tell()) == ["1", "all", "any"]
        assert (await line.tell())[3:] == ["2"]
        assert (await line.tell())[4:] == ["3"]
        assert len(await line.tell()) == 5
    assert not line.waiters.have_turns


async def test_a_turn_whose_bound_is_above_the_record_lets_the_next_one_go_first() -> None:
    async with anyio.create_task_group() as tasks:
        line = Line(tasks)
        await line.begin("1", watch(in_lane(), after="7", turn="1"))
        await line.begin("2", watch(in_lane(), turn="2"))
        assert await line.tell("7") == ["2"]
        assert await line.tell("8") == ["2", "1"]


async def test_of_two_watches_of_a_partition_with_one_turn_the_wider_one_counts() -> None:
    async with anyio.create_task_group() as tasks:
        line = Line(tasks)
        both = [watch(in_lane(), after=after, turn="1") for after in ("3", "7")]
        await line.begin("1", *both)
        assert await line.tell("5") == ["1"]


async def test_one_who_waits_in_two_lanes_is_chosen_once() -> None:
    async with anyio.create_task_group() as tasks:
        line = Line(tasks)
        await line.begin("1", watch(in_lane(), turn="1"), watch(in_lane("b"), turn="1"))
        await line.begin("2", watch(in_lane("b"), turn="2"))
        line.waiters.tell(MAIN, "5")
        assert sorted(await line.tell(lane="b")) == ["1", "2"]


async def test_equal_turns_are_served_one_by_one() -> None:
    async with anyio.create_task_group() as tasks:
        line = Line(tasks)
        await line.begin("a", watch(in_lane(), turn="1"))
        await line.begin("b", watch(in_lane(), turn="1"))
        assert await line.tell() == ["a"]
        assert await line.tell() == ["a", "b"]


async def test_one_who_is_cancelled_as_it_is_chosen_passes_the_wake_up_on() -> None:
    async with anyio.create_task_group() as tasks:
        line = Line(tasks)
        scopes = [await line.begin(turn, watch(in_lane(), turn=turn)) for turn in ("1", "2", "3")]
        line.waiters.tell(MAIN, "5")
        for scope in scopes[:2]:  # before any of them ran again
            scope.cancel()
        await settled()
        assert line.answers == ["3"]


async def test_one_whose_event_loop_has_ended_is_passed_over() -> None:
    async with anyio.create_task_group() as tasks:
        line = Line(tasks)

        async def leave_a_waiter() -> None:
            line.waiters._add([watch(in_lane(), turn="0")], line)  # noqa: SLF001 - as a loop that
            # is closed while a task waits in it leaves one

        thread = threading.Thread(target=anyio.run, args=(leave_a_waiter,))
        thread.start()
        thread.join()
        await line.begin("1", watch(in_lane(), turn="1"))
        assert await line.tell() == ["1"]


async def test_a_wait_on_a_store_that_was_closed_as_it_was_chosen_passes_the_wake_up_on() -> None:
    async with anyio.create_task_group() as tasks:
        line, other = Line(tasks), Line(tasks)
        other.waiters = line.waiters

        async def fail() -> None:
            with pytest.raises(ConnectionError):
                await line.waiters.wait(
                    [watch(in_lane(), turn="1")],
                    HOUR,
                    owner=line,
                    look=line.sees_nothing,
                    check=line.check,
                )

        tasks.start_soon(fail)
        await settled()
        await other.begin("2", watch(in_lane(), turn="2"))
        line.waiters.tell(MAIN, "5")
        line._is_closed = True  # noqa: SLF001 - its own
        line.waiters.wake_all(line)
        await settled()
        assert other.answers == ["2"]


async def test_one_that_only_sees_a_record_chooses_nobody_while_another_is_about_to_claim() -> None:
    async with anyio.create_task_group() as tasks:
        line = Line(tasks)
        for turn in ("1", "2", "3"):
            await line.begin(turn, watch(in_lane(), turn=turn))
        await line.tell()
        line.waiters.offer_what_is_there(MAIN, "5", line.waiters.claims)
        await settled()
        assert line.answers == ["1"]
        assert line.waiters.claimed(MAIN)  # it took another one
        line.waiters.offer_what_is_there(MAIN, "5", line.waiters.claims)
        await settled()
        assert line.answers == ["1", "2"]
        tasks.cancel_scope.cancel()


async def test_a_record_that_was_seen_before_a_claim_wakes_nobody() -> None:
    async with anyio.create_task_group() as tasks:
        line = Line(tasks)
        for turn in ("1", "2"):
            await line.begin(turn, watch(in_lane(), turn=turn))
        before = line.waiters.claims
        assert await line.tell() == ["1"]
        assert line.waiters.claimed(MAIN)  # it took what the look had seen
        line.waiters.offer_what_is_there(MAIN, "5", before)
        await settled()
        assert line.answers == ["1"]
        line.waiters.offer_what_is_there(MAIN, "5", line.waiters.claims)
        await settled()
        assert line.answers == ["1", "2"]
        tasks.cancel_scope.cancel()


async def test_the_news_of_a_record_that_was_seen_already_wakes_no_other_one() -> None:
    async with anyio.create_task_group() as tasks:
        line = Line(tasks)
        for turn in ("1", "2", "3"):
            await line.begin(turn, watch(in_lane(), turn=turn))
        line.waiters.offer_what_is_there(MAIN, "5", line.waiters.claims)
        assert await line.tell() == ["1"]
        assert await line.tell() == ["1", "2"]
        tasks.cancel_scope.cancel()


async def test_a_very_turn_is_woken_while_it_waits() -> None:
    async with anyio.create_task_group() as tasks:
        line = Line(tasks)
        await line.begin("1", watch(in_lane(), turn="1"))
        await line.begin("2", watch(in_lane(), turn="2"))
        assert not line.waiters.offer_to(MAIN, "15", "5")
        assert line.waiters.offer_to(MAIN, "2", "5")
        assert not line.waiters.offer_to(MAIN, "2", "5")
        await settled()
        assert line.answers == ["2"]
        assert not line.waiters.offer_to(key_of_partition(in_lane("b")), "1", "5")
        tasks.cancel_scope.cancel()


async def test_who_waits_looks_again_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cicd_core.store.waiters.LOOK_PERIOD", 0.0)
    looks = 0

    async def look() -> bool:
        nonlocal looks
        looks += 1
        return looks == 5

    waiters: Waiters[PartitionKey] = Waiters(key_of_partition)
    lane = [watch(in_lane(), turn="1")]
    assert await waiters.wait(lane, HOUR, owner=None, look=look, check=lambda: None)


@pytest.mark.parametrize("turn", [None, "1"])
async def test_a_waiter_that_has_ended_is_not_kept(turn: str | None) -> None:
    waiters: Waiters[PartitionKey] = Waiters(key_of_partition)

    async def sees_nothing() -> bool:
        return False

    watches = [watch(in_lane(), turn=turn)]
    await waiters.wait(watches, 0, owner=None, look=sees_nothing, check=bool)
    kept = {name: vars(waiters)[name] for name in ("_waiters", "_crowds", "_lines")}
    assert not any(kept.values()), kept
