"""What may be on a disk after a power loss, by hand: what was synced is, the rest may be."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from tests.crash.disk import Disk, Kind, Step, load_trace, save_trace

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

STATES = 300


def made(name: str) -> Step:
    return Step(kind=Kind.MADE, name=name)


def write(name: str, data: bytes, offset: int = 0) -> Step:
    return Step(kind=Kind.WRITE, name=name, offset=offset, data=data)


def sync(name: str, before: int, *, folder: bool = True) -> Step:
    return Step(kind=Kind.SYNC, name=name, before=before, folder=folder)


def outcomes(steps: list[Step], folder: Path) -> set[frozenset[tuple[str, bytes]]]:
    """Return every folder that some power loss after the steps left behind."""
    disk = Disk(steps)
    disk.go_to(len(steps))
    found = set()
    for number in range(STATES):
        state = folder / str(number)
        state.mkdir()
        disk.cut_power(Random(number), state)
        found.add(frozenset((each.name, each.read_bytes()) for each in state.iterdir()))
    return found


def contents(found: Iterable[frozenset[tuple[str, bytes]]], name: str) -> set[bytes | None]:
    return {dict(state).get(name) for state in found}


def test_what_was_synced_is_there(tmp_path: Path) -> None:
    steps = [made("a"), write("a", b"x" * 600), sync("a", 2)]
    assert outcomes(steps, tmp_path) == {frozenset({("a", b"x" * 600)})}


def test_what_was_written_since_may_be_there_or_not_or_in_part(tmp_path: Path) -> None:
    old, new = b"o" * 1024, b"n" * 1024
    steps = [made("a"), write("a", old), sync("a", 2), write("a", new)]
    found = contents(outcomes(steps, tmp_path), "a")
    half, other = new[:512] + old[512:], old[:512] + new[512:]
    assert found == {old, new, half, other}


def test_later_writes_may_be_there_without_earlier_ones(tmp_path: Path) -> None:
    first, second = write("a", b"1" * 10), write("a", b"2" * 10, offset=10)
    steps = [made("a"), write("a", bytes(20)), sync("a", 2), first, second]
    found = contents(outcomes(steps, tmp_path), "a")
    assert found == {bytes(20), b"1" * 10 + bytes(10), bytes(10) + b"2" * 10, b"1" * 10 + b"2" * 10}


def test_a_sync_is_about_what_was_written_before_it_began(tmp_path: Path) -> None:
    steps = [made("a"), write("a", b"1"), write("a", b"2"), sync("a", 2)]
    assert contents(outcomes(steps, tmp_path), "a") == {b"1", b"2"}


def test_names_come_and_go_in_order_until_their_folder_is_synced(tmp_path: Path) -> None:
    gone = Step(kind=Kind.REMOVE, name="a")
    steps = [made("a"), sync("a", 1), made("b"), gone]
    names = [set(dict(state)) for state in outcomes(steps, tmp_path)]
    assert all(each in names for each in ({"a"}, {"a", "b"}, {"b"}))
    assert set() not in names
    last = [*steps, sync("b", 4)]
    (tmp_path / "last").mkdir()
    assert {frozenset(dict(state)) for state in outcomes(last, tmp_path / "last")} == {
        frozenset({"b"})
    }


def test_a_cut_is_there_or_not(tmp_path: Path) -> None:
    cut = Step(kind=Kind.CUT, name="a", offset=1)
    steps = [made("a"), write("a", b"xyz"), sync("a", 2), cut]
    assert contents(outcomes(steps, tmp_path), "a") == {b"xyz", b"x"}


def test_a_trace_is_the_same_when_it_was_saved(tmp_path: Path) -> None:
    steps = [
        made("a"),
        write("a", bytes(range(256)), offset=7),
        sync("a", 2, folder=False),
        Step(kind=Kind.ACKNOWLEDGED, note=("job", "queued")),
        Step(kind=Kind.REMOVE, name="a", folder=True),
    ]
    save_trace(steps, tmp_path / "trace")
    assert load_trace(tmp_path / "trace") == steps
