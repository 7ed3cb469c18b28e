"""The parts of the store that do no I/O: bytes, order, proofs, time, errors."""

from __future__ import annotations

import time
from email.utils import formatdate
from functools import partial
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from cicd_core.clock import boot_micros, wall_micros
from cicd_core.errors import CorruptRecord, StoreUnavailable, UnsupportedCapability
from cicd_core.increments import Increment
from cicd_core.store.records import LogEntry
from cicd_core.testing.samples import ITEMS
from cicd_core_dynamodb import elapsed
from cicd_core_dynamodb.applied_commits import is_void, served
from cicd_core_dynamodb.elapsed import awake_or_asleep
from cicd_core_dynamodb.entries import Entry, decode, encode
from cicd_core_dynamodb.failures import TableExists, translated
from cicd_core_dynamodb.items import Layout, pack, unpack
from cicd_core_dynamodb.log_times import APART, SETTLED, STALE
from cicd_core_dynamodb.ordering import WaitingEntry, in_order, with_predecessors
from cicd_core_dynamodb.server_clock import ServerClock
from cicd_core_dynamodb.still_open import first_too_many, parsed, still_open

NOW = 1_800_000_000_000_000
#: In microseconds; how far two clocks may be apart.
HOUR = 3600 * 1_000_000


def entry(name: str, rank: int, *, key: str = "a", expected: int = 0) -> Entry:
    return Entry(
        proof=b"\0" + name.encode(),
        part=0,
        anchor=("items", key),
        expected=expected,
        ranks=((("items", key), rank),),
    )


def waiting(
    name: str, rank: int, *, at: int = NOW, key: str = "a", expected: int = 0
) -> WaitingEntry:
    one = entry(name, rank, key=key, expected=expected)
    return WaitingEntry(place=f"{at:016d}{name}", index=0, entry=one)


# ---------------------------------------------------------------------------------------- bytes


@given(st.binary(max_size=2000))
def test_bytes_come_back_as_they_were_packed(data: bytes) -> None:
    assert unpack(pack(data)) == data
    assert len(pack(data)) <= len(data) + 1


