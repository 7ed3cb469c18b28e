"""What a queue saw is read from what clients asked of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from cicd_core.store.records import Committed, Conflict, Delete, Lease, Record
from cicd_core.testing.histories import UNKNOWN, Get, History
from cicd_core.testing.histories.queue_model import Enqueue, Take, Withdraw
from cicd_core.testing.histories.queue_monitor import Fault, check_queue
from cicd_core.testing.histories.queue_view import queue_of, queues_of
from cicd_core.testing.samples import BY_STATE, ITEMS, READY, claim, commit, item, plain
from tests.unit.testing.histories.writing import asked, did

if TYPE_CHECKING:
    from cicd_core.testing.histories.queue_view import QueueView

CLAIM = claim(claim_id="mine")


def put(at: int, key: str, version: int, *, expected: int | None = None, **fields: Any) -> Any:
    before = version - 1 if expected is None else expected
    write = item(key, expected=before, **fields)
    return did(commit(write), Committed({(ITEMS.name, key): version}), at, at + 1)


def record(key: str, version: int, *, by: str | None = None, **fields: Any) -> Record:
    """Return a record that stands in the lane, or one that a claim holds."""
    if by is None:
        return Record(key=key, version=version, body=b"", attributes=item(key).attributes, **fields)
    fields["lease"] = Lease(claim_id=by, granted=1, renewed=1, expires=2, limit=3)
    return Record(key=key, version=version, body=b"", grant=b"g", **fields)


def took(at: int, *records: Record, asking: Any = CLAIM) -> Any:
    return did(asking, records, at, at + 1)


def saw(at: int, key: str, found: Record | None) -> Any:
    return did(Get(collection=ITEMS.name, key=key), found, at, at + 1)


def held(key: str, version: int, by: str = "mine", commit_id: str = "c") -> Record:
    return record(key, version, by=by, commit_id=commit_id)


def view_of(*operations: Any) -> QueueView:
    return queue_of(History(operations), (ITEMS.name, READY))


def faults(*operations: Any) -> list[Fault]:
    view = view_of(*operations)
    return [each.fault for each in check_queue(view.operations, remaining=view.remaining)]


def arguments(view: QueueView) -> list[Any]:
    return [each.argument for each in view.operations]


def test_the_queues_are_those_that_were_claimed_from() -> None:
    other = did(claim(), (), 0, 1)
    history = History([other, put(0, "a", 1)])
    assert queues_of(history) == {(ITEMS.name, READY)}


def test_a_stay_begins_with_a_write_and_ends_with_the_next() -> None:
    view = view_of(put(0, "a", 1, rank="2"), took(2, held("a", 2)))
    enqueue, take = view.operations
    assert isinstance(enqueue.argument, Enqueue)
    job = enqueue.argument.job
    assert (job.name, job.lane, job.rank, job.priority) == ("a@1", "main", "2:a", "2")
    assert take.argument == Take(("main",), 1)
    assert take.result == ("a@1",)


def test_a_write_that_moves_a_record_ends_one_stay_and_begins_another() -> None:
    view = view_of(put(0, "a", 1), put(2, "a", 2, rank="1"))
    kinds = [type(each) for each in arguments(view)]
    assert sorted(kinds, key=str) == [Enqueue, Enqueue, Withdraw]
    assert Withdraw("a@1") in arguments(view)


def test_a_delete_ends_a_stay() -> None:
    delete = Delete(collection=ITEMS.name, key="a", expected=1)
    deleted = did(commit(plain("b"), delete), Committed({("plain", "b"): 1}), 2, 3)
    assert Withdraw("a@1") in arguments(view_of(put(0, "a", 1), deleted))


def test_a_write_that_stands_in_no_lane_is_no_stay() -> None:
    assert arguments(view_of(put(0, "a", 1, lane=None), put(2, "a", 2, lane=None))) == []


def test_a_record_that_is_given_back_comes_again() -> None:
    other = claim(claim_id="other")
    operations = [put(0, "a", 1), took(2, held("a", 2)), put(4, "a", 3, lease=None)]
    assert faults(*operations, took(6, held("a", 4, "other"), asking=other)) == []
    stale = faults(*operations, took(6, held("a", 2, "other"), asking=other))
    assert Fault.DOUBLE_CLAIM in stale


def test_a_claim_that_leaves_a_record_in_its_lane_begins_another_stay() -> None:
    lane = item("a").attributes
    first, second = claim(claim_id="first", patch={}), claim(claim_id="second", patch={})
    operations = [
        put(0, "a", 1),
        took(2, evolve(held("a", 2, "first"), attributes=lane), asking=first),
        took(4, evolve(held("a", 3, "second"), attributes=lane), asking=second),
    ]
    assert faults(*operations) == []
    assert faults(operations[0], operations[2]) == [Fault.FROM_NOWHERE]


def test_a_refused_commit_is_nothing() -> None:
    refused = did(commit(item("a", expected=1)), Conflict(((ITEMS.name, "a"),)), 2, 3)
    assert len(view_of(put(0, "a", 1), refused).operations) == 1


def test_other_collections_and_other_indexes_are_left_out() -> None:
    elsewhere = evolve(claim(), index=BY_STATE)
    alike = plain("p", attributes=item("p").attributes)
    other = did(commit(alike), Committed({("plain", "p"): 1}), 0, 1)
    assert view_of(other, did(elsewhere, (held("a", 2),), 2, 3)).operations == ()


class TestRepetitions:
    def test_a_commit_that_is_made_again_happened_once(self) -> None:
        first = put(0, "a", 1)
        again = evolve(first, client="again", invoked=10, returned=11)
        view = view_of(evolve(first, result=UNKNOWN, returned=None), again)
        (enqueue,) = view.operations
        assert (enqueue.invoked, enqueue.returned) == (0, 11)

    def test_a_creation_may_happen_again_when_its_record_was_deleted(self) -> None:
        created = put(0, "a", 1)
        delete = Delete(collection=ITEMS.name, key="a", expected=1)
        deleted = did(commit(plain("b"), delete), Committed({("plain", "b"): 1}), 2, 3)
        again = did(created.argument, Committed({(ITEMS.name, "a"): 2}), 4, 5)
        taken = took(6, held("a", 3, commit_id=created.argument.commit_id))
        assert faults(created, deleted, again, taken) == []
        lost = asked(created.argument, 4)
        assert faults(created, deleted, lost, taken) == []
        assert faults(created, deleted, taken) == [Fault.FROM_NOWHERE]

    def test_a_claim_that_is_made_again_took_what_it_shows_in_one_of_its_calls(self) -> None:
        first, again = took(2, held("a", 2)), took(10, held("a", 2))
        view = view_of(put(0, "a", 1), first, again)
        (take,) = (each for each in view.operations if isinstance(each.argument, Take))
        assert (take.result, take.invoked, take.returned) == (("a@1",), 2, 3)
        assert faults(put(0, "a", 1), first, again) == []

    def test_a_claim_that_was_empty_may_take_something_when_it_is_made_again(self) -> None:
        assert faults(took(0), put(2, "a", 1), took(4, held("a", 2))) == []

    def test_a_claim_that_is_made_again_shows_what_its_holder_wrote_since(self) -> None:
        lease = Lease(claim_id="mine", granted=1, renewed=1, expires=2, limit=3)
        begun = Record(
            key="a",
            version=3,
            commit_id="begun",
            body=b"",
            lease=lease,
            attributes=item("a").attributes,
        )
        operations = [put(0, "a", 1), took(2, held("a", 2)), put(4, "a", 3)]
        assert faults(*operations, took(6, begun), saw(9, "a", begun)) == []


class TestUnknownOutcomes:
    def test_a_creation_without_an_answer_is_known_by_what_took_it(self) -> None:
        created = asked(commit(item("a"), commit_id="creation"), 0)
        taken = took(2, held("a", 8, commit_id="creation"))
        assert faults(created, taken) == []
        assert faults(taken) == [Fault.FROM_NOWHERE]
        assert faults(created, took(2, held("a", 8))) == [Fault.FROM_NOWHERE]

    def test_a_creation_without_an_answer_that_nobody_saw_is_nothing(self) -> None:
        assert view_of(asked(commit(item("a")), 0)).operations == ()

    def test_a_write_without_an_answer_may_have_ended_a_stay(self) -> None:
        write = asked(commit(item("a", expected=1, lane=None)), 2)
        assert faults(put(0, "a", 1), write, took(4)) == []

    def test_a_claim_without_an_answer_is_known_by_what_somebody_saw_it_hold(self) -> None:
        claimed = asked(CLAIM, 2)
        seen = saw(8, "a", held("a", 2))
        view = view_of(put(0, "a", 1), claimed, seen)
        (take,) = (each for each in view.operations if each.result == ("a@1",))
        assert (take.invoked, take.returned) == (2, 9)

    def test_a_claim_without_an_answer_may_have_taken_anything(self) -> None:
        claimed = asked(claim(2), 2)
        assert faults(put(0, "a", 1), put(0, "b", 1), claimed, took(4)) == []
        assert faults(put(0, "a", 1), put(0, "b", 1), took(4)) == [Fault.FALSE_EMPTY]


class TestTheEnd:
    @pytest.mark.parametrize(
        ("found", "expected"),
        [
            (record("a", 1, commit_id="c"), []),
            (held("a", 2), [Fault.LOST]),
            (None, [Fault.LOST]),
        ],
    )
    def test_what_is_read_at_the_end_is_what_remains(
        self, found: Record | None, expected: list[Fault]
    ) -> None:
        assert faults(put(0, "a", 1), saw(10, "a", found)) == expected

    def test_what_is_read_while_others_write_is_not_the_end(self) -> None:
        operations = [put(0, "a", 1), took(2), saw(3, "a", record("a", 1, commit_id="c"))]
        assert view_of(*operations).remaining is None
        later = saw(4, "a", record("a", 1, commit_id="c"))
        assert view_of(*operations, later).remaining == frozenset({"a@1"})

    def test_what_was_taken_does_not_remain(self) -> None:
        operations = [put(0, "a", 1), took(2, held("a", 2))]
        assert faults(*operations, saw(10, "a", held("a", 2))) == []
        stale = saw(10, "a", record("a", 1, commit_id="c"))
        assert faults(*operations, stale) == [Fault.STILL_THERE]

    def test_nothing_is_said_to_be_lost_if_not_all_was_read_at_the_end(self) -> None:
        operations = [put(0, "a", 1), put(0, "b", 1), saw(10, "a", record("a", 1, commit_id="c"))]
        assert view_of(*operations).remaining is None
        early = [put(0, "a", 1), saw(2, "a", record("a", 1, commit_id="c")), put(3, "a", 2)]
        assert view_of(*early).remaining is None
