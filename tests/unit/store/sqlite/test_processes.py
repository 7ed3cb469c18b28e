"""Several processes write to one file at once, and any of them may be killed at any moment."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from cicd_core.testing.samples import in_lane, in_state, numbers_in, whole_log
from tests.unit.store.sqlite.files import opened, query, run_script

if TYPE_CHECKING:
    from cicd_core.store.records import LogEntry

SCRIPT = Path(__file__).with_name("churn.py")
WRITERS = 2


def churn_until_killed(path: Path, cycle: int, chance: random.Random) -> list[tuple[str, str]]:
    """Run writers at once, kill each at a moment of its own; return what they were answered."""
    answered: list[tuple[str, str]] = []
    with ExitStack() as stack:
        writers = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, str(SCRIPT), str(path), f"{cycle}.{number}"],
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for number in range(WRITERS)
        ]
        for writer in writers:
            assert writer.stdout is not None
            lines = chance.randrange(1, 400)
            answered += [parsed(writer.stdout.readline()) for _ in range(lines)]
            writer.kill()
            # What was printed before it died counts too; the last line may be cut off.
            rest = writer.stdout.read().split("\n")
            answered += [parsed(line) for line in rest[:-1]]
    return answered


def parsed(line: str) -> tuple[str, str]:
    what, key = line.split()
    return what, key


def told_of(entries: list[LogEntry], body: bytes) -> Counter[str]:
    return Counter(entry.key for entry in entries if entry.body == body)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "cycles", [3, pytest.param(40, marks=[pytest.mark.crash, pytest.mark.timeout(900)])]
)
async def test_writers_that_are_killed_lose_nothing_and_tear_nothing(
    path: Path, cycles: int
) -> None:
    chance = random.Random(20_261_121)
    answered: list[tuple[str, str]] = []
    for cycle in range(cycles):
        answered += await anyio.to_thread.run_sync(churn_until_killed, path, cycle, chance)
    put = {key for what, key in answered if what == "put"}
    done = {key for what, key in answered if what == "done"}
    async with opened(path) as store:
        entries = await whole_log(store)
        puts_told, dones_told = told_of(entries, b"put"), told_of(entries, b"done")
        assert query(path, "PRAGMA integrity_check") == [("ok",)]
        # What was answered is there.
        assert put <= puts_told.keys()
        assert done <= dones_told.keys()
        # Each happened once, with all that belongs to it.
        assert set(puts_told.values()) == set(dones_told.values()) == {1}
        rows = query(path, "SELECT key, a_state, a_lane FROM c_items")
        assert {key for key, _, _ in rows} == puts_told.keys()
        assert {key for key, state, _ in rows if state == "done"} == dones_told.keys()
        assert (await store.counters("done|")).values == {"done|items": len(dones_told)}
        states = Counter(state for _, state, _ in rows)
        queued = sum(lane is not None for _, _, lane in rows)
        counted = await numbers_in(
            store, in_lane(), in_state("new"), in_state("held"), in_state("done")
        )
        assert counted == [queued, states["new"], states["held"], states["done"]]
        assert query(path, "SELECT count(*) FROM log") == [(len(entries),)]


@pytest.mark.anyio
async def test_processes_that_write_at_once_take_turns(path: Path) -> None:
    async with anyio.create_task_group() as group:
        for number in range(3):
            group.start_soon(run_script, "put_many.py", path, number, 100)
    async with opened(path) as store:
        assert await numbers_in(store, in_lane()) == [300]
        assert len(await whole_log(store)) == 300
