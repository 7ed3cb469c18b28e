"""Numbers with their nouns."""

from __future__ import annotations

import pytest

from cicd_core.model.amounts import amount


@pytest.mark.parametrize(
    ("number", "nouns", "expected"),
    [
        (0, ("job",), "0 jobs"),
        (1, ("job",), "1 job"),
        (2, ("job",), "2 jobs"),
        (1, ("retry", "retries"), "1 retry"),
        (2, ("retry", "retries"), "2 retries"),
    ],
)
def test_noun_agrees_with_its_number(number: int, nouns: tuple[str, ...], expected: str) -> None:
    assert amount(number, *nouns) == expected
