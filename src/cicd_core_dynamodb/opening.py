"""Opens a store on DynamoDB: the client, the tables' settings and, on request, the tables."""

from __future__ import annotations

import threading
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache, partial
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any, Final

from cicd_core.errors import InvalidInput, SchemaTooNew, SchemaTooOld, UnsupportedCapability
from cicd_core.store.lifetime import Lifetime
from cicd_core.store.registry import require_asyncio
from cicd_core.values import frozen
from cicd_core_dynamodb.calls import ATTEMPTS, CONNECTIONS, Calls, all_of
from cicd_core_dynamodb.checking import Care
from cicd_core_dynamodb.expressions import Expression
from cicd_core_dynamodb.failures import ConditionFailed
from cicd_core_dynamodb.items import number
from cicd_core_dynamodb.location import SHARDS, locate
from cicd_core_dynamodb.server_clock import clock_of
from cicd_core_dynamodb.store import DynamoDBBackend
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
SCHEMA: Final = 5
#: Tables that the store makes itself are those of tests and of engines on this machine.
_NO_CARE: Final = Care(deletion_protection=False, recovery=False)


@frozen
class _Shards:
    """The settings of the tables, for all their users."""

    of_indexes: int
    of_log: int


def open_dynamodb(
    url: StoreURL,
    *,
    collections: tuple[Collection, ...],
    namespace: str | None = None,
    clock: Clock | None = None,
    create: bool = True,
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

    Credentials come from AWS's usual places, never from the URL. All options below, except
    ``client`` and ``meter``, may be in the URL too; the arguments take precedence.

    Args:
        url: the URL, which has only options.
        collections: the collections of the store.
        namespace: the set of records to open; it is a part of every key.
        clock: must be None: DynamoDB's time decides.
        create: False creates no tables, even with ``create_tables``.
        client: your own aiobotocore client of DynamoDB; you close it yourself.
            Turn its retries down: ``standard``, two or three attempts.
        meter: called with the consumption of each call.
        prefix: prefix of the table names, ``ci-`` by default.
        region: by default the one of the AWS configuration.
        endpoint: the URL of, for example, a local engine.
        create_tables: create missing tables; for tests and local engines.
        shards: number of shards of a busy partition of an index, 4 by default. The first user of
            the tables sets it for all.
        log_shards: number of shards of the log, 4 by default; set in the same way.
        log: store events and counters; true by default.
        claim_marks: let every process recognise a repeated claim, for one write unit per claim;
            true by default. Otherwise only the process that made the claim does.
        log_retention: retention of events in the log, in seconds, 30 days by default.
        timeout: time limit of an attempt of a request, in seconds, 3 by default.
        count_seconds: maximum age of a count, per 1,000 rows that it reads; 5 by default.
        poll_seconds: the longest time between two polls of a wait, 2 by default.

    Raises:
        InvalidInput: the URL or an option is wrong, a clock was given, or the tables are used with
            other shards.
        SchemaTooNew: a newer version of the library uses the tables; they stay unchanged.
        SchemaTooOld: an older version created them, in a layout that is not supported any more.
        StoreUnavailable: DynamoDB did not answer in time.
        UnsupportedCapability: the event loop is not asyncio's; the driver, the tables, the region
            or the credentials are missing.
    """
    if clock is not None:
        raise InvalidInput("clock", clock, "DynamoDB's time decides; do not give a clock")
    if client is None:
        _require_driver()
    given = {
        "prefix": prefix,
        "region": region,
        "endpoint": endpoint,
        "create_tables": create_tables if create else False,
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
    return open_location(location, collections, client, meter)


@asynccontextmanager
async def open_location(
    location: Location, collections: tuple[Collection, ...], client: Any | None, meter: Meter | None
) -> AsyncGenerator[Store, None]:
    """Open the store at a location that :func:`open_dynamodb` derived from a URL."""
    require_asyncio("dynamodb")
    async with AsyncExitStack() as stack:
        used = client
        if used is None:
            used = await stack.enter_async_context(new_client(location))
        store = await _opened(location, collections, used, meter, owned=client is None)
        stack.callback(store.close)
        stack.push_async_callback(store.tender.end)
        yield store


async def _opened(
    location: Location,
    collections: tuple[Collection, ...],
    client: Any,
    meter: Meter | None,
    *,
    owned: bool,
) -> DynamoDBBackend:
    calls = new_calls(client, location, meter)
    tables = tables_of(collections)
    if location.create_tables:
        await create_missing(calls, tables)
    used = await _settled(calls, location, tables)

    @asynccontextmanager
    async def sibling() -> AsyncGenerator[Store, None]:
        if not owned:
            raise UnsupportedCapability(
                "a client belongs to one event loop, and this store uses the one passed to "
                "it: open a store there, with a client of that loop"
            )
        async with open_location(location, collections, None, meter) as store:
            yield store

    return DynamoDBBackend(
        calls,
        collections,
        location,
        shards=used.of_indexes,
        log_shards=used.of_log,
        sibling=sibling,
    )


def new_calls(client: Any, location: Location, meter: Meter | None = None) -> Calls:
    """Return the calls of a client, to the tables of a location."""
    clock = clock_of(str(client.meta.endpoint_url))
    attempt = location.connect_timeout + location.timeout
    return Calls(client, location.prefix, clock, meter, timeout=attempt)


_sessions = threading.local()


@asynccontextmanager
async def new_client(location: Location) -> AsyncGenerator[Any, None]:
    """Open a client; the driver has no types, so it is loaded by name.

    Raises:
        UnsupportedCapability: the driver, the region or the credentials are missing.
    """
    _require_driver()
    if not hasattr(_sessions, "session"):  # a session caches the service's model
        _sessions.session = import_module("aioboto3").Session()
    config = import_module("aiobotocore.config").AioConfig(
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        connect_timeout=location.connect_timeout,
        read_timeout=location.timeout,
        max_pool_connections=CONNECTIONS,
        # The driver would check each argument against the service's model, and describe the
        # platform in each request, which is a quarter of a call's CPU. Tests check the arguments.
        parameter_validation=False,
        user_agent=_user_agent(),
    )
    opening = _sessions.session.client(
        "dynamodb",
        region_name=location.region,
        endpoint_url=location.endpoint,
        config=config,
        # Without TLS there is no certificate to check; loading all authorities would take 20 ms.
        verify=False if (location.endpoint or "").startswith("http://") else None,
    )
    try:
        client = await opening.__aenter__()
    except Exception as cause:
        raise UnsupportedCapability(
            f"cannot create a DynamoDB client ({type(cause).__name__}: {cause}); set the region "
            f"with ?region=… or in the usual configuration of AWS"
        ) from cause
    lifetime = Lifetime("this client")
    try:
        yield client
    finally:
        if lifetime.end():  # not in a forked child, which has the parent's connections
            await opening.__aexit__(None, None, None)


@cache
def _user_agent() -> str:
    """Return the name of the caller for the service's logs."""
    names = ("cicd-core", "aiobotocore", "botocore")
    return " ".join(f"{name}/{metadata.version(name)}" for name in names)


def _require_driver() -> None:
    """Load the driver, which is an optional dependency."""
    try:
        import_module("aioboto3")
    except ImportError as missing:
        raise UnsupportedCapability(
            f"dynamodb:// needs its driver ({missing}); pip install 'cicd-core[dynamodb]'"
        ) from missing


async def _settled(calls: Calls, location: Location, tables: tuple[Table, ...]) -> _Shards:
    """Return the settings of the tables; the first user sets them for all.

    Raises:
        InvalidInput: their settings differ from the location's.
        SchemaTooNew: a newer version of the library uses them.
        SchemaTooOld: an older version created them, in a layout that is not supported any more.
    """
    parameters = calls.settings_item()
    item: Item | None = (await calls("get_item", **parameters)).get("Item")
    if item is None:
        if location.create_tables:  # a process may have stopped before they were complete
            maker = TableMaker(calls)
            await all_of(partial(maker.complete, table, _NO_CARE, _silently) for table in tables)
        item = await _settle(calls, parameters, location)
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
            raise InvalidInput(name, asked, f"these tables are used with {found}; omit it")
    return used


async def _settle(calls: Calls, parameters: dict[str, Any], location: Location) -> Item:
    put = Expression()
    put.require("attribute_not_exists({p})", p=STREAM_KEY)
    item: Item = {
        **parameters["Key"],
        "V": number(SCHEMA),
        "I": number(location.shards or SHARDS),
        "J": number(location.log_shards or SHARDS),
    }
    try:
        await calls(
            "put_item", TableName=parameters["TableName"], Item=item, **put.condition_parameters()
        )
    except ConditionFailed as first:
        return first.item or item
    return item


async def create_missing(calls: Calls, tables: tuple[Table, ...]) -> None:
    """Create the missing tables, and return when all of them can be used."""
    maker = TableMaker(calls)
    there = await maker.existing()
    missing = [table for table in tables if calls.table(table.name) not in there]
    await all_of(partial(maker.make, table, _NO_CARE, _silently) for table in missing)


def _silently(_name: str, _words: str) -> None:
    """Ignore the changes of a table: no user is waiting for them."""
