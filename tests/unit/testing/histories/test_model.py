"""What one record may answer after what happened to it, one thing after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve

from cicd_core.store.records import (
    Committed,
    Conflict,
    Delete,
    Guard,
    Lease,
    Record,
    Renewal,
    Renewed,
)
from cicd_core.testing.histories import UNKNOWN, Get, History
from cicd_core.testing.histories.model import ABSENT, record_steps
from cicd_core.testing.histories.record_view import by_record
from cicd_core.testing.histories.wing_gong import Order, linearize
from cicd_core.testing.samples import COLLECTIONS, ITEMS, SECOND, claim, commit, item, plain
from tests.unit.testing.histories.writing import asked, did

if TYPE_CHECKING:
    from cicd_core.store.records import Claim

SUBJECT = (ITEMS.name, "a")
GET = Get(collection=ITEMS.name, key="a")
CLAIM = claim(claim_id="mine")
CREATED = commit(item("a"), commit_id="creation")
RECORD = Record(
    key="a", version=10, commit_id="creation", body=b"body of a", attributes=item("a").attributes
)
LEASE = Lease(claim_id="mine", granted=50, renewed=50, expires=50 + 30 * SECOND, limit=90 * SECOND)
GRANTED = evolve(
    RECORD,
    version=11,
    grant=b"granted",
    lease=LEASE,
    attributes={
        **{name: text for name, text in RECORD.attributes.items() if name != "lane"},
        "state": "held",
        "due": "later",
    },
)
BOTH = [(CREATED, Committed({SUBJECT: 10})), (CLAIM, (GRANTED,))]


def explained(*happened: tuple[Any, Any]) -> bool:
    """Whether the record "a" can have answered this, one after the other."""
    operations = [
        asked(argument, 10 * number)
        if result is UNKNOWN
        else did(argument, result, 10 * number, 10 * number + 5)
        for number, (argument, result) in enumerate(happened)
    ]
    seen = by_record(History(operations), COLLECTIONS)[SUBJECT]
    return isinstance(linearize(seen, ABSENT, record_steps), Order)


def put(expected: int, **fields: Any) -> Any:
    return commit(item("a", expected=expected, **fields))


def renewal(claim_id: str = "mine") -> Renewal:
    return Renewal(collection=ITEMS.name, key="a", claim_id=claim_id, duration=SECOND)


def renewed(**changes: Any) -> Renewed:
    same = Renewed(version=11, renewed=LEASE.renewed, expires=LEASE.expires, limit=LEASE.limit)
    return evolve(same, **changes)


class TestReads:
    def test_a_record_is_absent_until_it_is_created(self) -> None:
        assert explained((GET, None), BOTH[0], (GET, RECORD))
        assert not explained((GET, RECORD))
        assert not explained(BOTH[0], (GET, None))

    @pytest.mark.parametrize(
        "wrong",
        [
            {"version": 11},
            {"commit_id": "another"},
            {"body": b"another"},
            {"attributes": {}},
            {"grant": b"granted"},
            {"lease": LEASE},
            {"lease_limit": 1},
            {"expires_at": 1},
        ],
        ids=str,
    )
    def test_a_read_shows_what_was_written(self, wrong: dict[str, Any]) -> None:
        assert not explained(BOTH[0], (GET, evolve(RECORD, **wrong)))

    def test_the_attribute_that_follows_the_lease_may_lag(self) -> None:
        lagging = evolve(GRANTED, attributes={**GRANTED.attributes, "due": "earlier"})
        assert explained(*BOTH, (GET, lagging))

    def test_a_record_whose_retention_ends_may_be_gone(self) -> None:
        mortal = commit(item("a", expires_at=99), commit_id="creation")
        created = (mortal, Committed({SUBJECT: 10}))
        assert explained(created, (GET, evolve(RECORD, expires_at=99)), (GET, None), (GET, None))
        assert not explained(created, (GET, None), (GET, evolve(RECORD, expires_at=99)))


class TestCommits:
    def test_a_commit_gives_the_version_after_the_one_that_it_expects(self) -> None:
        assert explained(BOTH[0], (put(10), Committed({SUBJECT: 11})))
        assert not explained(BOTH[0], (put(10), Committed({SUBJECT: 12})))
        assert not explained(BOTH[0], (put(9), Committed({SUBJECT: 10})))
        assert not explained(BOTH[0], (put(0), Committed({SUBJECT: 11})))

    def test_a_version_is_at_least_1(self) -> None:
        assert explained((CREATED, Committed({SUBJECT: 1})))
        assert not explained((CREATED, Committed({SUBJECT: 0})))

    def test_a_commit_answers_a_version_for_each_record(self) -> None:
        assert not explained((CREATED, Committed({})))

    def test_a_commit_is_refused_if_the_version_differs_and_only_then(self) -> None:
        assert explained(BOTH[0], (put(9), Conflict((SUBJECT,))))
        assert explained((put(9), Conflict((SUBJECT,))))
        assert not explained(BOTH[0], (put(10), Conflict((SUBJECT,))))
        assert not explained((put(0), Conflict((SUBJECT,))))

    def test_a_guard_may_refuse_what_has_a_lease(self) -> None:
        guarded = put(11, guard=Guard.LEASE_EXPIRED)
        assert explained(*BOTH, (guarded, Conflict((SUBJECT,))))
        assert explained(*BOTH, (guarded, Committed({SUBJECT: 12})))
        assert not explained(BOTH[0], (put(10, guard=Guard.LEASE_EXPIRED), Conflict((SUBJECT,))))

    def test_a_conflict_names_all_records_that_differ_and_no_others(self) -> None:
        two = commit(item("a", expected=10), plain("b", expected=5))
        other = Conflict((("plain", "b"),))
        assert explained(BOTH[0], (two, other))
        assert not explained(BOTH[0], (two, Conflict((SUBJECT, ("plain", "b")))))
        assert not explained((two, other))

    def test_a_commit_that_is_made_again_answers_the_same(self) -> None:
        again = (CREATED, Committed({SUBJECT: 10}))
        assert explained(BOTH[0], again, again)
        assert explained(*BOTH, again)
        assert not explained(BOTH[0], (CREATED, Committed({SUBJECT: 11})))
        assert not explained(BOTH[0], (CREATED, Conflict((SUBJECT,))))

    def test_a_record_that_is_created_again_gets_a_higher_version(self) -> None:
        delete = Delete(collection=ITEMS.name, key="a", expected=10)
        deleted = (commit(plain("b"), delete), Committed({("plain", "b"): 1}))
        assert explained(BOTH[0], deleted, (GET, None), (put(0), Committed({SUBJECT: 11})))
        assert explained(BOTH[0], deleted, (CREATED, Committed({SUBJECT: 11})))
        assert not explained(BOTH[0], deleted, (put(0), Committed({SUBJECT: 10})))
        assert not explained(BOTH[0], deleted, (GET, RECORD))

    def test_a_delete_that_is_made_again_deletes_once(self) -> None:
        delete = commit(plain("b"), Delete(collection=ITEMS.name, key="a", expected=10))
        done = (delete, Committed({("plain", "b"): 1}))
        new = evolve(RECORD, version=11, commit_id="new")
        created = (commit(item("a"), commit_id="new"), Committed({SUBJECT: 11}))
        assert explained(BOTH[0], done, created, done, (GET, new))
        assert not explained(BOTH[0], done, created, done, (GET, None))

    def test_a_delete_without_an_answer_may_have_happened(self) -> None:
        delete = commit(plain("b"), Delete(collection=ITEMS.name, key="a", expected=10))
        assert explained(BOTH[0], (delete, UNKNOWN), (GET, RECORD), (GET, None))
        assert not explained(BOTH[0], (delete, UNKNOWN), (GET, None), (GET, RECORD))

    def test_a_delete_is_refused_if_the_version_differs_and_only_then(self) -> None:
        delete = commit(plain("b"), Delete(collection=ITEMS.name, key="a", expected=9))
        assert explained(BOTH[0], (delete, Conflict((SUBJECT,))))
        assert not explained(BOTH[0], (delete, Conflict((("plain", "b"),))))

    def test_a_creation_without_an_answer_has_a_version_that_somebody_sees_first(self) -> None:
        created = (CREATED, UNKNOWN)
        assert explained(created, (GET, RECORD), (put(10), Committed({SUBJECT: 11})))
        assert explained(created, (put(7), Committed({SUBJECT: 8})))
        assert explained(created, (CLAIM, (GRANTED,)), (CREATED, Committed({SUBJECT: 10})))
        assert not explained(created, (CLAIM, (GRANTED,)), (CREATED, Committed({SUBJECT: 11})))
        assert not explained(created, (CLAIM, (evolve(GRANTED, version=1),)))
        assert not explained(created, (GET, RECORD), (GET, evolve(RECORD, version=11)))
        assert not explained(created, (GET, RECORD), (GET, None))

    def test_a_write_without_an_answer_has_the_version_that_follows(self) -> None:
        body = put(10, body=b"new")
        new = evolve(RECORD, version=11, body=b"new", commit_id=body.commit_id)
        assert explained(BOTH[0], (body, UNKNOWN), (GET, RECORD), (GET, new))
        assert not explained(BOTH[0], (body, UNKNOWN), (GET, evolve(new, version=12)))


class TestLeases:
    def test_a_commit_keeps_the_lease_or_clears_it_and_clears_the_grant(self) -> None:
        kept, cleared = put(11, lane=None), put(11, lane=None, lease=None)
        after = evolve(RECORD, version=12, attributes=kept.writes[0].attributes)
        for write, lease in ((kept, LEASE), (cleared, None)):
            new = evolve(after, commit_id=write.commit_id, lease=lease)
            done = (write, Committed({SUBJECT: 12}))
            assert explained(*BOTH, done, (GET, new))
            assert not explained(*BOTH, done, (GET, evolve(new, grant=b"granted")))
            other = None if lease else LEASE
            assert not explained(*BOTH, done, (GET, evolve(new, lease=other)))

    def test_a_lease_that_is_set_never_moves_back(self) -> None:
        shorter = evolve(LEASE, expires=LEASE.expires - 5)
        write = put(11, lease=shorter)
        new = evolve(RECORD, version=12, commit_id=write.commit_id, lease=LEASE)
        done = (write, Committed({SUBJECT: 12}))
        assert explained(*BOTH, done, (GET, new))
        assert not explained(*BOTH, done, (GET, evolve(new, lease=shorter)))

    def test_another_lease_replaces_the_one_that_was(self) -> None:
        other = evolve(LEASE, claim_id="other", expires=60)
        write = put(11, lease=other)
        new = evolve(RECORD, version=12, commit_id=write.commit_id, lease=other)
        assert explained(*BOTH, (write, Committed({SUBJECT: 12})), (GET, new))

    def test_a_renewal_needs_the_claim_that_holds_the_record(self) -> None:
        assert explained(*BOTH, (renewal(), renewed()))
        assert explained(*BOTH, (renewal("other"), None))
        assert explained((renewal(), None), BOTH[0], (renewal(), None))
        assert not explained(*BOTH, (renewal(), None))
        assert not explained(*BOTH, (renewal("other"), renewed()))

    def test_a_renewal_moves_forward_and_leaves_the_version(self) -> None:
        later = renewed(expires=LEASE.expires + 7)
        lease = evolve(LEASE, expires=LEASE.expires + 7)
        done = (renewal(), later)
        assert not explained(*BOTH, (GET, evolve(GRANTED, lease=lease)))
        assert explained(*BOTH, done, (GET, evolve(GRANTED, lease=lease)))
        assert not explained(*BOTH, done, (GET, GRANTED))
        assert not explained(*BOTH, done, (renewal(), renewed()))
        assert not explained(*BOTH, (renewal(), renewed(expires=LEASE.expires - 1)))
        assert not explained(*BOTH, (renewal(), renewed(expires=LEASE.limit + 1)))
        assert not explained(*BOTH, (renewal(), renewed(version=12)))
        assert not explained(*BOTH, (renewal(), renewed(limit=LEASE.limit + 1)))

    def test_a_sign_of_life_is_never_taken_back(self) -> None:
        heard = evolve(GRANTED, lease=evolve(LEASE, renewed=LEASE.renewed + 7))
        later = (renewal(), renewed(renewed=LEASE.renewed + 7))
        assert explained(*BOTH, later, (GET, heard))
        assert not explained(*BOTH, (GET, heard))
        assert not explained(*BOTH, later, (GET, GRANTED))
        assert not explained(*BOTH, later, (renewal(), renewed()))
        assert not explained(BOTH[0], (CLAIM, (heard,)))

    def test_a_renewal_without_an_answer_may_have_moved_the_lease(self) -> None:
        later = evolve(GRANTED, lease=evolve(LEASE, expires=LEASE.expires + 7))
        assert explained(*BOTH, (renewal(), UNKNOWN), (GET, GRANTED), (GET, later))
        assert not explained(*BOTH, (renewal(), UNKNOWN), (GET, later), (GET, GRANTED))
        earlier = evolve(GRANTED, lease=evolve(LEASE, expires=LEASE.expires - 7))
        assert not explained(*BOTH, (renewal(), UNKNOWN), (GET, earlier))


class TestClaims:
    def test_a_claim_takes_what_stands_in_its_lanes(self) -> None:
        assert explained(*BOTH)
        elsewhere = evolve(CLAIM, partitions=("other",))
        assert not explained(BOTH[0], (elsewhere, (GRANTED,)))
        assert not explained(BOTH[0], (evolve(CLAIM, limit=0), (GRANTED,)))
        assert not explained((CLAIM, (GRANTED,)))

    def test_a_record_is_given_once(self) -> None:
        other = evolve(CLAIM, claim_id="other")
        second = evolve(GRANTED, lease=evolve(LEASE, claim_id="other"))
        assert not explained(*BOTH, (other, (second,)))
        assert not explained(*BOTH, (other, (evolve(second, version=12),)))

    @pytest.mark.parametrize(
        "wrong",
        [
            {"version": 10},
            {"grant": None},
            {"lease": None},
            {"lease": evolve(LEASE, claim_id="other")},
            {"lease": evolve(LEASE, expires=LEASE.expires + 1)},
            {"attributes": RECORD.attributes},
            {"commit_id": "another"},
        ],
        ids=str,
    )
    def test_a_claim_shows_what_it_wrote(self, wrong: dict[str, Any]) -> None:
        assert not explained(BOTH[0], (CLAIM, (evolve(GRANTED, **wrong),)))

    @pytest.mark.parametrize(
        ("of_claim", "of_record", "limit"),
        [(60, None, 60), (None, 50, 50), (60, 50, 50), (5, None, 5)],
    )
    def test_a_lease_ends_at_the_smaller_limit(
        self, of_claim: int | None, of_record: int | None, limit: int
    ) -> None:
        limited = of_record and of_record * SECOND
        created = (
            commit(item("a", lease_limit=limited), commit_id="creation"),
            Committed({SUBJECT: 10}),
        )
        asking: Claim = evolve(CLAIM, lease_limit=of_claim and of_claim * SECOND)
        ends = LEASE.granted + limit * SECOND
        right = evolve(LEASE, expires=min(LEASE.expires, ends), limit=ends)
        record = evolve(GRANTED, lease_limit=limited, lease=right)
        wrong = evolve(record, lease=evolve(right, limit=right.limit + 1))
        assert explained(created, (asking, (record,)))
        assert not explained(created, (asking, (wrong,)))

    def test_a_claim_that_is_made_again_shows_what_it_holds(self) -> None:
        assert explained(*BOTH, (CLAIM, (GRANTED,)))
        assert not explained(*BOTH, (CLAIM, ()))
        assert not explained(*BOTH, (CLAIM, (evolve(GRANTED, version=12),)))

    def test_a_claim_that_is_made_again_leaves_out_what_it_lost(self) -> None:
        done = (put(11, lane=None, lease=None), Committed({SUBJECT: 12}))
        assert explained(*BOTH, done, (CLAIM, ()))

    def test_a_claim_that_is_made_again_may_take_what_it_gave_back(self) -> None:
        back = put(11, lease=None)
        again = evolve(GRANTED, version=13, commit_id=back.commit_id)
        assert explained(*BOTH, (back, Committed({SUBJECT: 12})), (CLAIM, (again,)))

    def test_a_claim_without_an_answer_may_have_taken_it(self) -> None:
        claimed = (CLAIM, UNKNOWN)
        assert explained(BOTH[0], claimed, (GET, RECORD))
        assert explained(BOTH[0], claimed, (GET, GRANTED))
        assert explained(BOTH[0], claimed, (renewal(), renewed()), (GET, GRANTED))
        assert not explained(BOTH[0], claimed, (GET, GRANTED), (GET, RECORD))
        assert not explained(claimed, BOTH[0], (GET, evolve(GRANTED, version=12)))
        elsewhere = evolve(CLAIM, partitions=("other",))
        assert not explained(BOTH[0], (elsewhere, UNKNOWN), (GET, GRANTED))
