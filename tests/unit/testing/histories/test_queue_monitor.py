"""The monitor accepts what a right queue may answer, and names what is wrong with others."""

from __future__ import annotations

from random import Random

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from cicd_core.testing.histories.queue_model import EMPTY, Enqueue, Take, Withdraw, queue_steps
from cicd_core.testing.histories.queue_monitor import Fault, check_queue
from cicd_core.testing.histories.wing_gong import Order, linearize
from cicd_core.testing.recording.operation import UNKNOWN
from tests.unit.testing.histories.writing import (
    asked,
    enqueued,
    good_queue,
    job,
    random_queue,
    spread,
    taken,
    withdrawn,
)

FIRST, SECOND, URGENT = job("a", priority=2), job("b", priority=2), job("u", priority=1)


def faults(*operations: object, **options: object) -> list[Fault]:
    return [each.fault for each in check_queue(operations, **options)]  # type: ignore[arg-type]


class TestRightQueues:
    def test_an_empty_history_is_right(self) -> None:
        assert check_queue([]) == []

    def test_the_best_job_goes_first(self) -> None:
        assert not faults(
            enqueued(FIRST, 0, 1),
            enqueued(URGENT, 2, 3),
            taken("u", at=(4, 5)),
            taken("a", at=(6, 7)),
            taken(at=(8, 9)),
        )

    def test_a_better_job_that_comes_meanwhile_may_be_passed_over(self) -> None:
        assert not faults(enqueued(FIRST, 0, 1), taken("a", at=(2, 9)), enqueued(URGENT, 3, 4))

    def test_a_better_job_that_is_taken_meanwhile_may_have_gone_first(self) -> None:
        assert not faults(
            enqueued(FIRST, 0, 1),
            enqueued(URGENT, 2, 3),
            taken("a", at=(4, 9)),
            taken("u", at=(5, 9)),
        )

    def test_a_better_job_of_another_lane_may_be_passed_over(self) -> None:
        blue = job("u", "blue", priority=1)
        assert not faults(
            enqueued(FIRST, 0, 1), enqueued(blue, 2, 3), taken("a", at=(4, 5), lanes=["red"])
        )

    def test_a_job_that_was_withdrawn_may_be_passed_over(self) -> None:
        assert not faults(
            enqueued(URGENT, 0, 1),
            enqueued(FIRST, 0, 1),
            withdrawn("u", 2, 5),
            taken("a", at=(3, 6)),
            remaining=[],
        )

    def test_a_job_that_nobody_knows_to_be_enqueued_may_be_passed_over(self) -> None:
        assert not faults(asked(Enqueue(URGENT), 0), enqueued(FIRST, 0, 1), taken("a", at=(3, 6)))

    def test_a_claim_without_an_answer_may_have_taken_what_is_gone(self) -> None:
        assert not faults(
            enqueued(URGENT, 0, 1),
            enqueued(FIRST, 0, 1),
            asked(Take(("red",)), 2),
            taken("a", at=(3, 6)),
            taken(at=(7, 8)),
            remaining=[],
        )

    def test_a_withdrawal_without_an_answer_may_have_happened(self) -> None:
        operations = [enqueued(FIRST, 0, 1), asked(Withdraw("a"), 2), taken(at=(7, 8))]
        assert not faults(*operations, remaining=[])

    def test_a_withdrawal_without_an_answer_may_not_have_happened(self) -> None:
        operations = [enqueued(FIRST, 0, 1), asked(Withdraw("a"), 2), asked(Withdraw("x"), 2)]
        assert not faults(*operations, remaining=["a"])
        assert not faults(*operations, taken("a", at=(3, 4)), remaining=[])

    def test_what_was_enqueued_may_still_be_there(self) -> None:
        assert not faults(enqueued(FIRST, 0, 1), remaining=["a"])

    def test_a_claim_may_take_many(self) -> None:
        assert not faults(
            *(enqueued(each, 0, 1) for each in (FIRST, SECOND, URGENT)),
            taken("u", "a", at=(2, 3), limit=2),
            taken("b", at=(4, 5), limit=2),
        )

    @given(st.integers(0, 2**32))
    def test_a_right_queue_of_concurrent_clients_is_accepted(self, seed: int) -> None:
        random = Random(seed)
        operations = spread(good_queue(random, 120, limit=4), random, width=60)
        assert check_queue(operations) == []


