"""What a field may hold."""

from __future__ import annotations

import math
from typing import Any

import pytest

from cicd_core.errors import InvalidCursor, InvalidInput, TooLarge
from cicd_core.model.checks import (
    MAX_NAMES,
    check_bytes,
    check_cursor,
    check_integer,
    check_name,
    check_names,
    check_seconds,
    check_text,
    json_bytes,
    kept_text,
    shorten,
    storable,
)


@pytest.mark.parametrize("name", ["a", "A-z_0.9:/", "x" * 128, "...", "../x", ".a", "a.."])
def test_a_name_has_1_to_128_characters_of_its_alphabet(name: str) -> None:
    assert check_name("pool_name", name) == name


@pytest.mark.parametrize(
    "value",
    ["", "x" * 129, "two words", "new\nline", "line\n", "ünïcode", "a|b", "a,b", None, 3, b"a"],
)
def test_any_other_name_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match="give 1 to 128 characters") as refused:
        check_name("pool_name", value)
    assert (refused.value.field, refused.value.value) == ("pool_name", value)


@pytest.mark.parametrize("name", [".", ".."])
def test_a_step_in_the_path_of_a_url_is_no_name(name: str) -> None:
    with pytest.raises(InvalidInput, match="a step in the path of a URL") as refused:
        check_name("pool_name", name)
    assert (refused.value.field, refused.value.value) == ("pool_name", name)


def test_names_come_back_sorted_and_without_repetition() -> None:
    assert check_names("labels", ["b", "a", "b"]) == ("a", "b")
    assert check_names("labels", {"x"}) == ("x",)
    assert check_names("labels", ()) == ()


def test_a_wrong_name_among_names_is_named_by_its_position() -> None:
    with pytest.raises(InvalidInput) as refused:
        check_names("labels", ["linux", "no good"])
    assert refused.value.field == "labels[1]"


@pytest.mark.parametrize("values", ["linux", None, 3])
def test_what_is_no_list_of_names_is_refused(values: Any) -> None:
    with pytest.raises(InvalidInput, match="a list of names") as refused:
        check_names("labels", values)
    assert refused.value.field == "labels"


def test_repeated_names_do_not_count_against_the_limit() -> None:
    many = [f"n{number:02d}" for number in range(MAX_NAMES)]
    assert check_names("tags", many + many) == tuple(many)
    with pytest.raises(TooLarge) as refused:
        check_names("tags", [*many, "one-more"])
    assert (refused.value.field, refused.value.size, refused.value.limit) == ("tags", 17, 16)


def test_seconds_are_a_float_within_their_bounds() -> None:
    seconds = check_seconds("wait", 3, least=3, most=3)
    assert (seconds, type(seconds)) == (3.0, float)
    assert check_seconds("wait", 0) == 0.0


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400, True, "3", None])
def test_what_is_no_finite_number_of_seconds_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match="a finite number of seconds") as refused:
        check_seconds("wait", value)
    assert refused.value.field == "wait"


def test_seconds_out_of_bounds_are_refused_with_the_bounds() -> None:
    with pytest.raises(InvalidInput, match="give at least 0 and at most 315360000 seconds"):
        check_seconds("wait", -0.001)
    with pytest.raises(InvalidInput, match="give at least 1 and at most 60 seconds"):
        check_seconds("wait", 60.1, least=1, most=60)
    with pytest.raises(InvalidInput):
        check_seconds("wait", 0.9, least=1, most=60)
    with pytest.raises(InvalidInput, match="at most 315360000 seconds"):
        check_seconds("log_retention", 1e13)


def test_a_whole_number_is_within_its_bounds() -> None:
    assert check_integer("limit", 1, least=1, most=3) == 1
    assert check_integer("limit", 3, least=1, most=3) == 3


