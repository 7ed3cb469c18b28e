"""Pages of entities: one opaque cursor for every store and every filter.

A list merges partitions by their sort value, which is unique and ends in the entity's key. The
cursor is the last sort value, bound to the query that returned it; stores see only bounds.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import TYPE_CHECKING, Generic, TypeVar

from cicd_core.errors import InvalidCursor, InvalidInput
from cicd_core.model.checks import check_integer
from cicd_core.model.instants import require_aware, sort_bound
from cicd_core.persistence.cursors import seal, unseal
from cicd_core.persistence.merging import read_merged
from cicd_core.persistence.repository import UNREADABLE
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from cicd_core.persistence.context import Context
    from cicd_core.persistence.grants import Loaded
    from cicd_core.store.records import Partition, Record

Entity = TypeVar("Entity")

#: The most entities on one page.
MAX_PAGE = 500
#: If no index answers a filter, one page looks at this many records, and may then be short.
MAX_SCANNED = 1_000
#: After the first call to the store, such a page looks at up to this many records per call.
_STRETCH = 250


@frozen
class Page(Generic[Entity]):
    """A page. It may be short, or even empty, although ``cursor`` shows that there is more.

    This happens if no index answers all of the filters (an agent's jobs of one status, for
    example), or if a store has to skip expired records or those of another pool. Then a call looks
    at 1,000 records at most, and ``incomplete`` shows that it stopped there. Give the cursor to the
    same query to continue from that place.
    """

    items: tuple[Entity, ...]
    #: Give it to the same query for the next page; None: this is the last page.
    cursor: str | None
    #: The keys of the records in the page's range that do not decode. They are left out; ``get``
    #: raises the error of each.
    unreadable: tuple[str, ...] = ()
    #: The page is not full because 1,000 records were looked at: more may match after them.
    incomplete: bool = False


@frozen(kw_only=True)
class Listing(Generic[Entity]):
    """A query for a list, the newest entities first."""

    #: All of one collection, and all of indexes with the same kind of sort value.
    partitions: tuple[Partition, ...]
    load: Callable[[Record], Loaded[Entity]]
    #: The filter that no index answers.
    keep: Callable[[Entity], bool] = lambda _: True
    #: Only entities created at this moment or later.
    since: datetime | None = None
    #: Only entities created before this moment.
    until: datetime | None = None
    #: All matches were created in this time, from the first moment up to the second.
    within: tuple[datetime, datetime] | None = None
    #: The values of ``keep``'s filter, which distinguish this query from others.
    filters: tuple[str, ...] = ()


async def read_page(
    context: Context, listing: Listing[Entity], *, limit: int, cursor: str | None
) -> Page[Entity]:
    """Return a page.

    Raises:
        InvalidInput: the limit is not 1 to 500, an instant is naive, or ``since`` is after
            ``until``.
        InvalidCursor: the cursor is damaged, or belongs to another query.

    Cost: about twice ``limit`` records if the partitions answer the query; else 1,000 at most.
    """
    check_integer("limit", limit, least=1, most=MAX_PAGE)
    since, until = _range(listing)
    fingerprint = _fingerprint(listing, since, until)
    if listing.within is not None:
        first, behind = map(sort_bound, listing.within)
        until = behind if until is None else min(until, behind)
        since = min(first if since is None else max(since, first), until)
    before = _opened(cursor, fingerprint) if cursor is not None else until
    items: list[Entity] = []
    unreadable: list[str] = []
    scanned, size = 0, limit
    while True:
        found = await read_merged(
            context,
            listing.partitions,
            limit=size,
            descending=True,
            after=since,
            before=before,
        )
        for sort, record in found.records:
            before = sort
            try:
                value = listing.load(record).value
            except UNREADABLE:
                unreadable.append(record.key)
                continue
            if listing.keep(value):
                items.append(value)
                if len(items) == limit:
                    unreadable += (key for at, key in found.unreadable if at >= sort)
                    return Page(tuple(items), _sealed(sort, fingerprint), tuple(unreadable))
        scanned += len(found.records)
        unreadable += (key for _, key in found.unreadable)
        if not found.more:
            return Page(tuple(items), None, tuple(unreadable))
        before = found.end or before
        left = 0 if found.is_cut else MAX_SCANNED - scanned
        if left <= 0 and before is not None:
            sealed = _sealed(before, fingerprint)
            return Page(tuple(items), sealed, tuple(unreadable), incomplete=True)
        size = min(max(limit, _STRETCH), left)


def _range(listing: Listing[Entity]) -> tuple[str | None, str | None]:
    since = require_aware("since", listing.since)
    until = require_aware("until", listing.until)
    if since is not None and until is not None and since > until:
        raise InvalidInput("since", since, f"give a moment before until, {until.isoformat()}")
    return (
        None if since is None else sort_bound(since),
        None if until is None else sort_bound(until),
    )


def _fingerprint(listing: Listing[Entity], since: str | None, until: str | None) -> str:
    parts = [
        [partition.collection, partition.index.name, partition.value]
        for partition in listing.partitions
    ]
    whole = json.dumps([parts, since, until, listing.filters])
    return hashlib.blake2b(whole.encode(), digest_size=9).hexdigest()


def _sealed(sort: str, fingerprint: str) -> str:
    return seal(base64.urlsafe_b64encode(f"{fingerprint}{sort}".encode()).decode().rstrip("="))


def _opened(cursor: str, fingerprint: str) -> str:
    place = unseal(cursor)
    try:
        padded = place + "=" * (-len(place) % 4)
        whole = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError, TypeError) as broken:
        raise InvalidCursor(cursor, "it is damaged") from broken
    if not whole.startswith(fingerprint):
        raise InvalidCursor(cursor, "it belongs to another query")
    return whole[len(fingerprint) :]
