"""The tables of a store, from outside: make them, describe them, delete them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from anyio import sleep

from cicd_core.clock import monotonic_seconds
from cicd_core.errors import Refused, StoreError, StoreUnavailable
from cicd_core_dynamodb.calls import all_of
from cicd_core_dynamodb.checking import Care, Live, findings, indexes_of
from cicd_core_dynamodb.failures import TableExists
from cicd_core_dynamodb.opening import new_calls, new_client
from cicd_core_dynamodb.tables import TTL_ATTRIBUTE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from cicd_core_dynamodb.calls import Calls
    from cicd_core_dynamodb.checking import Finding
    from cicd_core_dynamodb.location import Location
    from cicd_core_dynamodb.tables import Table

    #: Is told what happens to a table: its name, and a few words.
    Tell = Callable[[str, str], None]

#: How many seconds a table may take to be made or deleted, and between two looks at it.
_PATIENCE: Final = 600.0
_PAUSE: Final = 0.5


class Tables:
    """The tables of one prefix."""

    def __init__(self, calls: Calls, tables: Sequence[Table]) -> None:
        """Take the client, and which tables these are."""
        self._calls = calls
        self._tables = tuple(tables)

    @property
    def names(self) -> list[str]:
        """What they are called."""
        return [self._calls.table(table.name) for table in self._tables]

    async def there(self) -> list[str]:
        """Return the names of those that exist."""
        found = await self._existing()
        return [name for name in self.names if name in found]

    async def create(self, care: Care, tell: Tell) -> list[str]:
        """Make the tables that are missing, all at once; return the names of those made.

        Raises:
            StoreUnavailable: one is not ready after ten minutes.
        """
        there = await self._existing()
        missing = [table for table in self._tables if self._calls.table(table.name) not in there]
        for name in sorted(there & set(self.names)):
            tell(name, "is there already, and stays as it is")
        made = await all_of(partial(self._create, table, care, tell) for table in missing)
        return [name for name in made if name is not None]

    async def check(self, care: Care) -> list[Finding]:
        """Compare the tables with what the code needs; return what to change."""
        there = await self._existing()
        lives = await all_of(partial(self._live, table, there) for table in self._tables)
        return [
            finding
            for table, live in zip(self._tables, lives, strict=True)
            for finding in findings(self._calls.table(table.name), table, live, care)
        ]

    async def delete(self, tell: Tell, *, unprotect: bool) -> list[str]:
        """Delete the tables, with all that they hold; return the names of those deleted.

        Raises:
            Refused: one is protected, and ``unprotect`` is false; nothing was deleted.
            StoreUnavailable: one is still there after ten minutes.
        """
        names = await self.there()
        protected = [name for name in names if await self._is_protected(name)]
        if protected and not unprotect:
            raise Refused(
                f"protected against deletion: {', '.join(protected)}; nothing was deleted. "
                f"Turn the protection off, as --unprotect does"
            )
        for name in protected:
            await self._calls("update_table", TableName=name, DeletionProtectionEnabled=False)
            await self._settle(name)
        await all_of(partial(self._delete, name, tell) for name in names)
        return names

    async def _create(self, table: Table, care: Care, tell: Tell) -> str | None:
        name = self._calls.table(table.name)
        words = table.definition(self._calls.table("")) | _care_words(care)
        try:
            await self._calls("create_table", **words)
        except TableExists:
            tell(name, "is being made by somebody else")
            return None
        tell(name, "is being made")
        await self._settle(name)
        retention = {"Enabled": True, "AttributeName": TTL_ATTRIBUTE}
        await self._calls("update_time_to_live", TableName=name, TimeToLiveSpecification=retention)
        if care.recovery and table.recoverable and not await self._back_up(name):
            tell(name, "is not backed up: this engine knows no backups")
        tell(name, "is ready")
        return name

    async def _settle(self, name: str) -> None:
        """Wait until a table and its indexes can be used."""
        until = monotonic_seconds() + _PATIENCE
        while True:
            described = (await self._calls("describe_table", TableName=name))["Table"]
            of_indexes = (each["IndexStatus"] for each in indexes_of(described))
            states: list[str] = [described["TableStatus"], *of_indexes]
            if all(state == "ACTIVE" for state in states):
                return
            if monotonic_seconds() > until:
                raise StoreUnavailable(f"the table {name!r} is {'/'.join(sorted(set(states)))}")
            await sleep(_PAUSE)

    async def _back_up(self, name: str) -> bool:
        words = {"PointInTimeRecoveryEnabled": True}
        try:
            await self._calls(
                "update_continuous_backups",
                TableName=name,
                PointInTimeRecoverySpecification=words,
            )
        except StoreError as refused:
            if not _is_unknown(refused):
                raise
            return False
        return True

    async def _live(self, table: Table, there: set[str]) -> Live | None:
        name = self._calls.table(table.name)
        if name not in there:
            return None
        described = await self._calls("describe_table", TableName=name)
        retention = await self._calls("describe_time_to_live", TableName=name)
        return Live(
            table=described["Table"],
            retention=retention["TimeToLiveDescription"],
            recovery=await self._is_backed_up(name),
        )

    async def _is_backed_up(self, name: str) -> bool | None:
        try:
            answer = await self._calls("describe_continuous_backups", TableName=name)
        except StoreError as refused:
            if not _is_unknown(refused):
                raise
            return None
        told = answer["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
        return bool(told.get("PointInTimeRecoveryStatus") == "ENABLED")

    async def _is_protected(self, name: str) -> bool:
        described = await self._calls("describe_table", TableName=name)
        return bool(described["Table"].get("DeletionProtectionEnabled"))

    async def _delete(self, name: str, tell: Tell) -> None:
        await self._calls("delete_table", TableName=name)
        tell(name, "is being deleted")
        until = monotonic_seconds() + _PATIENCE
        while name in await self._existing():
            if monotonic_seconds() > until:
                raise StoreUnavailable(f"the table {name!r} is still there")
            await sleep(_PAUSE)
        tell(name, "is deleted")

    async def _existing(self) -> set[str]:
        answer = await self._calls("list_tables")
        there = set(answer["TableNames"])
        while answer.get("LastEvaluatedTableName"):
            last = answer["LastEvaluatedTableName"]
            answer = await self._calls("list_tables", ExclusiveStartTableName=last)
            there |= set(answer["TableNames"])
        return there


@asynccontextmanager
async def administered(location: Location, tables: Sequence[Table]) -> AsyncGenerator[Tables, None]:
    """Open a client for the tables of a place.

    Raises:
        UnsupportedCapability: the driver, the region or the credentials are missing.
    """
    async with new_client(location) as client:
        yield Tables(new_calls(client, location), tables)


def _care_words(care: Care) -> dict[str, Any]:
    words: dict[str, Any] = {"DeletionProtectionEnabled": care.deletion_protection}
    if care.kms_key is not None:
        words["SSESpecification"] = {
            "Enabled": True,
            "SSEType": "KMS",
            "KMSMasterKeyId": care.kms_key,
        }
    if care.tags:
        words["Tags"] = [{"Key": key, "Value": value} for key, value in care.tags.items()]
    return words


def _is_unknown(refused: StoreError) -> bool:
    """Whether an engine does not know an operation."""
    answer: dict[str, Any] = getattr(refused.__cause__, "response", None) or {}
    return bool(answer.get("Error", {}).get("Code") == "UnknownOperationException")
