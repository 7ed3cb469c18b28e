"""Values as cells of a table."""

from __future__ import annotations

import pytest

from cicd_core.cli.screen import span, text


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (None, ""),
        (-1, "0ms"),
        (0.0421, "42ms"),
        (4.23, "4.2s"),
        (59.9, "59s"),
        (60, "1m"),
        (185, "3m 5s"),
        (7200, "2h"),
        (200_000, "2d 7h"),
    ],
)
def test_a_duration_has_at_most_two_units(seconds: float | None, expected: str) -> None:
    assert span(seconds) == expected


def test_a_terminal_does_not_obey_what_a_job_says() -> None:
    shown = text("\x1b]0;owned\x07 [red]bold[/red]\r\x9b2J").plain
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in shown)
    assert "[red]bold[/red]" in shown
