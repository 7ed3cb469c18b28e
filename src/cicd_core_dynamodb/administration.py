"""Administration of a store's tables: create, check and delete them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from anyio import sleep

from cicd_core.clock import monotonic_seconds
from cicd_core.errors import OperationRejected, StoreUnavailable
from cicd_core_dynamodb.calls import all_of
from cicd_core_dynamodb.checking import Live, findings
from cicd_core_dynamodb.opening import new_calls, new_client
from cicd_core_dynamodb.table_making import PATIENCE, PAUSE, TableMaker

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from cicd_core_dynamodb.calls import Calls
    from cicd_core_dynamodb.checking import Care, TableFinding
    from cicd_core_dynamodb.location import Location
    from cicd_core_dynamodb.table_making import Tell
    from cicd_core_dynamodb.tables import Table


class Tables:
    """The tables of one prefix."""

    def __init__(self, calls: Calls, tables: Sequence[Table]) -> None:
        self._calls = calls
        self._maker = TableMaker(calls)
        self._tables = tuple(tables)

    @property
    def names(self) -> list[str]:
        """The names of the tables, with the prefix."""
        return [self._calls.table(table.name) for table in self._tables]

    async def there(self) -> list[str]:
        """Return the names of the tables that exist."""
        found = await self._maker.existing()
        return [name for name in self.names if name in found]

    async def create(self, care: Care, tell: Tell) -> list[str]:
        """Create the missing tables concurrently; return their names.

        On existing tables, turn on missing retention and backups: the process that created
        them may have stopped before that. Nothing else changes.

        Raises:
            StoreUnavailable: a table is not ready after ten minutes.
        """
        there = await self._maker.existing()
        names = {table: self._calls.table(table.name) for table in self._tables}
        for name in sorted(there.intersection(names.values())):
            tell(name, "exists already")
        begun = [table for table, name in names.items() if name in there]
        missing = [table for table, name in names.items() if name not in there]
        await all_of(partial(self._maker.complete, table, care, tell) for table in begun)
        made = await all_of(partial(self._maker.make, table, care, tell) for table in missing)
        return [names[table] for table, ours in zip(missing, made, strict=True) if ours]

    async def check(self, care: Care) -> list[TableFinding]:
        """Compare the tables with the needs of the code; return the required changes."""
        there = await self._maker.existing()
        lives = await all_of(partial(self._live, table, there) for table in self._tables)
        return [
            finding
            for table, live in zip(self._tables, lives, strict=True)
            for finding in findings(self._calls.table(table.name), table, live, care)
        ]

    async def delete(self, tell: Tell, *, unprotect: bool) -> list[str]:
        """Delete the tables with all their data; return the names of the deleted tables.

        Raises:
            OperationRejected: a table is protected and ``unprotect`` is false; nothing was deleted.
            StoreUnavailable: a table still exists after ten minutes.
        """
        names = await self.there()
        protected = [name for name in names if await self._is_protected(name)]
        if protected and not unprotect:
            raise OperationRejected(
                f"protected against deletion: {', '.join(protected)}; nothing was deleted. "
                f"Turn off the protection, for example with --unprotect"
            )
        for name in protected:
            await self._calls("update_table", TableName=name, DeletionProtectionEnabled=False)
            await self._maker.settle(name)
        await all_of(partial(self._delete, name, tell) for name in names)
        return names

    async def _live(self, table: Table, there: set[str]) -> Live | None:
        name = self._calls.table(table.name)
        if name not in there:
            return None
        described = await self._calls("describe_table", TableName=name)
        retention = await self._calls("describe_time_to_live", TableName=name)
        return Live(
            table=described["Table"],
            retention=retention["TimeToLiveDescription"],
            recovery=await self._maker.is_backed_up(name),
        )

    async def _is_protected(self, name: str) -> bool:
        described = await self._calls("describe_table", TableName=name)
        return bool(described["Table"].get("DeletionProtectionEnabled"))

    async def _delete(self, name: str, tell: Tell) -> None:
        await self._calls("delete_table", TableName=name)
        tell(name, "is being deleted")
        until = monotonic_seconds() + PATIENCE
        while name in await self._maker.existing():
            if monotonic_seconds() > until:
                raise StoreUnavailable(f"the table {name!r} still exists")
            await sleep(PAUSE)
        tell(name, "is deleted")


@asynccontextmanager
async def administered(location: Location, tables: Sequence[Table]) -> AsyncGenerator[Tables, None]:
    """Open a client for the tables of a location.

    Raises:
        UnsupportedCapability: the driver, the region or the credentials are missing.
    """
    async with new_client(location) as client:
        yield Tables(new_calls(client, location), tables)