@pytest.mark.parametrize("wrong", [b"", b"\1nothing", b"\7what?"])
def test_bytes_that_nobody_packed_are_refused(wrong: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        unpack(wrong)


@given(st.lists(st.binary(max_size=300), max_size=4), st.text(max_size=5))
def test_entries_come_back_as_they_were_encoded(bodies: list[bytes], key: str) -> None:
    events = tuple(
        LogEntry(collection="items", key=key, version=7, ordinal=number, body=body)
        for number, body in enumerate(bodies)
    )
    one = evolve(entry("x", 3), events=events, increments=(Increment("n", -2),))
    assert decode(encode([one, one])) == [one, one]


def test_entries_that_do_not_decode_are_said_to() -> None:
    with pytest.raises(CorruptRecord):
        decode(pack(b"\0\0\0\4[{}]"))


def test_an_item_that_is_no_record_is_said_to_be_corrupt() -> None:
    layout = Layout(ITEMS, "team", 2)
    with pytest.raises(CorruptRecord) as refused:
        layout.seen({"K": {"S": "team|a"}, "V": {"N": "3"}})
    assert (refused.value.collection, refused.value.key) == ("items", "a")


# ---------------------------------------------------------------------------------------- order


@given(st.permutations(range(6)), st.permutations(range(6)))
def test_entries_of_a_subject_are_in_the_order_of_its_versions(
    ranks: list[int], times: list[int]
) -> None:
    some = [
        waiting(f"{number}", rank, at=NOW + at)
        for number, (rank, at) in enumerate(zip(ranks, times, strict=True))
    ]
    assert [each.entry.ranks[0][1] for each in in_order(some)] == [0, 1, 2, 3, 4, 5]


@given(st.permutations(range(6)))
def test_entries_that_share_nothing_are_in_the_order_of_the_journal(times: list[int]) -> None:
    some = [waiting(f"{at}", 1, at=NOW + at, key=f"k{at}") for at in times]
    assert [each.micros - NOW for each in in_order(some)] == [0, 1, 2, 3, 4, 5]


def test_versions_that_go_in_a_circle_lose_nobody() -> None:
    subjects = [("items", "a"), ("items", "b")]
    one = evolve(entry("x", 0), ranks=((subjects[0], 1), (subjects[1], 2)))
    two = evolve(entry("y", 0), ranks=((subjects[0], 2), (subjects[1], 1)))
    some = [
        WaitingEntry(place=f"{NOW}{n}", index=0, entry=each) for n, each in enumerate((one, two))
    ]
    assert in_order(some) == some


def test_what_an_entry_builds_upon_comes_along_and_nothing_else() -> None:
    last = waiting("last", 9)
    earlier, later, other = waiting("earlier", 8), waiting("later", 10), waiting("o", 1, key="o")
    assert with_predecessors([last], [later, earlier, other]) == [last, earlier]


# ---------------------------------------------------------------------------- what is still open


@given(st.sets(st.tuples(st.integers(0, 9), st.integers(0, 700))))
def test_what_is_open_is_named_by_the_entry_and_read_back(chosen: set[tuple[int, int]]) -> None:
    undecided = [evolve(waiting("x", 1, at=NOW + at), index=index) for at, index in chosen]
    names = [parsed(each.text) for each in still_open(undecided)]
    assert [each.place for each in names] == sorted({each.place for each in undecided})
    found = {(each.micros - NOW, n) for each in names for n in range(701) if each.holds(n)}
    assert found == chosen


def test_what_is_open_is_named_as_far_as_there_is_room() -> None:
    names = still_open(waiting("x", 1, at=NOW + at) for at in range(5))
    size = len(names[0].text)
    assert first_too_many(names, 5 * size) is None
    assert first_too_many(names, 5 * size - 1) == names[4]
    assert first_too_many(names, 0) == names[0]


# --------------------------------------------------------------------------------------- proofs


@pytest.mark.parametrize(
    ("expected", "item", "age", "void"),
    [
        (5, {"V": {"N": "5"}}, 0, False),  # it may be on its way
        (5, {"V": {"N": "6"}}, 0, True),  # overtaken
        (5, {"Z": {"N": "5"}}, 0, True),  # deleted
        (5, {"Z": {"N": "4"}}, 0, False),  # deleted before, made again later perhaps
        (0, {"V": {"N": "5"}}, 0, False),
        (0, {"V": {"N": "5"}}, SETTLED + 1, True),
        (0, None, SETTLED + 1, False),
        (0, None, STALE + 1, True),
        (5, None, STALE + 1, True),
    ],
)
def test_what_was_not_applied_is_void_when_it_cannot_be_any_more(
    expected: int, item: dict[str, dict[str, Any]] | None, age: int, void: bool
) -> None:
    one = waiting("x", expected + 1 if expected else NOW + SETTLED, expected=expected)
    there: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    if item is not None:
        there["items", "a"] = item
    assert is_void(one, there, NOW + age) is void


@pytest.mark.parametrize(
    ("expires", "gives", "age", "void"),
    [
        (None, NOW, APART + 1, True),
        (None, NOW, APART, False),  # by another clock, it is deleted before that version
        (None, NOW + 5, APART + 5, False),
        (NOW + HOUR, NOW, APART + 1, True),
        (NOW + 2 * APART + 1, NOW, APART + 1, False),  # by another clock, it has expired
        (NOW - 1, NOW, APART + 1, False),  # it may be replaced
        (NOW - 1, NOW, SETTLED + 1, True),
    ],
)
def test_a_creation_that_lost_is_void_when_no_deletion_can_let_it_in(
    expires: int | None, gives: int, age: int, void: bool
) -> None:
    one = waiting("x", gives)
    item: dict[str, dict[str, Any]] = {"V": {"N": "5"}}
    if expires is not None:
        item["X"] = {"N": str(expires)}
    assert is_void(one, {("items", "a"): item}, NOW + age) is void


def test_a_creation_whose_version_is_not_told_is_void_after_a_minute() -> None:
    one = evolve(waiting("x", 1), entry=evolve(entry("x", 1), ranks=()))
    there: dict[tuple[str, str], dict[str, dict[str, Any]]] = {("items", "a"): {"V": {"N": "5"}}}
    assert not is_void(one, there, NOW + SETTLED)
    assert is_void(one, there, NOW + SETTLED + 1)


def test_what_is_proved_is_never_void() -> None:
    one = waiting("x", 1, expected=5)
    there: dict[tuple[str, str], dict[str, dict[str, Any]]] = {
        ("items", "a"): {"V": {"N": "9"}, "E": {"BS": [one.entry.proof]}}
    }
    assert not is_void(one, there, NOW + STALE + 1)


def test_proofs_are_taken_from_records_that_hold_many_once_the_log_has_what_they_prove() -> None:
    old = [bytes([0, number]) for number in range(20)]
    other_shard = b"\1other"
    on_its_way, chosen = waiting("on its way", 30), waiting("chosen", 29)
    proofs = [*old, other_shard, on_its_way.entry.proof, chosen.entry.proof]
    there = {("items", "a"): {"E": {"BS": proofs}}, ("items", "b"): {"E": {"BS": old[:3]}}}
    names = {each.name: each for each in (on_its_way, chosen)}
    assert served(0, there, names) == {("items", "a"): sorted(old)}


# ----------------------------------------------------------------------------------------- time

NOON = "Sat, 21 Nov 2026 12:00:00 GMT"


def test_a_clock_that_heard_nothing_says_so() -> None:
    assert ServerClock().read() is None


def test_a_clock_is_as_far_off_as_it_says_at_most() -> None:
    clock = ServerClock()
    for _ in range(20):
        clock.heard(formatdate(time.time(), usegmt=True), sent=awake_or_asleep())
        told, wall = clock.read(), time.time() * 1e6
        assert told is not None
        assert abs(told.micros - wall) <= told.uncertainty + 10_000


def test_each_answer_narrows_what_the_time_may_be() -> None:
    clock = ServerClock()
    now = awake_or_asleep()
    clock.heard(NOON, sent=now - 0.8)
    first = clock.read()
    clock.heard("Sat, 21 Nov 2026 12:00:01 GMT", sent=now)
    second = clock.read()
    assert first is not None
    assert second is not None
    assert second.uncertainty < first.uncertainty


def test_an_answer_that_took_long_tells_no_time() -> None:
    clock = ServerClock()
    clock.heard(NOON, sent=awake_or_asleep() - 3.5)
    assert clock.read() is None
    clock.heard(NOON, sent=awake_or_asleep())
    assert clock.read() is not None


def test_a_clock_that_was_ahead_says_how_far_while_it_waits_for_the_time() -> None:
    clock, noon = ServerClock(), 1_795_262_400_000_000
    asked = awake_or_asleep()
    clock.heard(NOON, sent=asked - 2.5)  # noon it was at any moment of these seconds
    ahead = clock.read()
    clock.heard(NOON, sent=awake_or_asleep())
    told = clock.read()
    assert ahead is not None
    assert told is not None
    assert told.micros >= ahead.micros > noon + 1_500_000
    # It is noon, and less than a second later than that.
    assert told.micros - told.uncertainty <= noon + 100_000


def test_a_clock_never_goes_back_a_little() -> None:
    clock = ServerClock()
    clock.heard("Sat, 21 Nov 2026 12:00:10 GMT", sent=awake_or_asleep())
    before = clock.read()
    clock.heard("Sat, 21 Nov 2026 12:00:07 GMT", sent=awake_or_asleep())
    after = clock.read()
    assert before is not None
    assert after is not None
    assert after.micros >= before.micros


@pytest.mark.parametrize("year", [1970, 2025, 2027])
def test_one_wrong_clock_behind_the_endpoint_moves_no_time(year: int) -> None:
    clock = ServerClock()
    clock.heard(NOON, sent=awake_or_asleep())
    before = clock.read()
    for _ in range(3):
        clock.heard(f"Sat, 21 Nov {year} 13:00:00 GMT", sent=awake_or_asleep())
    after = clock.read()
    assert before is not None
    assert after is not None
    assert before.micros <= after.micros < before.micros + 60_000_000
    clock.heard(NOON, sent=awake_or_asleep())
    assert clock.read() is not None


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_with_which_no_answer_agrees_for_ten_minutes_is_given_up(
    monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    passed = 0.0
    real = (boot_micros, wall_micros)
    for name, source in zip(("boot_micros", "wall_micros"), real, strict=True):
        ahead = partial(lambda source: source() + round(passed * 1e6), source)
        monkeypatch.setattr(elapsed, name, ahead)

    def hear(second: float) -> int:
        clock.heard(formatdate(second, usegmt=True), sent=awake_or_asleep())
        told = clock.read()
        assert told is not None
        return told.micros

    clock, noon = ServerClock(), 1_795_262_400
    first = hear(noon)
    for passed in range(1, 600, 10):
        told = hear(noon + hours * 3600 + passed)
        assert abs(told - first - passed * 1_000_000) < 60_000_000
    passed = 660.0
    assert abs(hear(noon + hours * 3600 + passed) - first - 3_600_000_000 * hours) < 720_000_000


@pytest.mark.parametrize("seconds", [-3600, 3600])
def test_a_machine_that_was_stopped_asks_for_the_time_anew(
    monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    clock = ServerClock()
    clock.heard(NOON, sent=awake_or_asleep())
    assert clock.read() is not None
    monkeypatch.setattr(elapsed, "wall_micros", lambda: wall_micros() + seconds * 1_000_000)
    assert clock.read() is None
    clock.heard("Sat, 21 Nov 2026 13:00:00 GMT", sent=awake_or_asleep())
    told = clock.read()
    assert told is not None
    assert abs(told.micros - 1_795_266_000_500_000) < 600_000


@pytest.mark.parametrize("date", ["", "yesterday", "21 Nov"])
def test_a_date_that_is_none_is_not_heard(date: str) -> None:
    clock = ServerClock()
    clock.heard(date, sent=awake_or_asleep())
    assert clock.read() is None


# --------------------------------------------------------------------------------------- errors


class Answered(Exception):
    """What botocore raises for an answer that is an error."""

    def __init__(self, code: str, message: str = "told", **rest: Any) -> None:
        super().__init__(code)
        self.response = {"Error": {"Code": code, "Message": message}, **rest}


@pytest.mark.parametrize(
    "code",
    [
        "InternalServerError",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "ResourceInUseException",
        "ThrottlingException",
        "TransactionConflictException",
        "TransactionInProgressException",
    ],
)
def test_what_passes_by_itself_may_be_tried_again(code: str) -> None:
    told = translated(Answered(code), "update_item", "ci-jobs")
    assert isinstance(told, StoreUnavailable)
    assert code in str(told)


@pytest.mark.parametrize(
    "reasons", [["TransactionConflict", "None"], ["None", "ProvisionedThroughputExceeded"]]
)
def test_a_transaction_that_was_in_the_way_or_throttled_may_be_tried_again(
    reasons: list[str],
) -> None:
    cancelled = [{"Code": reason} for reason in reasons]
    cause = Answered("TransactionCanceledException", CancellationReasons=cancelled)
    assert isinstance(translated(cause, "transact_write_items", "ci-"), StoreUnavailable)


def test_a_table_that_is_there_is_known_where_it_is_to_be_made() -> None:
    told = translated(Answered("ResourceInUseException"), "create_table", "ci-jobs")
    assert isinstance(told, TableExists)


@pytest.mark.parametrize(
    ("message", "passes"),
    [
        ("Signature expired: 20261121T120000Z is now earlier than 20261121T121500Z", True),
        ("Signature not yet current: 20261121T120000Z is still later", True),
        ("The request signature we calculated does not match", False),
    ],
)
def test_a_signature_of_another_time_may_be_made_anew(message: str, passes: bool) -> None:
    told = translated(Answered("InvalidSignatureException", message), "get_item", "ci-jobs")
    assert isinstance(told, StoreUnavailable if passes else UnsupportedCapability)
    assert message in str(told)