class TestWrongQueues:
    def test_a_job_for_two_claims(self) -> None:
        once, twice = taken("a", at=(2, 3)), taken("a", at=(2, 4))
        (violation,) = check_queue([enqueued(FIRST, 0, 1), once, twice])
        assert violation.fault is Fault.DOUBLE_CLAIM
        assert violation.operations == (twice, once)

    def test_a_job_from_nowhere(self) -> None:
        assert faults(taken("x", at=(2, 3))) == [Fault.FROM_NOWHERE]
        assert faults(withdrawn("x", 2, 3)) == [Fault.FROM_NOWHERE]

    def test_a_job_of_another_lane(self) -> None:
        take = taken("a", at=(2, 3), lanes=["blue"])
        assert faults(enqueued(FIRST, 0, 1), take) == [Fault.OTHER_LANE]

    def test_more_jobs_than_were_asked_for(self) -> None:
        operations = [enqueued(FIRST, 0, 1), enqueued(SECOND, 0, 1), taken("a", "b", at=(2, 3))]
        assert faults(*operations) == [Fault.TOO_MANY]

    def test_a_job_before_it_came(self) -> None:
        for early in (taken("a", at=(0, 1)), withdrawn("a", 0, 1)):
            (violation,) = check_queue([early, put := enqueued(FIRST, 2, 3)])
            assert violation.fault is Fault.TOO_EARLY
            assert violation.operations == (early, put)

    def test_a_job_that_is_withdrawn_and_claimed(self) -> None:
        operations = [enqueued(FIRST, 0, 1), taken("a", at=(2, 3)), withdrawn("a", 4, 5)]
        assert faults(*operations) == [Fault.GONE_TWICE]

    def test_a_claimed_job_that_stays(self) -> None:
        operations = [enqueued(FIRST, 0, 1), taken("a", at=(2, 3))]
        assert faults(*operations, remaining=["a"]) == [Fault.STILL_THERE]

    def test_a_lost_job(self) -> None:
        (violation,) = check_queue([put := enqueued(FIRST, 0, 1)], remaining=[])
        assert violation.fault is Fault.LOST
        assert violation.operations == (put,)

    def test_a_lost_job_is_told_once(self) -> None:
        operations = [enqueued(URGENT, 0, 1), enqueued(FIRST, 0, 1), taken("a", at=(2, 3))]
        assert faults(*operations, taken(at=(4, 5)), remaining=[]) == [Fault.LOST]

    def test_more_lost_jobs_than_claims_without_an_answer_asked_for(self) -> None:
        operations = [enqueued(FIRST, 0, 1), enqueued(SECOND, 0, 1), asked(Take(("red",)), 2)]
        assert faults(*operations, remaining=[]) == [Fault.LOST]

    def test_a_lost_job_that_a_claim_of_another_lane_cannot_have_taken(self) -> None:
        operations = [enqueued(FIRST, 0, 1), asked(Take(("blue",)), 2)]
        assert faults(*operations, remaining=[]) == [Fault.LOST]

    def test_priorities_turned_round(self) -> None:
        operations = [enqueued(FIRST, 0, 1), enqueued(URGENT, 0, 1), taken("a", at=(2, 3))]
        assert faults(*operations) == [Fault.PRIORITY_INVERSION]

    def test_jobs_of_one_priority_turned_round(self) -> None:
        operations = [enqueued(FIRST, 0, 1), enqueued(SECOND, 0, 1), taken("b", at=(2, 3))]
        assert faults(*operations) == [Fault.FIFO_INVERSION]

    def test_a_claim_that_finds_nothing_while_there_is_something(self) -> None:
        assert faults(enqueued(FIRST, 0, 1), taken(at=(2, 3))) == [Fault.FALSE_EMPTY]

    def test_a_claim_that_finds_too_little(self) -> None:
        operations = [enqueued(FIRST, 0, 1), enqueued(SECOND, 0, 1)]
        assert faults(*operations, taken("a", at=(2, 3), limit=2)) == [Fault.FALSE_EMPTY]

    def test_a_claim_passes_over_jobs_that_took_turns_to_be_there(self) -> None:
        other = job("v", priority=1)
        wrong = taken("a", at=(5, 16))
        operations = [
            enqueued(FIRST, 0, 1),
            enqueued(URGENT, 0, 1),
            enqueued(other, 2, 3),
            taken("u", at=(11, 12)),
            wrong,
            taken("v", at=(20, 21)),
        ]
        (violation,) = check_queue(operations)
        assert violation.fault is Fault.PRIORITY_INVERSION
        assert violation.operations[0] == wrong
        assert "a (rank 2.a) was claimed before v (rank 1.v)" in str(violation)

    def test_what_was_there_at_each_moment_is_told(self) -> None:
        early, late, never = job("u"), job("v"), job("w")
        operations = [
            enqueued(FIRST, 0, 1),
            enqueued(early, 0, 1),
            enqueued(late, 2, 5),
            enqueued(never, 8, 9),
            out := taken("u", at=(8, 9)),
            withdrawal := withdrawn("v", 10, 11),
            wrong := taken("a", at=(5, 10)),
        ]
        (violation,) = check_queue(operations)
        assert violation.operations == (
            wrong,
            operations[1],
            out,
            operations[2],
            withdrawal,
            operations[3],
        )

    def test_a_job_is_passed_over_that_had_to_wait_for_a_better_one(self) -> None:
        # "b" can only have gone after "a" had, and was there until then.
        operations = [
            *(enqueued(each, 0, 1) for each in (job("a"), job("b"), job("c"))),
            taken("b", at=(2, 30)),
            taken("a", at=(20, 21)),
            taken("c", at=(10, 12)),
        ]
        assert faults(*operations) == [Fault.FIFO_INVERSION]

    def test_a_violation_tells_itself(self) -> None:
        (violation,) = check_queue([enqueued(FIRST, 0, 1), taken("b", at=(2, 3))])
        assert str(violation).startswith("a job was claimed, or withdrawn, without an enqueue: b\n")
        assert "[2, 3] Take(lanes=('red', 'blue'), limit=1) -> ('b',)" in str(violation)

    def test_without_strict_order_only_ownership_is_checked(self) -> None:
        operations = [
            enqueued(FIRST, 0, 1),
            enqueued(URGENT, 0, 1),
            taken("a", at=(2, 3)),
            taken(at=(4, 5)),
        ]
        assert faults(*operations, strict_order=False) == []
        unsorted = [*operations[:2], taken("a", "u", at=(2, 3), limit=2)]
        assert faults(*unsorted, strict_order=False) == []
        assert faults(*unsorted) == [Fault.NOT_SORTED]
        again = taken("a", at=(2, 3))
        assert faults(*operations, again, strict_order=False) == [Fault.DOUBLE_CLAIM]


