"""For every password: no text that is shown has it."""

from __future__ import annotations

import copy
from urllib.parse import quote

from hypothesis import example, given
from hypothesis import strategies as st

from cicd_core.agent.shell.checkout import CheckoutFailed
from cicd_core.errors import InvalidInput
from cicd_core.redaction import redacted, redacted_quote, redacted_url, shown_value
from cicd_core.store.registry import StoreURL

#: A letter that no other part of the texts has marks each piece of a password.
_MARK = "ß"
PASSWORDS = st.text(min_size=1, max_size=120).map(
    lambda text: _MARK + _MARK.join(text) + _MARK
) | st.text(alphabet="/?#@:&=% \n\t'\"\\[]ab", min_size=1, max_size=40).map(
    lambda text: _MARK + _MARK.join(text) + _MARK
)
USERS = st.sampled_from(["", "user", "a.b"])
SCHEMES = st.sampled_from(["redis", "https", "redis+sentinel", "REDISS", "acme"])


@given(SCHEMES, USERS, PASSWORDS)
@example("redis", "", "ß#ß")
@example("redis", "u", "ß?a=ß")
@example("https", "u", "ß\nß")
def test_a_url_is_never_shown_with_its_password(scheme: str, user: str, password: str) -> None:
    url = f"{scheme}://{user}:{password}@host:1/0"
    quoted = f"{scheme}://{user}:{quote(password, safe='')}@host:1/0"
    for shown in (
        redacted_url(url),
        shown_value(url),
        shown_value([url]),
        shown_value({"url": url}),
        redacted_quote(f"fatal: {url}: no\n{password}", url),
        redacted_quote(f"fatal: {password}, {quoted}", quoted),
    ):
        assert _MARK not in shown
    if "\n" not in password:
        assert _MARK not in redacted(f"one\nfatal: '{url}': no\nthree")
        assert _MARK not in str(CheckoutFailed(f"one\ngit: {url}: no\nthree"))


@given(SCHEMES, USERS, PASSWORDS)
@example("redis", "u", "ß/ß@ß")
@example("redis", "u", "ß?a=1&b=ß")
@example("redis", "", "ß@ß?ß=ß")
@example("redis", "u", "ß@ß?namespace=ß")
@example("redis", "u", "ß[ß")
def test_a_url_that_is_refused_is_not_shown_with_its_password(
    scheme: str, user: str, password: str
) -> None:
    for separator in ("://", ":"):
        assert _MARK not in _said_of(f"{scheme}{separator}{user}:{password}@host:1/0")


def _said_of(text: str) -> str:
    """Return all that is shown of the URL of a store, be it good or not."""
    try:
        url = StoreURL.parse(text)
        url.check_options(())
    except InvalidInput as refused:
        return f"{refused} {refused!r} {refused.value} {copy.copy(refused).value}"
    return f"{url} {url!r}"


@given(PASSWORDS)
def test_an_error_never_shows_the_password_of_a_value(password: str) -> None:
    url = f"https://u:{password}@host/x"
    for value in (url, [url], {"repo": url}):
        assert _MARK not in str(InvalidInput("field", value, "reason"))
