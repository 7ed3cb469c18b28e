"""One fault of each kind, planted in the history of a right queue, is found and named."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from cicd_core.testing.histories.queue_model import Enqueue, Take, Withdraw
from cicd_core.testing.histories.queue_monitor import Fault, check_queue
from tests.unit.testing.histories.writing import enqueued, good_queue, spread, taken, withdrawn

if TYPE_CHECKING:
    from collections.abc import Callable

    from cicd_core.testing.histories.queue_model import QueuedJob, QueueOperation

Operations = list[Any]


def give_twice(random: Random, done: Operations) -> Operations:
    place = random.choice(takes(done))
    return [*done, evolve(done[place], client="again")]


def give_from_nowhere(random: Random, done: Operations) -> Operations:
    return with_result(done, random.choice(takes(done)), ("nobody's",))


def give_from_another_lane(random: Random, done: Operations) -> Operations:
    place = random.choice(takes(done))
    return [*done[:place], evolve(done[place], argument=Take(("green",))), *done[place + 1 :]]


def give_too_many(random: Random, done: Operations) -> Operations:
    place = random.choice(takes(done))
    none = evolve(done[place].argument, limit=0)
    return [*done[:place], evolve(done[place], argument=none), *done[place + 1 :]]


def give_too_early(random: Random, done: Operations) -> Operations:
    place = random.choice(takes(done))
    came = next(n for n, each in enumerate(done) if names(each) == names(done[place]))
    return [*done[:came], *done[came + 1 : place + 1], done[came], *done[place + 1 :]]


def withdraw_what_is_taken(random: Random, done: Operations) -> Operations:
    return [*done, withdrawn(names(done[random.choice(takes(done))])[0], 0, 0)]


def forget_a_take(random: Random, done: Operations) -> Operations:
    place = random.choice(takes(done))
    return [*done[:place], *done[place + 1 :]]


def keep_what_is_taken(random: Random, done: Operations) -> Operations:
    return done


def pass_over_a_better_one(random: Random, done: Operations) -> Operations:
    return swapped(random, done, lambda one, other: one.priority < other.priority)


def pass_over_an_earlier_one(random: Random, done: Operations) -> Operations:
    return swapped(random, done, lambda one, other: one.priority == other.priority)


def give_the_best_one_last(random: Random, done: Operations) -> Operations:
    jobs = {each.argument.job.name: each.argument.job for each in done if is_enqueue(each)}
    place = random.choice(takes(done))
    better = evolve(jobs[done[place].result[0]], name="better", rank="")
    answer = (*done[place].result, "better")
    both = evolve(done[place], argument=evolve(done[place].argument, limit=9), result=answer)
    return [*done[:place], enqueued(better, 0, 0), both, *done[place + 1 :]]


def find_nothing(random: Random, done: Operations) -> Operations:
    place = random.choice(takes(done))
    # Right before a job of these lanes is taken, it is there.
    nothing = taken(at=(0, 0), lanes=done[place].argument.lanes)
    return [*done[:place], nothing, *done[place:]]


PLANTS: dict[Fault, Callable[[Random, Operations], Operations]] = {
    Fault.DOUBLE_CLAIM: give_twice,
    Fault.FROM_NOWHERE: give_from_nowhere,
    Fault.OTHER_LANE: give_from_another_lane,
    Fault.TOO_MANY: give_too_many,
    Fault.NOT_SORTED: give_the_best_one_last,
    Fault.TOO_EARLY: give_too_early,
    Fault.GONE_TWICE: withdraw_what_is_taken,
    Fault.STILL_THERE: keep_what_is_taken,
    Fault.LOST: forget_a_take,
    Fault.PRIORITY_INVERSION: pass_over_a_better_one,
    Fault.FIFO_INVERSION: pass_over_an_earlier_one,
    Fault.FALSE_EMPTY: find_nothing,
}


def names(operation: QueueOperation) -> tuple[str, ...]:
    """Return the jobs that came or were given."""
    match operation.argument:
        case Enqueue(job):
            return (job.name,)
        case Take() if isinstance(operation.result, tuple):
            return operation.result
        case _:
            return ()


def takes(done: Operations) -> list[int]:
    """Return the places of the takes that were given something."""
    return [n for n, each in enumerate(done) if isinstance(each.argument, Take) and each.result]


def with_result(done: Operations, place: int, result: tuple[str, ...]) -> Operations:
    return [*done[:place], evolve(done[place], result=result), *done[place + 1 :]]


def swapped(
    random: Random, done: Operations, suits: Callable[[QueuedJob, QueuedJob], bool]
) -> Operations:
    """Give two claims each other's jobs, where the first claim left the second's job behind."""
    jobs = {each.argument.job.name: each.argument.job for each in done if is_enqueue(each)}
    came = {each.argument.job.name: n for n, each in enumerate(done) if is_enqueue(each)}
    pairs = [
        (early, late)
        for early in takes(done)
        for late in takes(done)
        if came[done[late].result[0]] < early < late
        and {jobs[done[n].result[0]].lane for n in (early, late)} <= set(done[early].argument.lanes)
        and suits(jobs[done[early].result[0]], jobs[done[late].result[0]])
    ]
    early, late = random.choice(pairs)
    result = done[late].result
    return with_result(with_result(done, late, done[early].result), early, result)


def is_enqueue(operation: Any) -> bool:
    return isinstance(operation.argument, Enqueue)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name)
def test_a_planted_fault_is_found_and_named(fault: Fault, seed: int) -> None:
    random = Random(seed)
    right = good_queue(random, 150)
    gone = {name for each in right if not is_enqueue(each) for name in names(each)}
    gone |= {each.argument.name for each in right if isinstance(each.argument, Withdraw)}
    there = {name for each in right if is_enqueue(each) for name in names(each)} - gone
    if fault is Fault.STILL_THERE:
        there.add(names(right[random.choice(takes(right))])[0])
    # Neighbours do not overlap, so that no other order makes up for the fault.
    wrong = spread(PLANTS[fault](random, right), random, width=4)
    assert fault in {each.fault for each in check_queue(wrong, remaining=there)}