@given(st.integers(0, 2**32))
def test_it_accepts_what_the_search_accepts_and_nothing_else(seed: int) -> None:
    random = Random(seed)
    for _ in range(40):
        operations = random_queue(random, random.randint(1, 9))
        explained = isinstance(linearize(operations, EMPTY, queue_steps), Order)
        assert (not check_queue(operations)) == explained


@given(st.integers(0, 2**32))
def test_it_accepts_what_the_search_accepts_if_answers_are_missing(seed: int) -> None:
    random = Random(seed)
    for _ in range(40):
        operations = random_queue(random, random.randint(1, 9), unanswered=0.2, faulty=0)
        if isinstance(linearize(operations, EMPTY, queue_steps), Order):
            assert check_queue(operations) == []


@pytest.mark.parametrize("seed", range(50))
def test_one_wrong_answer_among_many_right_ones_is_found(seed: int) -> None:
    random = Random(seed)
    operations = spread(good_queue(random, 200), random, width=15)
    takes = [n for n, each in enumerate(operations) if isinstance(each.argument, Take)]
    given = [n for n in takes if operations[n].result]
    one, other = random.sample(given, 2)
    swapped = list(operations)
    # Two claims far from each other have been given each other's jobs.
    far = abs(one - other) > 8
    swapped[one] = evolve(operations[one], result=operations[other].result)
    swapped[other] = evolve(operations[other], result=operations[one].result)
    explained = isinstance(linearize(swapped, EMPTY, queue_steps), Order)
    assert (check_queue(swapped) == []) == explained
    assert not (far and explained)
    lost = evolve(operations[given[0]], result=UNKNOWN, returned=None)
    assert check_queue([*operations[: given[0]], lost, *operations[given[0] + 1 :]]) == []
