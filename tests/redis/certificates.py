"""A certificate for 127.0.0.1, made anew for each run of the tests."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, NamedTuple

import trustme

if TYPE_CHECKING:
    from pathlib import Path


class Certificate(NamedTuple):
    """What a server on loopback shows, and what its clients check it by."""

    #: What a server speaks TLS with.
    serving: ssl.SSLContext
    #: The file with the certificate of the authority that issued it.
    authority: Path


def new_certificate(folder: Path) -> Certificate:
    """Make an authority and a certificate for 127.0.0.1; the authority's file is in the folder."""
    authority = trustme.CA()
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(serving)
    path = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return Certificate(serving, path)
