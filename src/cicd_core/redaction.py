"""Hides credentials in texts, for errors, logs and the screen.

A password without percent-encoding makes a URL ambiguous: ``redis://u:a/b@host`` has the host ``u``
for a parser. So this module does not parse URLs. It hides everything between the first ``://`` of a
line and its last ``@``: sometimes too much, never too little.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Sequence

#: The replacement for hidden text.
HIDDEN: Final = "***"
#: The beginning of a URL's option.
_OPTION: Final = re.compile("([?&])")
#: Parts of the names of options with secrets, in lower case.
_SECRET: Final = ("auth", "cred", "key", "pass", "pwd", "secret", "sig", "token")
#: The most characters of a value in a message.
_LONGEST: Final = 80


def redacted(text: str) -> str:
    """Return a text without the user, password and secret options of the URLs in it.

    The cost grows only with the length of the text.
    """
    return "\n".join(redacted_url(line) for line in text.split("\n"))


def redacted_url(url: str) -> str:
    """Return a text that is one URL without its credentials, for any characters in the password."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{_without_options(_without_user(rest))}" if separator else url


def redacted_quote(text: str, url: str) -> str:
    """Return a text that may quote a URL, completely or in part, without the URL's credentials."""
    text = text.replace(url, redacted_url(url)) if url else text
    for secret in _secrets(url):
        text = text.replace(secret, HIDDEN)
    return redacted(text)


def shown_value(value: object) -> str:
    """Return any value as a text for a message, with at most 80 characters."""
    try:
        shown = _written(value)
    except Exception:  # noqa: BLE001 - for example, Python refuses to convert very large numbers
        shown = f"a value of type {type(value).__name__}"
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 3]}..."


def _written(value: object) -> str:
    """Return a value in the form that callers write: texts in quotes, instants in ISO 8601."""
    if isinstance(value, Enum):
        value = value.name.lower() if isinstance(value, int) else value.value
    if isinstance(value, str):
        return repr(redacted_url(value))
    if isinstance(value, date):  # a datetime is one too
        return value.isoformat()
    if type(value) in {list, tuple}:
        items = cast("Sequence[object]", value)
        return f"[{', '.join(map(_written, items[:_LONGEST]))}]"
    if type(value) is dict:
        members = islice(cast("dict[object, object]", value).items(), _LONGEST)
        return f"{{{', '.join(f'{_written(name)}: {_written(item)}' for name, item in members)}}}"
    if isinstance(value, timedelta):
        return str(value)
    return redacted(repr(value))


def _secrets(url: str) -> list[str]:
    """Return the password of a URL, as written and decoded; without one, the user: a token."""
    scheme, _, rest = url.partition("://")
    user, colon, password = rest.rpartition("@")[0].partition(":")
    if not colon and scheme.startswith("http"):
        password = user
    return [secret for secret in (password, unquote(password)) if secret]


def _without_user(rest: str) -> str:
    user, at, place = rest.rpartition("@")
    return f"{HIDDEN}@{place}" if user else f"{at}{place}"


def _without_options(rest: str) -> str:
    """Return the rest of a URL with hidden values of secret options."""
    parts = _OPTION.split(rest)
    return parts[0] + "".join(
        f"{mark}{_hidden_option(option)}"
        for mark, option in zip(parts[1::2], parts[2::2], strict=True)
    )


def _hidden_option(option: str) -> str:
    name, equals, _ = option.partition("=")
    if not equals or not any(word in name.lower() for word in _SECRET):
        return option
    return f"{name}={HIDDEN}"
