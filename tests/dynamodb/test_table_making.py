"""Tables are complete in the end, wherever their maker ended, and however many made them."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pytest
from anyio import create_task_group
from attrs import define

from cicd_core.errors import CicdError
from cicd_core.ids import IdSource
from cicd_core.store.records import Collection, Index
from cicd_core.store.registry import StoreURL
from cicd_core_dynamodb import open_dynamodb
from cicd_core_dynamodb.administration import Tables
from cicd_core_dynamodb.checking import Care
from cicd_core_dynamodb.location import locate
from cicd_core_dynamodb.opening import new_calls, new_client
from cicd_core_dynamodb.tables import tables_of
from tests.dynamodb.engines import running

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

pytestmark = pytest.mark.anyio

COLLECTIONS: Final = (Collection(name="things", indexes=(Index("lane", "rank"),)),)
#: More requests than it takes to make two tables.
ENOUGH: Final = 60


@define
class Ending:
    """A client whose process ends with one of its requests: before it, or with its answer lost."""

    client: Any
    left: int
    is_sent: bool

    @property
    def meta(self) -> Any:
        return self.client.meta

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        async def call(**words: Any) -> Any:
            self.left -= 1
            if self.left < 0 and not (self.left == -1 and self.is_sent):
                raise ConnectionError("the process ended")
            answer = await getattr(self.client, operation)(**words)
            if self.left < 0:
                raise ConnectionError("the process ended")
            return answer

        return call


@asynccontextmanager
async def client_of(url: StoreURL) -> AsyncGenerator[Any, None]:
    async with new_client(locate(url, namespace=None, given={})) as client:
        yield client


def tables_at(url: StoreURL, client: Any) -> Tables:
    location = locate(url, namespace=None, given={})
    return Tables(new_calls(client, location), tables_of(COLLECTIONS))


def tell_nobody(_name: str, _words: str) -> None:
    """Make tables without a word."""


async def make_by_command(url: StoreURL, client: Any) -> None:
    await tables_at(url, client).create(Care(), tell_nobody)


async def make_by_opening(url: StoreURL, client: Any) -> None:
    async with open_dynamodb(url, collections=COLLECTIONS, client=client, create_tables=True):
        pass


def new_url(engine: str) -> StoreURL:
    """Name tables that nobody else has."""
    prefix, endpoint = IdSource().commit_id()[:8], running(engine).endpoint
    return StoreURL.parse(f"dynamodb://?prefix={prefix}-&region=us-east-1&endpoint={endpoint}")


async def lacking(url: StoreURL, client: Any) -> list[str]:
    care = Care(deletion_protection=False)
    found = await tables_at(url, client).check(care)
    return [
        each.found
        for each in found
        # Some engines keep backups, and the store itself turns none on.
        if each.needed or "backed up" in each.found
    ]


@pytest.mark.thorough
@pytest.mark.parametrize("is_sent", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("make", [make_by_command, make_by_opening], ids=["command", "opening"])
async def test_tables_that_were_begun_are_completed_by_whoever_makes_them_next(
    engine: str, make: Callable[[StoreURL, Any], Any], is_sent: bool
) -> None:
    for requests in range(ENOUGH):
        url = new_url(engine)
        async with client_of(url) as client:
            ending = Ending(client, requests, is_sent)
            with suppress(ConnectionError, CicdError):
                await make(url, ending)
            await make(url, client)
            found = await lacking(url, client)
            if make is make_by_opening:
                found = [each for each in found if "backed up" not in each]
            assert found == [], f"it had ended with request {requests}"
            if ending.left > 0:
                return
    raise AssertionError(f"{ENOUGH} requests were not enough")


async def test_opening_that_may_create_nothing_makes_no_table(engine: str) -> None:
    url = new_url(engine)
    async with client_of(url) as client:
        with pytest.raises(CicdError, match="there is no such table"):
            async with open_dynamodb(
                url, collections=COLLECTIONS, client=client, create_tables=True, create=False
            ):
                pass
        assert await lacking(url, client) != []
        pages = client.get_paginator("list_tables").paginate()
        names = [name async for page in pages for name in page["TableNames"]]
    assert [name for name in names if name.startswith(str(url.options["prefix"]))] == []


async def test_tables_that_several_make_at_once_are_complete(engine: str) -> None:
    url = new_url(engine)
    async with client_of(url) as client:
        async with create_task_group() as tasks:
            for make in (make_by_command, make_by_command, make_by_command):
                tasks.start_soon(partial(make, url, client))
        assert await lacking(url, client) == []


async def test_a_store_that_is_metered_makes_and_completes_its_tables(engine: str) -> None:
    url = new_url(engine)
    consumed: list[str] = []
    opening = open_dynamodb(
        url,
        collections=COLLECTIONS,
        create_tables=True,
        meter=lambda operation, _: consumed.append(operation),
    )
    async with opening, client_of(url) as client:
        found = await lacking(url, client)
        assert [each for each in found if "backed up" not in each] == []
    assert {*consumed} == {"get_item", "put_item"}  # the settings
