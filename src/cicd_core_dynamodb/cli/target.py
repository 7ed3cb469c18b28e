"""The tables that a command works on, and the run of its work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from cicd_core.errors import InvalidInput
from cicd_core.store.default import STORE_VARIABLE

if TYPE_CHECKING:
    from cicd_core_dynamodb.administration import Tables
    from cicd_core_dynamodb.location import Location
    from cicd_core_dynamodb.tables import Table

Result = TypeVar("Result")

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        envvar=STORE_VARIABLE,
        show_default=False,
        help="The store: dynamodb://?prefix=ci-&region=eu-west-1.",
    ),
]
PrefixOption = Annotated[
    str | None,
    typer.Option(
        "--prefix",
        metavar="PREFIX",
        help="Prefix of the table names; overrides the URL.",
    ),
]
RegionOption = Annotated[
    str | None, typer.Option("--region", metavar="REGION", help="The region; overrides the URL.")
]
EndpointOption = Annotated[
    str | None,
    typer.Option("--endpoint", metavar="URL", help="A local engine; overrides the URL."),
]
KmsKeyOption = Annotated[
    str | None,
    typer.Option(
        "--kms-key",
        metavar="ARN",
        help="The key that encrypts the tables. Default: DynamoDB's own.",
    ),
]
NoRecoveryOption = Annotated[
    bool, typer.Option("--no-recovery", help="Turn continuous backups off.")
]
NoProtectionOption = Annotated[
    bool, typer.Option("--no-deletion-protection", help="Turn deletion protection off.")
]


def location_of(
    store: str | None, prefix: str | None, region: str | None, endpoint: str | None
) -> Location:
    """Return the location that the options name.

    Raises:
        InvalidInput: they name no location, or a store that is not on DynamoDB.
    """
    from cicd_core.store.registry import StoreURL
    from cicd_core_dynamodb.location import locate

    given = {"prefix": prefix, "region": region, "endpoint": endpoint}
    url = StoreURL.parse(store or "dynamodb://")
    if url.scheme != "dynamodb":
        if prefix is None:
            reason = "give --store dynamodb://?prefix=ci-, or --prefix"
            raise InvalidInput("store", str(url), reason)
        url = StoreURL.parse("dynamodb://")
    elif store is None and prefix is None:
        raise InvalidInput("store", store, "give --store dynamodb://?prefix=ci-, or --prefix")
    return locate(url, namespace=url.options.get("namespace"), given=given)


def needed_tables() -> tuple[Table, ...]:
    """Return the tables of the domain's own collections."""
    from cicd_core.entities import COLLECTIONS
    from cicd_core_dynamodb.tables import tables_of

    return tables_of(COLLECTIONS)


def run(work: Callable[[Tables], Awaitable[Result]], location: Location) -> Result:
    """Run ``work`` on the tables of a location, in a new event loop."""
    import anyio

    from cicd_core_dynamodb.administration import administered

    async def whole() -> Result:
        async with administered(location, needed_tables()) as tables:
            return await work(tables)

    return anyio.run(whole)
