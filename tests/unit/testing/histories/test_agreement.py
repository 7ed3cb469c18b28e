"""The checkers agree about what one record saw, whether it can be explained or not."""

from __future__ import annotations

from collections import Counter
from functools import cache
from random import Random
from typing import TYPE_CHECKING, Any

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from cicd_core.testing.histories import History
from cicd_core.testing.histories.model import ABSENT, RecordOperation, record_steps
from cicd_core.testing.histories.oracle import Unstamped, check_versions
from cicd_core.testing.histories.record_check import check_record
from cicd_core.testing.histories.record_view import by_record
from cicd_core.testing.histories.wing_gong import Order, linearize
from cicd_core.testing.recording.operation import UNKNOWN
from cicd_core.testing.samples import COLLECTIONS
from tests.unit.testing.histories.tampering import FAULTS
from tests.unit.testing.histories.writing import brute_force, sequential_recording, spread

if TYPE_CHECKING:
    from collections.abc import Sequence


@cache
def recorded(seed: int, calls: int) -> tuple[Any, ...]:
    return sequential_recording(seed, calls, hot_records=1, clients=3).history.operations


def disturbed(random: Random, operations: Sequence[Any]) -> list[Any]:
    """Return operations with answers that are lost, or that others were given."""
    changed = list(operations)
    for _ in range(random.choice([0, 0, 1, 2])):
        one, other = random.randrange(len(changed)), random.randrange(len(changed))
        if random.random() < 0.5:
            changed[one] = evolve(changed[one], result=UNKNOWN, returned=None)
        elif changed[one].kind == changed[other].kind:
            changed[one] = evolve(changed[one], result=changed[other].result)
    return changed


def is_explained(operations: list[RecordOperation]) -> bool:
    return isinstance(linearize(operations, ABSENT, record_steps), Order)


@given(st.integers(0, 2**32))
def test_the_search_says_what_trying_every_order_says(seed: int) -> None:
    random = Random(seed)
    for number in range(10):
        whole = recorded((seed + number) % 40, 60)[: random.choice([8, 12, 16])]
        some = disturbed(random, spread(whole, random, width=40))
        for operations in by_record(History(some), COLLECTIONS).values():
            if len(operations) <= 6:
                expected = brute_force(operations, ABSENT, record_steps)
                assert is_explained(operations) == expected


@given(st.integers(0, 2**32))
def test_the_cheap_ways_say_what_the_search_of_everything_says(seed: int) -> None:
    random = Random(seed)
    for number in range(10):
        some = disturbed(random, disturbed(random, recorded((seed + number) % 40, 60)))
        history = History(spread(some, random, width=random.choice([4, 30, 60])))
        for operations in by_record(history, COLLECTIONS).values():
            assert (check_record(operations) is None) == is_explained(operations)


@given(st.integers(0, 2**32))
def test_the_versions_say_what_the_search_says(seed: int) -> None:
    random = Random(seed)
    whole = recorded(seed % 20, 60)
    start = random.randrange(len(whole) - 25)
    for fault in [*FAULTS, None, None]:
        some = list(whole[start : start + 25])
        some = (fault and fault(random, some)) or some
        some = disturbed(random, spread(some, random, width=random.choice([4, 30, 60])))
        for operations in by_record(History(some), COLLECTIONS).values():
            try:
                explained = check_versions(operations) is None
            except Unstamped:
                continue
            assert explained == is_explained(operations)


def test_histories_like_these_are_explained_and_not_explained() -> None:
    verdicts: Counter[tuple[bool, bool]] = Counter()
    for seed in range(300):
        random = Random(seed)
        some = disturbed(random, spread(recorded(seed % 20, 60)[:20], random, width=40))
        for operations in by_record(History(some), COLLECTIONS).values():
            unknown = any(not each.is_known for each in operations)
            verdicts[is_explained(operations), unknown] += 1
    for explained in (True, False):
        assert min(verdicts[explained, False], verdicts[explained, True]) > 5