@pytest.mark.parametrize("value", [0, 4, True, 2.0, "2", None])
def test_any_other_whole_number_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput, match="give a whole number from 1 to 3") as refused:
        check_integer("limit", value, least=1, most=3)
    assert refused.value.field == "limit"


def test_a_text_may_hold_what_every_store_can_keep() -> None:
    assert check_text("reason", "") == ""
    assert (
        check_text("reason", f"Zürich 🚀\n{chr(0xD7FF)}{chr(0xE000)}")
        == f"Zürich 🚀\n{chr(0xD7FF)}{chr(0xE000)}"
    )
    assert check_text("reason", "x" * 1024) == "x" * 1024


@pytest.mark.parametrize("value", ["nul \0", chr(0xD800), chr(0xDFFF), None, b"bytes"])
def test_a_text_that_not_every_store_can_keep_is_refused(value: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_text("reason", value)
    assert refused.value.field == "reason"


def test_a_text_over_its_limit_is_too_large() -> None:
    with pytest.raises(TooLarge) as refused:
        check_text("reason", "xxxx", most=3)
    assert (refused.value.size, refused.value.limit) == (4, 3)
    assert "characters" in str(refused.value)


def test_of_a_long_text_the_end_is_kept() -> None:
    assert shorten("abcdef", 6) == "abcdef"
    assert shorten("abcdef", 5) == "…ef"
    assert shorten("abcdef", 3) == "…"
    assert shorten(None, 5) is None


@pytest.mark.parametrize(
    ("text", "bytes_each"),
    [("x", 1), ('"', 2), ("\n", 2), ("ü", 2), ("雨", 3), ("🚀", 4), ("\x1b", 6)],
)
def test_a_text_is_shortened_by_the_bytes_that_it_takes_in_a_record(
    text: str, bytes_each: int
) -> None:
    assert json_bytes(text) == bytes_each
    assert shorten(text * (120 // bytes_each), 120) == text * (120 // bytes_each)
    kept = shorten(text * 1000 + "the end", 120)
    assert kept is not None
    assert (kept[0], kept[-7:]) == ("…", "the end")
    assert 120 - bytes_each < json_bytes(kept) <= 120


def test_a_text_that_takes_too_many_bytes_is_refused() -> None:
    assert check_bytes("url", "ü" * 10, most=20) == "ü" * 10
    with pytest.raises(TooLarge) as refused:
        check_bytes("url", "ü" * 11, most=20)
    error = refused.value
    assert (error.field, error.size, error.limit) == ("url", 22, 20)


def test_bytes_that_were_no_text_are_kept_as_question_marks() -> None:
    read = b"caf\xe9 \xff".decode("utf-8", "surrogateescape")
    assert storable("error_message", read) == "caf? ?"
    assert storable("error_message", "nul\0") == "nul?"
    assert storable("error_message", "Zürich 🚀") == "Zürich 🚀"
    assert storable("error_message", None) is None


@pytest.mark.parametrize(
    ("said", "kept"),
    [("", "failed"), (" \n", "failed"), (None, "failed"), ("a\0b", "a?b"), ("\udcff", "?")],
)
def test_what_is_said_of_an_end_is_kept_whatever_it_is(said: str | None, kept: str) -> None:
    assert kept_text("error_message", said, most=100, empty="failed") == kept


def test_of_a_long_text_about_an_end_the_last_bytes_are_kept() -> None:
    kept = kept_text("error_message", "x" * 200 + "\0 the cause", most=100, empty="failed")
    assert (json_bytes(kept), kept[-11:]) == (100, "? the cause")


def test_what_is_no_text_cannot_be_kept() -> None:
    given: Any = ValueError("boom")
    with pytest.raises(InvalidInput) as refused:
        storable("error_message", given)
    assert refused.value.field == "error_message"


def test_a_cursor_is_a_text() -> None:
    assert check_cursor("c-1") == "c-1"
    with pytest.raises(InvalidCursor, match="cursor of a page"):
        check_cursor(7)
