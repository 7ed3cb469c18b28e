"""What is shown of a text that holds credentials."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from cicd_core.model.job import Priority, Verdict
from cicd_core.redaction import redacted, redacted_quote, redacted_url, shown_value


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("no URL, only mail@host", "no URL, only mail@host"),
        ("https://host/path?a=1#b", "https://host/path?a=1#b"),
        ("https://user:word@host/x", "https://***@host/x"),
        ("https://token@host/x", "https://***@host/x"),
        ("https://u:a@b/c?d#e@host/x", "https://***@host/x"),
        (
            "redis://h/0?Password=x&db=1&auth_token=y",
            "redis://h/0?Password=***&db=1&auth_token=***",
        ),
        (
            "of https://u:p@host:\nhttps://q:r@host\nend",
            "of https://***@host:\nhttps://***@host\nend",
        ),
        ("git@host:path", "git@host:path"),
    ],
)
def test_a_text_is_shown_without_credentials(text: str, shown: str) -> None:
    assert redacted(text) == shown


def test_a_long_text_without_a_url_is_left_as_it_is() -> None:
    text = "a" * 5_000_000  # hours for an expression that looks back
    assert redacted(text) == text
    assert redacted("?a" * 1_000_000) == "?a" * 1_000_000


def test_a_value_is_hidden_before_it_is_shortened() -> None:
    url = f"https://user:{'word' * 40}@host/x"
    assert shown_value(url) == "'https://***@host/x'"
    assert "word" not in shown_value({"repo": url})
    assert "word" not in shown_value(url.encode())


@pytest.mark.parametrize("url", ["https://u:s%2Fecret@host/x", "http://s%2Fecret@host"])
def test_a_quote_of_a_password_in_another_form_is_hidden(url: str) -> None:
    said = f"could not read s/ecret, s%2Fecret or {url}"
    assert "ecret" not in redacted_quote(said, url)


def test_the_user_of_a_secure_shell_is_no_secret_elsewhere() -> None:
    said = "git clone failed: ssh://git@host/x"
    assert redacted_quote(said, "ssh://git@host/x") == "git clone failed: ssh://***@host/x"


def test_a_path_is_no_url() -> None:
    assert redacted_url("/srv/x@y") == "/srv/x@y"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (datetime(2030, 1, 31, 8, tzinfo=UTC), "2030-01-31T08:00:00+00:00"),
        (("a", datetime(2030, 1, 31, tzinfo=UTC)), "['a', 2030-01-31T00:00:00+00:00]"),
        ([Verdict.FAILED, Priority.HIGH, 3], "['failed', 'high', 3]"),
        ({"at": [datetime(2030, 1, 31, tzinfo=UTC)]}, "{'at': [2030-01-31T00:00:00+00:00]}"),
        ({"a": {1: Priority.HIGH}, "b": None}, "{'a': {1: 'high'}, 'b': None}"),
        (timedelta(hours=1), "1:00:00"),
    ],
)
def test_value_is_shown_as_callers_write_it(value: object, shown: str) -> None:
    assert shown_value(value) == shown
