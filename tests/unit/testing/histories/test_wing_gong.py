"""The exhaustive search says what trying every order says."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_core.testing.histories.queue_model import EMPTY, Enqueue, queue_steps
from cicd_core.testing.histories.wing_gong import Order, Stuck, TooManyOrders, linearize
from tests.unit.testing.histories.writing import (
    asked,
    brute_force,
    enqueued,
    good_queue,
    job,
    random_queue,
    spread,
    taken,
)

FIRST, SECOND = job("a"), job("b")


def test_what_happened_in_turn_is_explained_in_that_order() -> None:
    operations = [enqueued(FIRST, 0, 1), enqueued(SECOND, 2, 3), taken("a", at=(4, 5))]
    assert linearize(operations, EMPTY, queue_steps) == Order(tuple(operations))


def test_concurrent_operations_may_have_happened_in_any_order() -> None:
    take = taken("a", at=(0, 9))
    put = enqueued(FIRST, 5, 9)
    assert linearize([take, put], EMPTY, queue_steps) == Order((put, take))


def test_operations_that_touch_are_concurrent() -> None:
    take, put = taken("a", at=(0, 5)), enqueued(FIRST, 5, 9)
    assert linearize([take, put], EMPTY, queue_steps) == Order((put, take))


def test_an_answer_that_no_order_explains_is_told_with_what_was_under_way() -> None:
    early, put, late = taken("a", at=(0, 4)), enqueued(FIRST, 5, 9), taken(at=(3, 20))
    assert linearize([early, put, late], EMPTY, queue_steps) == Stuck(early, (late,), (EMPTY,))


def test_a_later_operation_never_explains_an_earlier_one() -> None:
    operations = [enqueued(FIRST, 0, 1), enqueued(SECOND, 2, 3), taken("b", at=(4, 5))]
    found = linearize(operations, EMPTY, queue_steps)
    assert isinstance(found, Stuck)
    assert found.states == (frozenset({FIRST, SECOND}),)


def test_an_unknown_outcome_may_have_happened_long_after_the_call() -> None:
    put = asked(Enqueue(FIRST), 0)
    nothing, something = taken(at=(10, 11)), taken("a", at=(20, 21))
    found = linearize([put, nothing, something], EMPTY, queue_steps)
    assert found == Order((nothing, put, something))


def test_an_unknown_outcome_may_never_have_happened() -> None:
    put, nothing = asked(Enqueue(FIRST), 0), taken(at=(10, 11))
    assert linearize([put, nothing], EMPTY, queue_steps) == Order((nothing,))


def test_an_unknown_outcome_never_happened_before_the_call() -> None:
    found = linearize([taken("a", at=(0, 1)), asked(Enqueue(FIRST), 2)], EMPTY, queue_steps)
    assert isinstance(found, Stuck)


def test_an_unknown_outcome_happens_once() -> None:
    operations = [asked(Enqueue(FIRST), 0), taken("a", at=(1, 2)), taken("a", at=(3, 4))]
    assert isinstance(linearize(operations, EMPTY, queue_steps), Stuck)


def test_a_search_that_would_take_too_long_is_given_up() -> None:
    operations = [enqueued(job(f"{number:02}"), 0, 100) for number in range(20)]
    wrong = taken("nobody", at=(0, 100))
    with pytest.raises(TooManyOrders, match="more than 1000 states"):
        linearize([*operations, wrong], EMPTY, queue_steps, limit=1000)


@given(st.integers(0, 2**32))
def test_it_finds_an_order_if_and_only_if_there_is_one(seed: int) -> None:
    random = Random(seed)
    for _ in range(20):
        unanswered = random.choice([0, 0.2])
        operations = random_queue(random, random.randint(1, 6), unanswered=unanswered)
        found = linearize(operations, EMPTY, queue_steps)
        assert isinstance(found, Order) == brute_force(operations, EMPTY, queue_steps)


@given(st.integers(0, 2**32))
def test_the_order_that_it_finds_explains_every_answer(seed: int) -> None:
    random = Random(seed)
    operations = spread(good_queue(random, 30, limit=3), random)
    found = linearize(operations, EMPTY, queue_steps)
    assert isinstance(found, Order)
    assert sorted(each.number for each in found.operations) == list(range(30))
    state = EMPTY
    latest = 0
    for operation in found.operations:
        (state,) = queue_steps(state, operation)
        latest = max(latest, operation.invoked)
        assert latest <= operation.ends
