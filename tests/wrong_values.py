"""Values that are wrong nearly everywhere: what a caller may give by mistake."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

WRONG: tuple[Any, ...] = (
    None,
    0,
    -1,
    10**400,
    1.5,
    float("nan"),
    True,
    "",
    "\ud800",
    "a\0b",
    b"bytes",
    object(),
    [],
    ["a"],
    [None],
    {},
    {"a": 1},
    {1: "a"},
    lambda: None,
    datetime(2026, 1, 1),  # noqa: DTZ001 - a naive one is one of the mistakes
    datetime(1, 1, 1, tzinfo=UTC),
    int,
)
