"""The order that a store stamped on its writes explains what was seen, or it does not."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_core.testing.histories.model import ABSENT, record_steps
from cicd_core.testing.histories.queue_model import EMPTY, queue_steps
from cicd_core.testing.histories.wing_gong import Order, linearize
from cicd_core.testing.histories.witness import Refuted, replay
from tests.unit.testing.histories.writing import enqueued, good_queue, job, spread, taken

FIRST, SECOND = enqueued(job("a"), 0, 4), enqueued(job("b"), 2, 9)


def test_a_right_order_is_accepted() -> None:
    take = taken("a", at=(3, 9))
    assert replay([FIRST, SECOND, take], [], EMPTY, queue_steps) is None


def test_an_order_that_cannot_answer_so_is_refuted() -> None:
    take = taken("a", at=(0, 9))
    refuted = replay([take, FIRST], [], EMPTY, queue_steps)
    assert isinstance(refuted, Refuted)
    assert refuted.operations == (take,)


def test_an_order_against_real_time_is_refuted() -> None:
    late = enqueued(job("c"), 5, 6)
    refuted = replay([late, SECOND, FIRST], [], EMPTY, queue_steps)
    assert isinstance(refuted, Refuted)
    assert refuted.operations == (late, FIRST)


@pytest.mark.parametrize(
    ("within", "fits"), [((0, 1), True), ((0, 6), True), ((5, 6), False), ((5, 30), True)]
)
def test_what_only_reads_finds_a_place_where_its_answer_is_right(
    within: tuple[int, int], fits: bool
) -> None:
    nothing = taken(at=within)
    order = [enqueued(job("a"), 2, 4), taken("a", at=(20, 21))]
    assert (replay(order, [nothing], EMPTY, queue_steps) is None) == fits


def test_reads_keep_their_own_order() -> None:
    order = [enqueued(job("a"), 2, 30), taken("a", at=(20, 31)), enqueued(job("b"), 25, 32)]
    early, late = taken(at=(3, 9), lanes=["red"]), taken(at=(10, 19), lanes=["red"])
    assert replay(order, [late, early], EMPTY, queue_steps) is None
    blue = enqueued(job("c", "blue"), 0, 1)
    seen_then_not = [taken(at=(3, 24), lanes=["blue"])]
    assert isinstance(replay([blue, *order], seen_then_not, EMPTY, queue_steps), Refuted)


@given(st.integers(0, 2**32))
def test_the_order_in_which_things_happened_is_accepted(seed: int) -> None:
    random = Random(seed)
    happened = spread(good_queue(random, 60, limit=3), random, width=40)
    stamped = [each for each in happened if each.result != ()]
    unstamped = [each for each in happened if each.result == ()]
    random.shuffle(unstamped)
    assert replay(stamped, unstamped, EMPTY, queue_steps) is None


@given(st.integers(0, 2**32))
def test_what_a_replay_accepts_the_search_accepts(seed: int) -> None:
    random = Random(seed)
    for _ in range(10):
        happened = spread(good_queue(random, 8, limit=2), random, width=25)
        shuffled = list(happened)
        one, other = random.sample(range(8), 2)
        shuffled[one], shuffled[other] = shuffled[other], shuffled[one]
        stamped = [each for each in shuffled if each.result != ()]
        unstamped = [each for each in shuffled if each.result == ()]
        if replay(stamped, unstamped, EMPTY, queue_steps) is None:
            assert isinstance(linearize(happened, EMPTY, queue_steps), Order)


def test_a_record_that_nobody_wrote_is_explained_by_nothing_at_all() -> None:
    assert replay([], [], ABSENT, record_steps) is None
