"""Pages of entities: one opaque cursor for every store and every filter.

A list is a merge of partitions by their sort value, which is unique and ends in the entity's key.
The cursor is the last sort value, bound to the query that gave it; stores see only bounds.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import heapq
import json
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from attrs import frozen

from cicd_core.background import together
from cicd_core.control_plane.cursors import seal, unseal
from cicd_core.errors import InvalidCursor, InvalidInput
from cicd_core.model.checks import check_integer
from cicd_core.model.instants import require_aware, sort_bound
from cicd_core.persistence.repository import UNREADABLE
from cicd_core.store.records import Query

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from cicd_core.persistence.context import Context
    from cicd_core.persistence.grants import Loaded
    from cicd_core.store.records import Partition, Record, RecordPage

Entity = TypeVar("Entity")

#: The most entities on one page.
MAX_PAGE = 500
#: A filter that no index answers looks at this many records for one page, then gives a short one …
MAX_SCANNED = 1_000
#: … and at up to so many of them in one call to the store, once the first ones did not fill it.
_STRETCH = 250


@frozen
class Page(Generic[Entity]):
    """A page. It may be short, even empty, while ``cursor`` says that there is more.

    That is so where no index answers all of the filters (an agent's jobs of one status, say), or
    where a store has to look through what has run out or is another pool's: then a call looks at
    1,000 records at most, and says by ``incomplete`` that it stopped there. Give the cursor to the
    same query to go on from that place.
    """

    items: tuple[Entity, ...]
    #: Give it to the same query for the next page; None: this was the last one.
    cursor: str | None
    #: The keys of the records, of this page's stretch, that do not decode: they were left out, and
    #: ``get`` says of each what is wrong with it.
    unreadable: tuple[str, ...] = ()
    #: The page was not filled because 1,000 records were looked at: more may match behind them.
    incomplete: bool = False


@frozen(kw_only=True)
class Listing(Generic[Entity]):
    """What is asked for: the newest first."""

    #: All of one collection, and all of indexes with the same kind of sort value.
    partitions: tuple[Partition, ...]
    load: Callable[[Record], Loaded[Entity]]
    #: For what no index answers.
    keep: Callable[[Entity], bool] = lambda _: True
    #: Only entities created at this moment or later.
    since: datetime | None = None
    #: Only entities created before this moment.
    until: datetime | None = None
    #: What else tells this query from others: the filter's own values.
    filters: tuple[str, ...] = ()


async def read_page(
    context: Context, listing: Listing[Entity], *, limit: int, cursor: str | None
) -> Page[Entity]:
    """Return a page.

    Raises:
        InvalidInput: a limit outside 1 to 500, a naive instant, or ``since`` after ``until``.
        InvalidCursor: the cursor is damaged, or was given by another query.

    Cost: ``limit`` records a partition where the partitions answer the query; else 1,000 at most.
    """
    check_integer("limit", limit, least=1, most=MAX_PAGE)
    since, until = _range(listing)
    fingerprint = _fingerprint(listing, since, until)
    before = _opened(cursor, fingerprint) if cursor is not None else until
    items: list[Entity] = []
    unreadable: list[str] = []
    scanned, size = 0, limit
    while True:
        found = await _merged(context, listing.partitions, since, before, size)
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


@frozen
class _Merged:
    """The newest records over some partitions."""

    #: With their sort values.
    records: list[tuple[str, Record]]
    #: Whether there may be more behind them.
    more: bool
    #: Up to which sort value all were shown, if that is behind the last one of them.
    end: str | None
    #: Whether a store ended a page early, since it had looked at as much as it may for one.
    is_cut: bool
    #: The sort values and keys of records among them that a store can't read.
    unreadable: list[tuple[str, str]]


async def _merged(
    context: Context,
    partitions: Sequence[Partition],
    since: str | None,
    before: str | None,
    limit: int,
) -> _Merged:
    """Return the newest records over the partitions, and whether there may be more."""

    async def read(partition: Partition) -> RecordPage:
        query = Query(partition=partition, limit=limit, descending=True, after=since, before=before)
        return await context.store.page(query)

    pages = await together([partial(read, partition) for partition in partitions])
    rows = [
        [(record.attributes[partition.index.sort], record) for record in page.records]
        for partition, page in zip(partitions, pages, strict=True)
    ]
    # A page that ended early hides what comes behind it: nothing older than its end may be told.
    ends = (
        page.end(partition.index)
        for partition, page in zip(partitions, pages, strict=True)
        if page.more
    )
    floor = max((end for end in ends if end is not None), default="")
    merged = heapq.merge(*rows, key=lambda pair: pair[0], reverse=True)
    # One that moved between two partitions while they were read shows up in both.
    distinct = list({sort: (sort, each) for sort, each in merged if sort >= floor}.values())
    more = len(distinct) > limit or any(page.more for page in pages)
    is_whole = len(distinct) <= limit
    reached = floor if is_whole else distinct[limit - 1][0]
    return _Merged(
        distinct[:limit],
        more=more,
        end=floor or None if is_whole else None,
        is_cut=is_whole and any(page.resume == floor for page in pages),
        unreadable=[pair for page in pages for pair in page.unreadable if pair[0] >= reached],
    )


def _range(listing: Listing[Entity]) -> tuple[str | None, str | None]:
    since = require_aware("since", listing.since)
    until = require_aware("until", listing.until)
    if since is not None and until is not None and since > until:
        raise InvalidInput("since", since, f"give a moment before until, {until}")
    return (
        None if since is None else sort_bound(since),
        None if until is None else sort_bound(until),
    )


def _fingerprint(listing: Listing[Entity], since: str | None, until: str | None) -> str:
    parts = [[each.collection, each.index.name, each.value] for each in listing.partitions]
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
        raise InvalidCursor(cursor, "it was given by another query")
    return whole[len(fingerprint) :]
