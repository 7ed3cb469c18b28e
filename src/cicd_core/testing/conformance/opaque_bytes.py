"""Bodies, grants and events that look like something a store might decode."""

from __future__ import annotations

import base64
import gzip
import zlib
from typing import TYPE_CHECKING, Final

from cicd_core.store.records import Query
from cicd_core.testing.conformance.suite import Suite
from cicd_core.testing.samples import claim, event_of, in_lane, item, whole_log, write

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.testing.harness import StoreHarness

_RAW: Final = b"the same text, again and again, " * 8
_DEFLATE: Final = zlib.compressobj(wbits=-15)
#: Bytes in the form of a compressed, packed or typed value.
BLOBS: Final = (
    zlib.compress(_RAW),
    zlib.compress(b""),
    gzip.compress(_RAW),
    _DEFLATE.compress(_RAW) + _DEFLATE.flush(),
    base64.b64encode(_RAW),
    b"(\xb5/\xfd",  # the first bytes of Zstandard
    b"007",
    b"-0",
    b"1.0",
    b"1e3",
    b"null",
    b'{"a": 1}\n',
    b"\xef\xbb\xbftext after a byte order mark",
    b" text between spaces ",
    b"\\x00",
    *(bytes([first]) + _RAW for first in range(256)),
)


class OpaqueBytesPromises(Suite):
    """A store does not interpret bytes: it returns those that it was given."""

    async def test_bytes_are_returned_as_they_were_given_whatever_they_look_like(
        self, store: Store, harness: StoreHarness
    ) -> None:
        blobs = {f"{number:03}": blob for number, blob in enumerate(BLOBS)}
        names = list(blobs)
        for at in range(0, len(names), 25):
            some = names[at : at + 25]
            puts = [item(name, body=blobs[name]) for name in some]
            await write(store, *puts, events=[event_of(name, body=blobs[name]) for name in some])
        await harness.settle()
        page = await store.page(Query(partition=in_lane(), limit=1000))
        found = await store.get("items", names)
        assert {name: record.body for name, record in found.items()} == blobs
        assert {record.key: record.body for record in page.records} == blobs
        assert {entry.key: entry.body for entry in await whole_log(store)} == blobs
        claimed = await store.claim(claim(1000))
        assert {record.key: record.body for record in claimed} == blobs

    async def test_a_grant_is_returned_as_it_was_given_whatever_it_looks_like(
        self, store: Store, harness: StoreHarness
    ) -> None:
        blobs = {f"{number:02}": blob for number, blob in enumerate(BLOBS[:15])}
        await write(store, *(item(name, lane=name) for name in blobs))
        await harness.settle()
        for name, blob in blobs.items():
            (record,) = await store.claim(claim(lanes=[name], grant=blob))
            assert record.grant == blob
        found = await store.get("items", list(blobs))
        assert {name: record.grant for name, record in found.items()} == blobs
