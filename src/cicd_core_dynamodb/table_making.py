"""Creation of tables, for the command and for ``?create_tables=true``.

A table is created in several requests, and the process may stop between two of them. So each step
checks the current state, and does the missing part: a repetition ends with the same tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from anyio import sleep

from cicd_core.clock import monotonic_seconds
from cicd_core.errors import StoreError, StoreUnavailable
from cicd_core_dynamodb.checking import ON, indexes_of
from cicd_core_dynamodb.failures import TableExists
from cicd_core_dynamodb.tables import TTL_ATTRIBUTE

if TYPE_CHECKING:
    from collections.abc import Callable

    from cicd_core_dynamodb.calls import Calls
    from cicd_core_dynamodb.checking import Care
    from cicd_core_dynamodb.tables import Table

    #: Called with the changes of a table: its name, and a short text.
    Tell = Callable[[str, str], None]

#: How many seconds the creation or deletion of a table may take, and between two looks at it.
PATIENCE: Final = 600.0
PAUSE: Final = 0.5


class TableMaker:
    """Creates tables, and completes those whose creation was interrupted."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def existing(self) -> set[str]:
        """Return the names of all tables of the account and region."""
        answer = await self._calls("list_tables")
        there = set(answer["TableNames"])
        while answer.get("LastEvaluatedTableName"):
            last = answer["LastEvaluatedTableName"]
            answer = await self._calls("list_tables", ExclusiveStartTableName=last)
            there |= set(answer["TableNames"])
        return there

    async def make(self, table: Table, care: Care, tell: Tell) -> bool:
        """Create and complete a table; False: another process was faster, and it is complete too.

        Raises:
            StoreUnavailable: it is not ready after ten minutes.
        """
        name = self._calls.table(table.name)
        parameters = table.definition(self._calls.table("")) | _care_parameters(care)
        try:
            await self._calls("create_table", **parameters)
            made = True
        except TableExists:
            made = False
        tell(name, "is being created" if made else "is being created by another process")
        await self.complete(table, care, tell)
        tell(name, "is ready")
        return made

    async def complete(self, table: Table, care: Care, tell: Tell) -> None:
        """Turn on the missing features of a table: its retention, and backups if needed.

        A table whose retention uses another attribute does not change: ``check`` reports it.
        """
        name = self._calls.table(table.name)
        await self.settle(name)
        if await self._begin_retention(name):
            tell(name, "removes expired items")
        if not care.recovery or not table.recoverable:
            return
        backed_up = await self.is_backed_up(name)
        if backed_up is None:
            tell(name, "is not backed up: this engine has no backups")
        elif not backed_up:
            tell(name, "is backed up" if await self._back_up(name) else "is not backed up")

    async def settle(self, name: str) -> None:
        """Wait until a table and its indexes can be used."""
        until = monotonic_seconds() + PATIENCE
        while True:
            described = (await self._calls("describe_table", TableName=name))["Table"]
            of_indexes = (index["IndexStatus"] for index in indexes_of(described))
            states: list[str] = [described["TableStatus"], *of_indexes]
            if all(state == "ACTIVE" for state in states):
                return
            if monotonic_seconds() > until:
                raise StoreUnavailable(f"the table {name!r} is {'/'.join(sorted(set(states)))}")
            await sleep(PAUSE)

    async def is_backed_up(self, name: str) -> bool | None:
        """Whether a table is backed up continuously; None: this engine has no backups."""
        try:
            answer = await self._calls("describe_continuous_backups", TableName=name)
        except StoreError as refused:
            if not _is_unknown(refused):
                raise
            return None
        recovery = answer["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
        return bool(recovery.get("PointInTimeRecoveryStatus") == "ENABLED")

    async def _begin_retention(self, name: str) -> bool:
        if await self._has_retention(name):
            return False
        parameters = {"Enabled": True, "AttributeName": TTL_ATTRIBUTE}
        try:
            await self._calls(
                "update_time_to_live", TableName=name, TimeToLiveSpecification=parameters
            )
        except StoreError:
            if not await self._has_retention(name):
                raise
            return False  # another process has turned it on meanwhile
        return True

    async def _has_retention(self, name: str) -> bool:
        answer = await self._calls("describe_time_to_live", TableName=name)
        return answer["TimeToLiveDescription"].get("TimeToLiveStatus") in ON

    async def _back_up(self, name: str) -> bool:
        parameters = {"PointInTimeRecoveryEnabled": True}
        try:
            await self._calls(
                "update_continuous_backups",
                TableName=name,
                PointInTimeRecoverySpecification=parameters,
            )
        except StoreError as refused:
            if not _is_unknown(refused):
                raise
            return False
        return True


def _care_parameters(care: Care) -> dict[str, Any]:
    parameters: dict[str, Any] = {"DeletionProtectionEnabled": care.deletion_protection}
    if care.kms_key is not None:
        parameters["SSESpecification"] = {
            "Enabled": True,
            "SSEType": "KMS",
            "KMSMasterKeyId": care.kms_key,
        }
    if care.tags:
        parameters["Tags"] = [{"Key": key, "Value": value} for key, value in care.tags.items()]
    return parameters


def _is_unknown(refused: StoreError) -> bool:
    """Whether an engine does not know an operation."""
    answer: dict[str, Any] = getattr(refused.__cause__, "response", None) or {}
    return bool(answer.get("Error", {}).get("Code") == "UnknownOperationException")
