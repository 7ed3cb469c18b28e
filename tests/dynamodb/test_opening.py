"""Opening the store: what is refused, and in which words."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from cicd_core.clock import SystemClock
from cicd_core.errors import (
    InvalidInput,
    SchemaTooNew,
    SchemaTooOld,
    StoreError,
    StoreUnavailable,
    UnsupportedCapability,
)
from cicd_core.store.registry import StoreURL, open_store
from cicd_core.testing.samples import COLLECTIONS, event_of, item, read, whole_log, write
from cicd_core_dynamodb import calls
from cicd_core_dynamodb.location import locate
from cicd_core_dynamodb.opening import SCHEMA, new_client
from tests.dynamodb.faults import faulty_client
from tests.unit.store.test_forks import use_after_fork

if TYPE_CHECKING:
    from tests.dynamodb.harness import DynamoDBHarness

pytestmark = pytest.mark.anyio

ELSEWHERE = "dynamodb://?region=us-east-1&endpoint=http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("url", "field"),
    [
        ("dynamodb://host?prefix=ci-", "url"),
        ("dynamodb:///path", "url"),
        ("dynamodb://?colour=red", "url"),
        ("dynamodb://?prefix=a%20b", "prefix"),
        ("dynamodb://?shards=0", "shards"),
        ("dynamodb://?shards=many", "shards"),
        ("dynamodb://?log_shards=129", "log_shards"),
        ("dynamodb://?create_tables=maybe", "create_tables"),
        ("dynamodb://?timeout=soon", "timeout"),
        ("dynamodb://?log_retention=-1", "log_retention"),
    ],
)
async def test_a_url_that_is_wrong_is_refused(url: str, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        async with open_store(url, collections=COLLECTIONS):
            pass
    assert refused.value.field == field


async def test_a_clock_is_refused() -> None:
    with pytest.raises(InvalidInput) as refused:
        async with open_store(ELSEWHERE, clock=SystemClock(), collections=COLLECTIONS):
            pass
    assert refused.value.field == "clock"


def test_trio_is_refused() -> None:
    async def main() -> None:
        with pytest.raises(UnsupportedCapability, match="asyncio"):
            async with open_store(ELSEWHERE, collections=COLLECTIONS):
                pass

    anyio.run(main, backend="trio")


async def test_an_endpoint_that_does_not_answer_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable, match="get_item"):
        async with open_store(ELSEWHERE, collections=COLLECTIONS):
            pass


async def test_missing_tables_are_named_with_the_command_that_makes_them(
    dynamodb: DynamoDBHarness,
) -> None:
    url = f"dynamodb://?prefix=nobody-&region=us-east-1&endpoint={dynamodb.endpoint}"
    with pytest.raises(UnsupportedCapability, match="create-tables") as refused:
        async with open_store(url, collections=COLLECTIONS):
            pass
    assert "nobody-journal" in str(refused.value)


@pytest.mark.parametrize("name", ["shards", "log_shards"])
async def test_tables_that_are_used_otherwise_are_refused(
    dynamodb: DynamoDBHarness, namespace: str, name: str
) -> None:
    async with dynamodb.open(namespace):
        pass
    url = dynamodb.url.replace(f"&{name}=", f"&{name}=7")
    with pytest.raises(InvalidInput, match="are used with") as refused:
        async with open_store(url, collections=COLLECTIONS):
            pass
    assert refused.value.field == name


@pytest.mark.parametrize(("version", "error"), [(99, SchemaTooNew), (SCHEMA - 1, SchemaTooOld)])
async def test_tables_of_another_version_are_left_alone(
    dynamodb: DynamoDBHarness, version: int, error: type[StoreError]
) -> None:
    async with faulty_client(dynamodb) as client:
        prefix = f"version-{version}-"
        options: dict[str, Any] = {"prefix": prefix, "create_tables": True, "client": client}
        async with open_store("dynamodb://", collections=COLLECTIONS, **options):
            pass
        await client.put_item(
            TableName=f"{prefix}journal",
            Item={
                "P": {"S": "|settings"},
                "Q": {"S": "-"},
                "V": {"N": str(version)},
                "I": {"N": "4"},
                "J": {"N": "4"},
            },
        )
        with pytest.raises(error) as refused:
            async with open_store("dynamodb://", collections=COLLECTIONS, **options):
                pass
        assert vars(refused.value)["found"] == version


async def test_a_client_that_was_given_stays_its_givers(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    async with faulty_client(dynamodb) as client:
        async with dynamodb.open(namespace, client=client) as store:
            await write(store, item("a"))
            with pytest.raises(UnsupportedCapability, match="event loop"):
                async with store.sibling():
                    pass
        answer = await client.describe_table(TableName="suite-items")
        assert answer["Table"]["TableStatus"] == "ACTIVE"


async def test_a_client_of_the_driver_itself_is_taken(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    session = import_module("aiobotocore.session").get_session()
    async with (
        session.create_client(
            "dynamodb", region_name="us-east-1", endpoint_url=dynamodb.endpoint
        ) as client,
        dynamodb.open(namespace, client=client) as store,
    ):
        await write(store, item("a"), events=[event_of("a")])
        assert len(await whole_log(store)) == 1


class Silent:
    """A client that never answers, whatever it was told about timeouts."""

    def __init__(self, client: Any) -> None:
        self.meta = client.meta

    async def get_item(self, **words: Any) -> None:
        await anyio.sleep_forever()


async def test_a_call_ends_though_the_client_that_was_given_would_wait_for_ever(
    dynamodb: DynamoDBHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "_BESIDES", 0.0)
    async with faulty_client(dynamodb) as client:
        opening = open_store(
            "dynamodb://?timeout=0.05&connect_timeout=0.01",
            client=Silent(client),
            collections=COLLECTIONS,
        )
        with pytest.raises(StoreUnavailable, match="did not answer"):
            async with opening:
                pass


async def test_a_client_of_ours_tries_twice_and_takes_seconds(dynamodb: DynamoDBHarness) -> None:
    given = {"timeout": 1.5, "connect_timeout": 0.5}
    location = locate(StoreURL.parse(dynamodb.url), namespace=None, given=given)
    async with new_client(location) as client:
        config = client.meta.config
    assert config.retries == {"mode": "standard", "total_max_attempts": 2}
    assert (config.connect_timeout, config.read_timeout) == (0.5, 1.5)


@pytest.mark.parametrize("option", ["access_key", "secret_key", "aws_secret_access_key", "profile"])
async def test_credentials_are_no_options(option: str) -> None:
    with pytest.raises(InvalidInput):
        async with open_store(f"dynamodb://?{option}=x", collections=COLLECTIONS):
            pass
    with pytest.raises(InvalidInput):
        async with open_store("dynamodb://key:secret@eu-west-1", collections=COLLECTIONS):
            pass


async def test_stores_are_opened_by_many_at_once_on_tables_that_are_not_there(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    url = (
        f"dynamodb://?prefix={namespace}-&region=us-east-1&endpoint={dynamodb.endpoint}"
        "&create_tables=true"
    )

    async def use(name: str) -> None:
        async with open_store(url, collections=COLLECTIONS) as store:
            await write(store, item(name))
            assert (await read(store, name)).key == name

    async with anyio.create_task_group() as tasks:
        for number in range(4):
            tasks.start_soon(use, f"k{number}")


def test_forked_child_is_refused_and_leaves_the_connections_of_its_parent_alone(
    dynamodb: DynamoDBHarness, namespace: str
) -> None:
    found = use_after_fork(f"{dynamodb.url}&namespace={namespace}")
    assert found == "after, before, of a fork, of a worker\n"
