"""Identifiers: sortable, distinct, unguessable, and reproducible from a seed."""

from __future__ import annotations

import re
import threading

import pytest

from cicd_core.ids import MOST_AHEAD, IdSource, made_between

#: 2026-11-21, in microseconds.
NOW = 1_795_219_200_000_000
DAY = 86_400_000_000


def test_ids_sort_by_the_moment_and_then_by_the_order_of_calls() -> None:
    source = IdSource()
    made = [source.sortable(NOW + micros) for micros in (0, 0, 999, 1000, 5_000_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_an_id_is_26_characters_that_nobody_confuses() -> None:
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}", IdSource().sortable(NOW))


def test_an_id_begins_with_its_millisecond() -> None:
    source = IdSource()
    assert source.sortable(0).startswith("0000000000")
    assert source.sortable(32 * 1000).startswith("0000000010")


def test_ids_go_on_growing_when_the_clock_goes_back_a_little() -> None:
    source = IdSource()
    before = source.sortable(NOW)
    assert source.sortable(NOW - MOST_AHEAD) > before


def test_ids_follow_a_clock_that_is_set_back_by_more() -> None:
    source = IdSource()
    ahead = source.sortable(NOW + 30 * DAY)
    after = [source.sortable(NOW) for _ in range(3)]
    assert after == sorted(after) < [ahead]
    assert {made[:10] for made in after} == {IdSource().sortable(NOW)[:10]}


def test_two_sources_do_not_make_the_same_ids() -> None:
    one, other = IdSource(), IdSource()
    assert one.sortable(NOW) != other.sortable(NOW)
    assert one.claim_id() != other.claim_id()


def test_threads_that_share_a_source_get_ids_of_their_own() -> None:
    source = IdSource()
    made: list[str] = []
    threads = [
        threading.Thread(target=lambda: made.extend(source.sortable(NOW) for _ in range(500)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 2000


def test_claim_ids_have_128_bits_and_commit_ids_96() -> None:
    source = IdSource()
    assert re.fullmatch(r"[0-9a-f]{32}", source.claim_id())
    assert re.fullmatch(r"[0-9a-f]{24}", source.commit_id())
    assert len({source.claim_id() for _ in range(100)}) == 100


def test_a_session_token_has_256_bits_and_no_seed_foretells_it() -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", IdSource().session_token())
    assert IdSource(seed=1).session_token() != IdSource(seed=1).session_token()


def test_a_seed_makes_every_identifier_reproducible() -> None:
    def draw(seed: int) -> tuple[object, ...]:
        source = IdSource(seed=seed)
        return source.sortable(NOW), source.claim_id(), source.commit_id(), source.jitter()

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


@pytest.mark.parametrize("length", range(27))
def test_an_id_lies_in_the_time_that_each_beginning_of_it_names(length: int) -> None:
    made = IdSource(seed=1).sortable(NOW)
    between = made_between(made[:length])
    assert between is not None
    assert between[0] <= NOW < between[1]
    if length >= 10:  # the digits of the time
        assert between == (NOW // 1000 * 1000 - MOST_AHEAD, NOW // 1000 * 1000 + 1000)


def test_an_id_made_after_the_clock_went_back_lies_in_the_time_that_it_names() -> None:
    source = IdSource()
    source.sortable(NOW)
    for back in (1, MOST_AHEAD, MOST_AHEAD + 1000, DAY):
        between = made_between(source.sortable(NOW - back))
        assert between is not None
        assert between[0] <= NOW - back < between[1]


@pytest.mark.parametrize("prefix", ["k0a1", "01IL", "0" * 27])
def test_a_beginning_that_no_sortable_id_has_names_no_time(prefix: str) -> None:
    assert made_between(prefix) is None


def test_jitter_lies_between_0_and_1() -> None:
    source = IdSource()
    assert all(0 <= source.jitter() < 1 for _ in range(100))
