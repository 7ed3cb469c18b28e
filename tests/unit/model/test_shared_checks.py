"""The checks of fields that several entities share."""

from __future__ import annotations

import math
from typing import Any

import pytest

from cicd_core.errors import InvalidInput, TooLarge
from cicd_core.model.checks import (
    MAX_BODY_BYTES,
    MAX_LABEL,
    check_label,
    check_metadata,
    check_number,
    check_optional_label,
    check_optional_name,
    check_reason,
    json_bytes,
)


def test_a_label_is_a_short_text() -> None:
    assert check_label("version", "1.4.2+b7 ünïcode") == "1.4.2+b7 ünïcode"
    assert check_label("version", "x" * MAX_LABEL) == "x" * MAX_LABEL


@pytest.mark.parametrize("value", ["", None, 3, "nul\0", "lone \ud800"])
def test_a_label_that_no_store_should_keep_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_label("version", value)
    assert refused.value.field == "version"


def test_a_label_over_its_limit_is_too_large() -> None:
    with pytest.raises(TooLarge) as refused:
        check_label("version", "x" * (MAX_LABEL + 1))
    assert (refused.value.size, refused.value.limit) == (MAX_LABEL + 1, MAX_LABEL)


def test_a_label_is_measured_in_the_bytes_that_it_takes() -> None:
    assert check_label("actor", "ü" * 128) == "ü" * 128
    for label in ("ü" * 129, '"' * 129, "\x1b" * 43):
        with pytest.raises(TooLarge, match="bytes") as refused:
            check_label("actor", label)
        assert refused.value.size == MAX_LABEL + 2


def test_what_is_optional_may_be_none_and_nothing_else_that_is_wrong() -> None:
    assert check_optional_label("hostname", None) is None
    assert check_optional_name("region", None) is None
    assert check_optional_label("hostname", "a host") == "a host"
    assert check_optional_name("region", "eu-west") == "eu-west"
    with pytest.raises(InvalidInput):
        check_optional_label("hostname", "")
    with pytest.raises(InvalidInput):
        check_optional_name("region", "eu west")


@pytest.mark.parametrize("value", [0, 0.5, 1])
def test_a_number_may_be_whole_or_not(value: float) -> None:
    assert check_number("rate", value, least=0, most=1) == value


@pytest.mark.parametrize(
    "value", [-0.1, 1.1, math.nan, math.inf, -math.inf, 10**400, True, "1", None]
)
def test_what_is_no_number_or_out_of_range_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInput, match="give a number from 0 to 1") as refused:
        check_number("rate", value, least=0, most=1)
    assert refused.value.field == "rate"


def test_of_a_long_reason_the_end_is_kept() -> None:
    kept = check_reason("reason", "x" * 2000 + "the end", most=100)
    assert json_bytes(kept) == 100
    assert kept.endswith("the end")


@pytest.mark.parametrize("value", ["", None, 3])
def test_a_reason_must_say_something(value: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_reason("reason", value)
    assert refused.value.field == "reason"


def test_what_not_every_store_can_keep_of_a_reason_becomes_question_marks() -> None:
    assert check_reason("reason", "nul\0, lone \ud800") == "nul?, lone ?"


def test_metadata_is_copied_and_sorted() -> None:
    given = {"b": "2", "a": "1"}
    kept = check_metadata(given)
    given["c"] = "3"
    assert list(kept.items()) == [("a", "1"), ("b", "2")]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        (["a"], "metadata"),
        ({1: "a"}, "metadata"),
        ({"x" * 129: "a"}, "metadata"),
        ({"a": 1}, "metadata['a']"),
        ({"a": "nul\0"}, "metadata['a']"),
        ({"a": "x" * 1025}, "metadata['a']"),
    ],
)
def test_metadata_that_is_not_strings_to_short_strings_is_refused(values: Any, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_metadata(values)
    assert refused.value.field == field


def test_metadata_over_the_limit_of_a_body_is_too_large() -> None:
    entry = len('"0000":"",') + 1000
    values = {f"{number:04d}": "x" * 1000 for number in range(MAX_BODY_BYTES // entry + 1)}
    with pytest.raises(TooLarge) as refused:
        check_metadata(values)
    assert refused.value.size == entry * len(values) + 1  # two braces, and no comma at the end
    del values["0000"]
    assert check_metadata(values) == values
