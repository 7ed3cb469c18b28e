"""Opening a store on DynamoDB: the client, the settings of the tables and, if asked, the tables."""

from __future__ import annotations

import threading
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from cicd_core.errors import InvalidInput, SchemaTooNew, SchemaTooOld, UnsupportedCapability
from cicd_core.store.lifetime import Lifetime
from cicd_core.store.limits import Limits
from cicd_core.store.registry import require_asyncio
from cicd_core_dynamodb.calls import ATTEMPTS, CONNECT_SECONDS, CONNECTIONS, Calls, all_of
from cicd_core_dynamodb.checking import Care
from cicd_core_dynamodb.expressions import Expression
from cicd_core_dynamodb.failures import ConditionFailed
from cicd_core_dynamodb.items import number
from cicd_core_dynamodb.location import SHARDS, locate
from cicd_core_dynamodb.server_clock import clock_of
from cicd_core_dynamodb.store import DynamoDBStore
from cicd_core_dynamodb.table_making import TableMaker
from cicd_core_dynamodb.tables import STREAM_KEY, tables_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from contextlib import AbstractAsyncContextManager

    from cicd_core.clock import Clock
    from cicd_core.store.contract import Store
    from cicd_core.store.records import Collection
    from cicd_core.store.registry import StoreURL
    from cicd_core_dynamodb.calls import Item, Meter
    from cicd_core_dynamodb.location import Location
    from cicd_core_dynamodb.tables import Table

#: The version of the layout that ``items.py`` and ``journal.py`` describe.
SCHEMA: Final = 4
#: Tables that the store makes itself are those of tests and of engines on this machine.
_NO_CARE: Final = Care(deletion_protection=False, recovery=False)


@frozen
class _Shards:
    """How the tables are used, by everybody."""

    of_indexes: int
    of_log: int


def open_dynamodb(
    url: StoreURL,
    *,
    collections: tuple[Collection, ...],
    namespace: str | None = None,
    clock: Clock | None = None,
    client: Any | None = None,
    meter: Meter | None = None,
    prefix: str | None = None,
    region: str | None = None,
    endpoint: str | None = None,
    create_tables: bool | None = None,
    shards: int | None = None,
    log_shards: int | None = None,
    log: bool | None = None,
    claim_marks: bool | None = None,
    log_retention: float | None = None,
    timeout: float | None = None,
    count_seconds: float | None = None,
    poll_seconds: float | None = None,
) -> AbstractAsyncContextManager[Store]:
    """Open a store on DynamoDB: ``dynamodb://?prefix=ci-&region=eu-west-1``.

    Credentials come from where AWS looks for them, never from the URL. The options below, but for
    ``client`` and ``meter``, may stand in the URL too; what is given here takes precedence.

    Args:
        url: it has options alone.
        collections: what the store keeps.
        namespace: the set of records to open; it is a part of every key.
        clock: must be None: DynamoDB's own time decides.
        client: an aiobotocore client of DynamoDB to use instead of one of our own; it stays yours.
            Turn its retries down: ``standard``, two or three attempts.
        meter: is told what each call consumed.
        prefix: what the names of the tables begin with, ``ci-`` by default.
        region: by default what the configuration of AWS says.
        endpoint: the URL of an engine on this machine, say.
        create_tables: make the tables that are missing; for tests and engines on this machine.
        shards: into how many a busy partition of an index is split, 4 by default. Whoever uses the
            tables first decides it for all.
        log_shards: how many the log has, 4 by default; decided in the same way.
        log: keep events and counters; true by default.
        claim_marks: let every process recognise the repetition of a claim, for one write unit a
            claim; true by default. Without, only the process that made the claim does.
        log_retention: how many seconds an event stays in the log, 30 days by default.
        timeout: how many seconds an attempt of a request may take, 3 by default.
        count_seconds: how old a count may be, for each 1,000 rows that it takes; 5 by default.
        poll_seconds: the longest time between two looks of a wait, 2 by default.

    Raises:
        InvalidInput: the URL or an option is wrong, a clock was given, or the tables are used with
            other shards.
        SchemaTooNew: a newer version of the library uses the tables; they stay as they are.
        SchemaTooOld: an older one made them, in a layout that is not read any more.
        StoreUnavailable: DynamoDB did not answer in time.
        UnsupportedCapability: the event loop is not asyncio's; the driver, the tables, the region
            or the credentials are missing.
    """
    if clock is not None:
        raise InvalidInput("clock", clock, "DynamoDB's own time decides; give none")
    if client is None:
        _require_driver()
    given = {
        "prefix": prefix,
        "region": region,
        "endpoint": endpoint,
        "create_tables": create_tables,
        "shards": shards,
        "log_shards": log_shards,
        "log": log,
        "claim_marks": claim_marks,
        "log_retention": log_retention,
        "timeout": timeout,
        "count_seconds": count_seconds,
        "poll_seconds": poll_seconds,
    }
    location = locate(url, namespace=namespace, given=given)
    limits = Limits(collections, store=f"the store in the tables {location.prefix!r}")
    return open_location(location, limits, client, meter)


