"""Compact JSON for bodies and events; it reads only values that it could write again."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from cicd_core.model.json_values import MAX_DEPTH, nests_deeper

#: How deep a body may nest: a payload, within an entity, and room for fields of a newer library.
_MAX_DEPTH: Final = MAX_DEPTH + 8
_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder()
#: Refuses numbers that are not finite, which the encoder above writes as null.
_STRICT: Final = json.JSONEncoder(allow_nan=False)


def dump_json(raw: object, *, nulls: int = 0) -> bytes:
    """Return compact UTF-8 JSON.

    Args:
        raw: values of JSON.
        nulls: the number of values in it that are known to be None.

    Raises:
        ValueError: it holds a number that is not finite, or a lone surrogate.
    """
    body = _ENCODER.encode(raw)
    if body.count(b"null") != nulls:
        _STRICT.encode(raw)
    return body


def load_json(body: bytes) -> Any:
    """Return the value that :func:`dump_json` wrote.

    Raises:
        ValueError: it is not JSON, nests deeper than any entity, or holds a value that could not be
            written again: a number that is not finite, or a lone surrogate.
    """
    if nests_deeper(body, _MAX_DEPTH):
        raise ValueError(f"it nests deeper than {_MAX_DEPTH}")
    try:
        return _DECODER.decode(body)
    except msgspec.MsgspecError as broken:
        raise ValueError(str(broken)) from broken
