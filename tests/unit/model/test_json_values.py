"""JSON that callers give: what is refused, and where the error says that it is."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_core.errors import InvalidInput
from cicd_core.model.json_values import (
    MAX_DEPTH,
    canonical,
    check_json_object,
    nests_deeper,
    parse_json,
)


def objects(depth: int) -> dict[str, Any]:
    """Return objects in each other, ``depth`` of them."""
    value: dict[str, Any] = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


def lists(depth: int) -> dict[str, Any]:
    value: list[Any] = []
    for _ in range(depth - 2):
        value = [value]
    return {"a": value}


def itself() -> dict[str, Any]:
    value: dict[str, Any] = {"a": []}
    value["a"].append(value)
    return value


@pytest.mark.parametrize("nest", [objects, lists])
def test_64_levels_are_taken_and_one_more_is_refused(nest: Any) -> None:
    deepest = nest(MAX_DEPTH)
    assert check_json_object("payload", deepest) == (
        deepest,
        len(json.dumps(deepest, separators=(",", ":"))),
    )
    for depth in (MAX_DEPTH + 1, 325, 326, 5_000, 200_000):
        with pytest.raises(InvalidInput, match="nests deeper than 64") as refused:
            check_json_object("payload", nest(depth))
        assert refused.value.field == "payload"
        assert "payload.a" in refused.value.reason


def test_many_objects_beside_each_other_are_not_deep() -> None:
    empty: dict[str, Any] = {}
    wide: dict[str, Any] = {"a": [{"b": [1, empty]} for _ in range(500)], "[[[[": '{{{{"[[' * 100}
    assert check_json_object("payload", wide)[0] == wide


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"a": [0, {"b": math.nan}]}, "payload.a[1].b is nan"),
        ({"a": {"b": -math.inf}}, "payload.a.b is -inf"),
        ({"a": [{"b": "\ud800"}]}, "payload.a[0].b contains a lone surrogate"),
        ({"a": {"\udfff": 1}}, "payload.a.? contains a lone surrogate"),
        ({"a": 10**309}, "payload.a is a whole number too large for a float"),
        ({"a": -(10**5000)}, "payload.a is a whole number too large for a float"),
        ({"a": [{1, 2}]}, "payload.a[0] is a value of type set"),
        ({"a": b"bytes"}, "payload.a is a value of type bytes"),
        ({"a": {(1, 2): 3}}, "payload.a has a key of type tuple"),
        ({"a": {1: "x", "1": "y"}}, "payload.a has the key '1' twice"),
        ({"a": {None: "x", "null": "y"}}, "payload.a has the key 'null' twice"),
        (itself(), "payload.a[0] contains itself"),
    ],
)
def test_what_is_no_plain_json_is_named_with_its_path(value: Any, reason: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_json_object("payload", value)
    assert refused.value.reason.startswith(reason)


def test_numbers_and_texts_that_every_reader_takes_are_kept() -> None:
    value = {
        "largest": int(sys.float_info.max),
        "negative": -(2**64),
        "digits": "9" * 5000,
        "nul": "\0",
        "twins": "\U0001f600",
    }
    assert check_json_object("payload", value)[0] == value


def test_a_list_that_lies_in_two_places_does_not_contain_itself() -> None:
    shared = ["x"]
    value = {"a": (shared, shared)}
    assert check_json_object("payload", value)[0] == {"a": [["x"], ["x"]]}


def test_a_path_that_is_long_is_shown_by_its_ends() -> None:
    with pytest.raises(InvalidInput) as refused:
        check_json_object("payload", {"a" * 500: {"b": math.nan}})
    assert len(refused.value.reason) < 200
    assert refused.value.reason.endswith("aaa.b is nan: give a finite number")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1, "a": 2}', "the key 'a' appears twice"),
        ('{"a": [{"b": NaN}]}', "NaN is not a JSON number"),
        ('{"a": -Infinity}', "-Infinity is not a JSON number"),
        ('{"a": ' * 65 + "1" + "}" * 65, "nests deeper than 64"),
        ("[" * 1_000_000, "nests deeper than 64"),
        ('{"a": ' + "9" * 5000 + "}", "digits"),
        ("\ufeff{}", "Expecting value"),
        ("", "Expecting value"),
    ],
)
def test_a_text_that_is_no_strict_json_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_json(text.encode())


nested = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=20,
)


def depth_of(value: Any) -> int:
    kind = value.__class__
    if kind not in {dict, list}:
        return 0
    return 1 + max(map(depth_of, value.values() if kind is dict else value), default=0)


@given(nested, st.booleans())
def test_the_depth_of_a_text_is_that_of_its_value(value: object, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    depth = depth_of(value)
    assert not nests_deeper(text, depth)
    assert depth == 0 or nests_deeper(text, depth - 1)


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (1.0, 1),
        (-0.0, 0),
        (1.5, 1.5),
        ((1, [2.0]), [1, [2]]),
        ({"a": (3.0, None)}, {"a": [3, None]}),
        ("1.0", "1.0"),
    ],
)
def test_equal_values_have_one_form(value: object, form: object) -> None:
    assert json.dumps(canonical(value)) == json.dumps(form)


def test_a_text_of_json_gives_its_value() -> None:
    assert parse_json(b'{"a": [1, {"b": null}]}') == {"a": [1, {"b": None}]}


def test_a_fault_is_found_behind_values_that_are_none() -> None:
    with pytest.raises(InvalidInput, match=r"payload.c contains a lone surrogate"):
        check_json_object("payload", {"a": None, "b": True, "c": "\ud800"})


MEGABYTE = 2**20


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 70 + b'"' + b'\\"' * (MEGABYTE // 2),
        b"[" * 70 + b'"' + b'\\"' * (MEGABYTE // 2) + b"\\",
        b"[" * MEGABYTE,
    ],
)
def test_a_text_without_an_end_is_looked_at_once(text: bytes) -> None:
    # Looked at again from each of its quotation marks, these would take hours.
    assert nests_deeper(text, MAX_DEPTH)


def test_the_place_of_a_fault_is_written_out_once() -> None:
    # Written out for each of the values, this place would take 40 GB.
    value = {"k" * 200_000: [1] * 200_000, "n": 10**309}
    with pytest.raises(InvalidInput, match=r"payload\.n is a whole number too large for a float"):
        check_json_object("payload", value)
