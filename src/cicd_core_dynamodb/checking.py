"""Compares existing tables with the code's needs, and reports the faults. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from attrs import field

from cicd_core.values import frozen
from cicd_core_dynamodb.tables import TTL_ATTRIBUTE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cicd_core_dynamodb.tables import IndexTable, Table

_ACTIVE: Final = frozenset({"ACTIVE", "UPDATING"})
#: The states of an enabled feature.
ON: Final = frozenset({"ENABLED", "ENABLING"})


@frozen(kw_only=True)
class Care:
    """The protection, backups and encryption of tables."""

    #: Refuse to delete a table until this is turned off.
    deletion_protection: bool = True
    #: Use continuous backups for important tables, to restore any second of the last 35 days.
    recovery: bool = True
    #: The ARN of the key that encrypts them; None: DynamoDB's own, which is free.
    kms_key: str | None = None
    tags: Mapping[str, str] = field(factory=dict[str, str])


@frozen(kw_only=True)
class Live:
    """A table as DynamoDB describes it."""

    #: The answers of ``DescribeTable`` and ``DescribeTimeToLive``.
    table: Mapping[str, Any]
    retention: Mapping[str, Any]
    #: Whether it is backed up continuously; None: this engine has no backups.
    recovery: bool | None


@frozen(kw_only=True)
class TableFinding:
    """Something to change."""

    table: str
    #: Whether the store fails or is wrong without the change; otherwise it is advice.
    needed: bool
    #: The fault, and the fix.
    found: str
    change: str


def findings(name: str, table: Table, live: Live | None, care: Care) -> list[TableFinding]:
    """Return the required changes of a table.

    Args:
        name: the name of the table, with its prefix.
        table: the table that the code needs.
        live: the existing table; None: missing.
        care: its protection, backups and encryption.
    """
    if live is None:
        found, change = "there is no such table", "create it: cicd-core dynamodb create-tables"
        return [TableFinding(table=name, needed=True, found=found, change=change)]
    needs = [
        *((True, *item) for item in _of_shape(table, live.table)),
        *((True, *item) for item in _of_retention(live.retention)),
        *((False, *item) for item in _of_care(table, live, care)),
    ]
    return [
        TableFinding(table=name, needed=needed, found=found, change=change)
        for needed, found, change in needs
    ]


def indexes_of(described: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the indexes of a table, as DynamoDB describes it."""
    found: list[dict[str, Any]] | None = described.get("GlobalSecondaryIndexes")
    return found or []


def _of_shape(table: Table, live: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    status = str(live.get("TableStatus"))
    if status not in _ACTIVE:
        yield f"its status is {status}", "wait, or check it in the AWS console"
    keys = _keys(live)
    if keys != table.keys:
        yield (
            f"its key is {_named(keys)}, not {_named(table.keys)}",
            "a key cannot be changed: back up the items, delete the table and create it again",
        )
    types = {item["AttributeName"]: item["AttributeType"] for item in live["AttributeDefinitions"]}
    for attribute in table.key_attributes:
        if types.get(attribute, "S") != "S":
            yield f"{attribute} is of type {types[attribute]}", "it must be S: recreate the table"
    indexes = {index["IndexName"]: index for index in indexes_of(live)}
    for index in table.indexes:
        yield from _of_index(index, indexes.pop(index.name, None))
    if live.get("LocalSecondaryIndexes"):
        yield (
            "it has local secondary indexes, which prevent the splitting of its partitions",
            "they cannot be removed: recreate the table",
        )


def _of_index(index: IndexTable, live: Mapping[str, Any] | None) -> Iterable[tuple[str, str]]:
    again = f"delete the index {index.name}, then add it again"
    if live is None:
        yield f"the index {index.name} is missing", "add it: the Terraform module does"
        return
    status = str(live.get("IndexStatus", "ACTIVE"))
    if status not in _ACTIVE:
        yield f"the index {index.name} is {status}", "wait until it is ACTIVE"
    keys = _keys(live)
    if keys != (index.partition, index.sort):
        wanted = _named((index.partition, index.sort))
        yield f"the key of {index.name} is {_named(keys)}, not {wanted}", again
    projection: Mapping[str, Any] = live.get("Projection", {})
    if projection.get("ProjectionType") == "ALL":
        yield f"{index.name} projects all attributes, which multiplies the cost of writes", again
        return
    there = set(projection.get("NonKeyAttributes") or [])
    if there != set(index.projected):
        wanted = _named(tuple(sorted(index.projected))) or "the keys alone"
        yield (
            f"{index.name} projects {_named(tuple(sorted(there))) or 'the keys alone'}",
            (f"{again}; it needs {wanted}"),
        )


def _of_retention(live: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    status, name = live.get("TimeToLiveStatus"), live.get("AttributeName")
    if status not in ON:
        yield (
            "TTL is off: expired items are never removed",
            f"turn TTL on for the attribute {TTL_ATTRIBUTE}",
        )
    elif name != TTL_ATTRIBUTE:
        yield f"TTL uses the attribute {name}", f"turn it off, then on for {TTL_ATTRIBUTE}"


def _of_care(table: Table, live: Live, care: Care) -> Iterable[tuple[str, str]]:
    billing: Mapping[str, Any] = live.table.get("BillingModeSummary") or {}
    if billing.get("BillingMode") != "PAY_PER_REQUEST":
        yield (
            "its capacity is provisioned: requests beyond it are throttled",
            "switch it to on-demand (PAY_PER_REQUEST), or provision each index too",
        )
    if care.deletion_protection and not live.table.get("DeletionProtectionEnabled"):
        yield "it is not protected against deletion", "turn deletion protection on"
    if care.recovery and table.recoverable and live.recovery is False:
        yield "it has no continuous backups", "turn point-in-time recovery on"
    encryption: Mapping[str, Any] = live.table.get("SSEDescription") or {}
    if encryption.get("Status", "ENABLED") not in ON | {"UPDATING"}:
        yield f"its encryption is {encryption['Status']}", "check its key in the AWS console"
    if care.kms_key is not None and encryption.get("KMSMasterKeyArn") != care.kms_key:
        yield (
            f"it is not encrypted with {care.kms_key}",
            "set its server-side encryption to that key",
        )
    wanted = {index.name for index in table.indexes}
    for index in indexes_of(live.table):
        if index["IndexName"] not in wanted:
            yield (
                f"no query uses the index {index['IndexName']}",
                "delete it: it makes each write more expensive",
            )


def _keys(described: Mapping[str, Any]) -> tuple[str, ...]:
    schema = sorted(described["KeySchema"], key=lambda item: item["KeyType"] != "HASH")
    return tuple(item["AttributeName"] for item in schema)


def _named(names: tuple[str, ...]) -> str:
    return ", ".join(names)
