"""The address of a server, with its proxy, certificates and key."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httpx2
from attrs import field

from cicd_core.errors import InvalidInput, UnsupportedCapability
from cicd_core.redaction import redacted_quote, redacted_url
from cicd_core.values import frozen

if TYPE_CHECKING:
    import ssl

_TOKEN: Final = re.compile(r"[!-~]+")
#: The variable that names a file with the certificates of trusted authorities.
_CERTIFICATES: Final = "SSL_CERT_FILE"
#: Number of connections that a client keeps; each waiting claim needs one.
_LIMITS: Final = httpx2.Limits(
    max_connections=1024, max_keepalive_connections=64, keepalive_expiry=4.0
)


@frozen(kw_only=True)
class Address:
    """The address of a server, and how to reach it."""

    url: str = field(repr=lambda url: repr(redacted_url(url)))
    #: The token of an API key, an agent's key or a session; None: the server needs none.
    credentials: str | None = field(default=None, repr=False)
    #: The trusted certificates; None: the system's, or those of ``SSL_CERT_FILE``.
    ssl_context: ssl.SSLContext | None = field(default=None, repr=False)
    #: The URL of a proxy; None: as the environment says.
    proxy: str | None = field(default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        """Refuse an invalid address, and a second credential in the URL."""
        if not _is_address(self.url):
            raise InvalidInput("url", self.url, "give a URL that begins with https:// or http://")
        parts = urlsplit(self.url)
        if parts.query or parts.fragment:
            raise InvalidInput("url", self.url, "give a URL without a query and a fragment")
        if self.credentials is None:
            return
        if not _is_token(self.credentials):
            reason = "give a token without leading or trailing whitespace, or None"
            raise InvalidInput("credentials", ..., reason)
        if parts.username or parts.password:
            reason = "it has a user or a password, which would replace the key: remove one of them"
            raise InvalidInput("url", self.url, reason)

    def client(self) -> httpx2.AsyncClient:
        """Return a new client for one event loop.

        Raises:
            InvalidInput: the URL of the server or the proxy is invalid, or a variable for a proxy
                or certificates.
            UnsupportedCapability: the proxy needs a package that is not installed.
        """
        headers = {"accept": "application/json"}
        if self.credentials is not None:
            headers["authorization"] = f"Bearer {self.credentials}"
        proxy = self._proxy()
        try:
            httpx2.URL(self.url)
        except httpx2.InvalidURL as wrong:
            raise InvalidInput("url", self.url, without_password(self.url, wrong)) from None
        try:
            return httpx2.AsyncClient(
                base_url=self.url,
                headers=headers,
                verify=True if self.ssl_context is None else self.ssl_context,
                proxy=proxy,
                limits=_LIMITS,
            )
        except ImportError as missing:
            hint = "a SOCKS proxy needs pip install 'httpx2[socks]': install it, or unset ALL_PROXY"
            raise UnsupportedCapability(hint) from missing
        except OSError as wrong:
            raise _wrong_certificates(wrong) from None
        except (httpx2.InvalidURL, ValueError) as wrong:
            raise _wrong_environment(wrong) from None

    def _proxy(self) -> httpx2.Proxy | None:
        try:
            return None if self.proxy is None else httpx2.Proxy(self.proxy)
        except (httpx2.InvalidURL, ValueError) as wrong:
            raise InvalidInput("proxy", self.proxy, without_password(self.proxy, wrong)) from None


def without_password(url: str | None, error: Exception) -> str:
    """Return the text of an error, without the password of a URL that it quotes."""
    return redacted_quote(str(error), url or "")


def _wrong_certificates(error: OSError) -> InvalidInput:
    reason = f"{error.strerror or error}; name a file of certificates, or unset {_CERTIFICATES}"
    return InvalidInput(_CERTIFICATES, os.environ.get(_CERTIFICATES), reason)


def _wrong_environment(error: Exception) -> InvalidInput:
    """Return the error for a proxy from the environment, without its URL and password."""
    reason = "the environment has no valid URL: correct HTTP_PROXY, HTTPS_PROXY or ALL_PROXY"
    return InvalidInput("proxy", ..., f"{reason} ({type(error).__name__})")


def _is_address(url: object) -> bool:
    """Return whether a text is an HTTP URL with a host and, if given, a valid port."""
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        return False
    try:
        parts = urlsplit(url)
        return parts.port != 0 and bool(parts.hostname)
    except ValueError:
        return False


def _is_token(credentials: object) -> bool:
    """Return whether a header can carry it; otherwise an error about the header would show it."""
    return isinstance(credentials, str) and _TOKEN.fullmatch(credentials) is not None
