"""Each way in which a table may differ from what the code needs is found, and only that."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest

from cicd_core.entities import COLLECTIONS
from cicd_core_dynamodb.checking import Care, Live, findings
from cicd_core_dynamodb.tables import tables_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from cicd_core_dynamodb.checking import TableFinding

TABLES = {table.name: table for table in tables_of(COLLECTIONS)}
KEY = "arn:aws:kms:eu-west-1:123456789012:key/0"


def described(name: str = "jobs") -> dict[str, Any]:
    """A table as DynamoDB describes one that was made as the code says."""
    words = deepcopy(TABLES[name].definition("ci-"))
    mode = words.pop("BillingMode")
    for index in words.get("GlobalSecondaryIndexes", []):
        index["IndexStatus"] = "ACTIVE"
    return {
        **words,
        "TableStatus": "ACTIVE",
        "BillingModeSummary": {"BillingMode": mode},
        "DeletionProtectionEnabled": True,
    }


def told(
    change: Callable[[dict[str, Any]], object] = lambda _: None,
    *,
    name: str = "jobs",
    retention: dict[str, Any] | None = None,
    recovery: bool | None = True,
    care: Care | None = None,
) -> list[TableFinding]:
    table = described(name)
    change(table)
    ttl = retention or {"TimeToLiveStatus": "ENABLED", "AttributeName": "T"}
    live = Live(table=table, retention=ttl, recovery=recovery)
    return findings(f"ci-{name}", TABLES[name], live, care or Care())


def index_of(table: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(
        each for each in table["GlobalSecondaryIndexes"] if each["IndexName"] == name
    )
    return found


@pytest.mark.parametrize("name", TABLES)
def test_a_table_as_it_is_made_is_as_it_is_needed(name: str) -> None:
    assert told(name=name) == []


def without_index(table: dict[str, Any]) -> None:
    table["GlobalSecondaryIndexes"].pop()


def with_other_key(table: dict[str, Any]) -> None:
    table["KeySchema"] = [{"AttributeName": "id", "KeyType": "HASH"}]


def with_number(table: dict[str, Any]) -> None:
    next(each for each in table["AttributeDefinitions"] if each["AttributeName"] == "created_at")[
        "AttributeType"
    ] = "N"


def with_other_index_key(table: dict[str, Any]) -> None:
    schema = index_of(table, "status-created_at-index")["KeySchema"]
    schema[1]["AttributeName"] = "due"


def with_index_in_making(table: dict[str, Any]) -> None:
    index_of(table, "lane-rank-index")["IndexStatus"] = "CREATING"


def with_whole_projection(table: dict[str, Any]) -> None:
    index_of(table, "lane-rank-index")["Projection"] = {"ProjectionType": "ALL"}


def with_narrow_projection(table: dict[str, Any]) -> None:
    index_of(table, "lane-rank-index")["Projection"] = {"ProjectionType": "KEYS_ONLY"}


def in_deletion(table: dict[str, Any]) -> None:
    table["TableStatus"] = "DELETING"


def with_local_index(table: dict[str, Any]) -> None:
    table["LocalSecondaryIndexes"] = [{"IndexName": "local"}]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (without_index, "dead_letter-created_at-index is missing"),
        (with_other_key, "its key is id, not K"),
        (with_number, "created_at is of type N"),
        (with_other_index_key, "the key of status-created_at-index is status, due"),
        (with_index_in_making, "lane-rank-index is CREATING"),
        (with_whole_projection, "lane-rank-index projects all attributes"),
        (with_narrow_projection, "lane-rank-index projects the keys alone"),
        (in_deletion, "its status is DELETING"),
        (with_local_index, "local secondary indexes"),
    ],
)
def test_a_shape_that_the_store_would_fail_on_must_be_changed(
    change: Callable[[dict[str, Any]], object], says: str
) -> None:
    (finding,) = told(change)
    assert finding.needed
    assert says in finding.found
    assert finding.change


@pytest.mark.parametrize(
    ("retention", "says"),
    [
        ({"TimeToLiveStatus": "DISABLED"}, "TTL is off"),
        ({"TimeToLiveStatus": "ENABLED", "AttributeName": "ttl"}, "TTL uses the attribute ttl"),
    ],
)
def test_retention_must_go_by_our_attribute(retention: dict[str, Any], says: str) -> None:
    (finding,) = told(retention=retention)
    assert finding.needed
    assert says in finding.found


def provisioned(table: dict[str, Any]) -> None:
    del table["BillingModeSummary"]


def unprotected(table: dict[str, Any]) -> None:
    table["DeletionProtectionEnabled"] = False


def with_more_indexes(table: dict[str, Any]) -> None:
    table["GlobalSecondaryIndexes"].append({"IndexName": "mine", "KeySchema": []})


def with_lost_key(table: dict[str, Any]) -> None:
    table["SSEDescription"] = {"Status": "INACCESSIBLE_ENCRYPTION_CREDENTIALS"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (provisioned, "its capacity is provisioned"),
        (unprotected, "not protected against deletion"),
        (with_more_indexes, "no query uses the index mine"),
        (with_lost_key, "its encryption is INACCESSIBLE_ENCRYPTION_CREDENTIALS"),
    ],
)
def test_what_the_store_can_live_with_is_advice(
    change: Callable[[dict[str, Any]], object], says: str
) -> None:
    (finding,) = told(change)
    assert not finding.needed
    assert says in finding.found


def test_backups_are_advised_where_they_are_worth_it_and_can_be_had() -> None:
    assert [each.found for each in told(recovery=False)] == ["it has no continuous backups"]
    assert told(name="sessions", recovery=False) == []
    assert told(recovery=None) == []
    assert told(recovery=False, care=Care(recovery=False)) == []


def test_a_key_that_is_asked_for_must_be_the_one() -> None:
    def with_key(table: dict[str, Any]) -> None:
        table["SSEDescription"] = {"Status": "ENABLED", "KMSMasterKeyArn": KEY}

    assert told(with_key, care=Care(kms_key=KEY)) == []
    (finding,) = told(care=Care(kms_key=KEY))
    assert KEY in finding.found
