"""The order that a store stamped on its writes explains what was seen, or it does not."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from cicd_core.store.records import Committed
from cicd_core.testing.histories import UNKNOWN, History
from cicd_core.testing.histories.oracle import Refuted, Unstamped, check_versions, replay
from cicd_core.testing.histories.queue_model import EMPTY, queue_steps
from cicd_core.testing.histories.record_view import by_record
from cicd_core.testing.histories.wing_gong import Order, linearize
from cicd_core.testing.samples import COLLECTIONS, ITEMS, commit, item
from tests.unit.testing.histories.writing import did, enqueued, good_queue, job, spread, taken

if TYPE_CHECKING:
    from cicd_core.testing.histories.model import RecordOperation

SUBJECT = (ITEMS.name, "a")

FIRST, SECOND = enqueued(job("a"), 0, 4), enqueued(job("b"), 2, 9)


def seen_by_a(*operations: Any) -> list[RecordOperation]:
    return by_record(History(operations), COLLECTIONS)[SUBJECT]


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


@pytest.mark.parametrize("within", [(0, 2), (0, 10), (20, 30), (15, 20), (25, 30)])
def test_what_touches_is_concurrent(within: tuple[int, int]) -> None:
    nothing = taken(at=within)
    order = [enqueued(job("a"), 2, 2), taken("a", at=(20, 25))]
    assert replay(order, [nothing], EMPTY, queue_steps) is None
    assert isinstance(linearize([*order, nothing], EMPTY, queue_steps), Order)


def test_reads_keep_their_own_order() -> None:
    order = [
        enqueued(job("a", "red"), 0, 2),
        enqueued(job("b", "blue"), 0, 40),
        taken("a", at=(0, 40)),
    ]
    # Red is empty again only after blue has got its job.
    for red, blue, right in [
        ((6, 8), (3, 5), True),
        ((3, 5), (6, 8), False),
        ((3, 6), (6, 8), True),
    ]:
        reads = [taken(at=red, lanes=["red"]), taken(at=blue, lanes=["blue"])]
        assert (replay(order, reads, EMPTY, queue_steps) is None) == right


def test_many_reads_keep_their_own_order() -> None:
    order = [enqueued(job("a", "red"), 0, 2), enqueued(job("b", "blue"), 0, 40)]
    order.append(taken("a", at=(0, 40)))
    early = [taken(at=(3, 5), lanes=["red"]), taken(at=(3, 4), lanes=["blue"])]
    late = taken(at=(6, 8), lanes=["blue"])
    assert replay(order, early, EMPTY, queue_steps) is None
    assert isinstance(replay(order, [late, *early], EMPTY, queue_steps), Refuted)


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


class TestVersions:
    CREATED = did(commit(item("a"), commit_id="one"), Committed({SUBJECT: 5}), 0, 9)
    REPLACED = did(commit(item("a", expected=5), commit_id="two"), Committed({SUBJECT: 6}), 0, 9)

    def test_a_record_that_nobody_wrote_is_explained(self) -> None:
        assert check_versions([]) is None

    def test_writes_happened_in_the_order_of_their_versions(self) -> None:
        assert check_versions(seen_by_a(self.REPLACED, self.CREATED)) is None
        late = evolve(self.CREATED, invoked=10, returned=11)
        assert isinstance(check_versions(seen_by_a(self.REPLACED, late)), Refuted)

    def test_versions_do_not_tell_where_an_outcome_is_unknown(self) -> None:
        lost = evolve(self.REPLACED, result=UNKNOWN, returned=None)
        with pytest.raises(Unstamped):
            check_versions(seen_by_a(self.CREATED, lost))

    def test_versions_do_not_tell_where_a_commit_was_made_again(self) -> None:
        again = evolve(self.CREATED, invoked=10, returned=11)
        with pytest.raises(Unstamped):
            check_versions(seen_by_a(self.CREATED, again))