@asynccontextmanager
async def open_location(
    location: Location, limits: Limits, client: Any | None, meter: Meter | None
) -> AsyncGenerator[Store, None]:
    """Open a store by what :func:`open_dynamodb` made of its URL."""
    require_asyncio("dynamodb")
    async with AsyncExitStack() as stack:
        used = client
        if used is None:
            used = await stack.enter_async_context(new_client(location))
        stack.callback(limits.lifetime.end)
        store = await _opened(location, limits, used, meter, owned=client is None)
        stack.push_async_callback(store.tender.end)
        yield store


async def _opened(
    location: Location, limits: Limits, client: Any, meter: Meter | None, *, owned: bool
) -> DynamoDBStore:
    calls = new_calls(client, location, meter)
    tables = tables_of(limits.collections)
    if location.create_tables:
        await create_missing(calls, tables)
    used = await _settled(calls, location, tables)

    @asynccontextmanager
    async def sibling() -> AsyncGenerator[Store, None]:
        if not owned:
            raise UnsupportedCapability(
                "a client belongs to one event loop, and this store uses one that was given to "
                "it: open a store there, with a client of that loop"
            )
        async with open_location(location, limits.of_another(), None, meter) as store:
            yield store

    return DynamoDBStore(
        calls,
        limits,
        location,
        shards=used.of_indexes,
        log_shards=used.of_log,
        sibling=sibling,
    )


def new_calls(client: Any, location: Location, meter: Meter | None = None) -> Calls:
    """Return the calls of a client, to the tables of a location."""
    clock = clock_of(str(client.meta.endpoint_url))
    return Calls(client, location.prefix, clock, meter, timeout=location.timeout)


_sessions = threading.local()


@asynccontextmanager
async def new_client(location: Location) -> AsyncGenerator[Any, None]:
    """Open a client; the driver comes without types, so it is loaded by name.

    Raises:
        UnsupportedCapability: the driver, the region or the credentials are missing.
    """
    _require_driver()
    if not hasattr(_sessions, "session"):  # it keeps what it has read of the service's model
        _sessions.session = import_module("aioboto3").Session()
    config = import_module("aiobotocore.config").AioConfig(
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=location.timeout,
        max_pool_connections=CONNECTIONS,
    )
    opening = _sessions.session.client(
        "dynamodb",
        region_name=location.region,
        endpoint_url=location.endpoint,
        config=config,
        # Without TLS there is no certificate to check, and those of all authorities take 20 ms.
        verify=False if (location.endpoint or "").startswith("http://") else None,
    )
    try:
        client = await opening.__aenter__()
    except Exception as cause:
        raise UnsupportedCapability(
            f"no client of DynamoDB can be made ({type(cause).__name__}: {cause}); give the region "
            f"as ?region=… or where AWS looks for it"
        ) from cause
    lifetime = Lifetime("this client")
    try:
        yield client
    finally:
        if lifetime.end():  # a forked child has the parent's connections
            await opening.__aexit__(None, None, None)


def _require_driver() -> None:
    """Load the driver, which not everybody who installs the library has."""
    try:
        import_module("aioboto3")
    except ImportError as missing:
        raise UnsupportedCapability(
            f"dynamodb:// needs its driver ({missing}); pip install 'cicd-core[dynamodb]'"
        ) from missing


async def _settled(calls: Calls, location: Location, tables: tuple[Table, ...]) -> _Shards:
    """Return how the tables are used; whoever comes first says so for all.

    Raises:
        InvalidInput: they are used in another way than the location says.
        SchemaTooNew: a newer version of the library uses them.
        SchemaTooOld: an older one made them, in a layout that is not read any more.
    """
    words = calls.settings_item()
    item: Item | None = (await calls("get_item", **words)).get("Item")
    if item is None:
        if location.create_tables:  # whoever made some may have ended before they were complete
            maker = TableMaker(calls)
            await all_of(partial(maker.complete, table, _NO_CARE, _tell_nobody) for table in tables)
        item = await _settle(calls, words, location)
    version = int(item["V"]["N"])
    if version > SCHEMA:
        raise SchemaTooNew(f"tables {location.prefix!r}", version, SCHEMA)
    if version < SCHEMA:
        raise SchemaTooOld(f"tables {location.prefix!r}", version, SCHEMA)
    used = _Shards(of_indexes=int(item["I"]["N"]), of_log=int(item["J"]["N"]))
    for name, asked, found in (
        ("shards", location.shards, used.of_indexes),
        ("log_shards", location.log_shards, used.of_log),
    ):
        if asked is not None and asked != found:
            raise InvalidInput(name, asked, f"these tables are used with {found}; leave it out")
    return used


async def _settle(calls: Calls, words: dict[str, Any], location: Location) -> Item:
    put = Expression()
    put.require("attribute_not_exists({p})", p=STREAM_KEY)
    item: Item = {
        **words["Key"],
        "V": number(SCHEMA),
        "I": number(location.shards or SHARDS),
        "J": number(location.log_shards or SHARDS),
    }
    try:
        await calls("put_item", TableName=words["TableName"], Item=item, **put.condition_words())
    except ConditionFailed as first:
        return first.item or item
    return item


async def create_missing(calls: Calls, tables: tuple[Table, ...]) -> None:
    """Make the tables that are not there, and return when all of them can be used."""
    maker = TableMaker(calls)
    there = await maker.existing()
    missing = [table for table in tables if calls.table(table.name) not in there]
    await all_of(partial(maker.make, table, _NO_CARE, _tell_nobody) for table in missing)


def _tell_nobody(_name: str, _words: str) -> None:
    """Make tables without a word: no person is waiting."""
