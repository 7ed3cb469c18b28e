"""The checks of each new connection: whether its server can keep the promises of the store.

Another server may answer at the same address a moment later: after a failover, or a restart with
other settings, or with other rights of its user. So every connection is checked completely, in one
round trip, before its first call.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from redis.exceptions import BusyLoadingError, RedisError

from cicd_core.errors import (
    SchemaTooNew,
    SchemaTooOld,
    StoreError,
    UnrecognizedDatabase,
    UnsupportedCapability,
)
from cicd_core_redis.codec import packed
from cicd_core_redis.durability import SETTINGS, check_durability, concern_of
from cicd_core_redis.failures import of_a_cluster
from cicd_core_redis.keys import meta_key
from cicd_core_redis.scripts import rights_text
from cicd_core_redis.server_facts import ServerFacts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cicd_core_redis.codec import Answer, Argument
    from cicd_core_redis.connecting import Connection
    from cicd_core_redis.location import Location

_log = logging.getLogger("cicd_core_redis")

#: The version of the layout that ``keys.py`` describes.
SCHEMA: Final = 6
#: The oldest server that can run the scripts.
_OLDEST: Final = (7, 0)


class NothingThere(StoreError):
    """The namespace does not exist, and may not be created."""

    retryable = False
    recoverable = False


class Handshake:
    """Opens connections of a store, and refuses a server that does not pass the checks."""

    def __init__(self, location: Location) -> None:
        self._location = location
        self._meta = meta_key(location.namespace)
        #: The warning about the last server's durability.
        self.concern: str | None = None
        self._greeted = False
        #: Whether this object has created the namespace.
        self.has_created = False

    async def connect(self) -> Connection:
        """Return a connection to a server with the requested durability and the library's layout.

        Raises:
            RedisError, OSError: there is no connection, or the server cannot answer yet.
            UnsupportedCapability: the server is too old, has less durability than requested, evicts
                keys when its memory is full, denies a needed right, or is part of a cluster.
            UnrecognizedDatabase, SchemaTooNew, SchemaTooOld: the namespace has another layout.
        """
        source = self._location.source
        connection = await source.connect()
        try:
            async with asyncio.timeout(self._location.timeout):
                await self._check(connection)
        except BaseException:
            await source.disconnect(connection)
            raise
        return connection

    async def _check(self, connection: Connection) -> None:
        where, wanted = self._location.source.where, self._location.durability
        confirming = 1 if self._location.confirming else 0
        info, rights, schema, *settings = await _ask(
            connection,
            (b"INFO",),
            (b"EVAL", rights_text(), 1, self._meta, 0, 0, confirming),
            (b"HGET", self._meta, b"schema"),
            *((b"CONFIG", b"GET", name) for name in SETTINGS),
        )
        facts = ServerFacts.of(_sound(info), settings)
        if facts.is_loading:  # until it has loaded, it reports no append-only file
            raise BusyLoadingError("it is loading its data")
        self._check_server(facts, where)
        check_durability(facts, wanted, where)
        self._check_rights(_sound(rights))
        await self._check_schema(connection, _sound(schema))
        self._warn(concern_of(facts, wanted, where))

    def _warn(self, concern: str | None) -> None:
        """Log a new concern on a reconnect; the caller that opens the store warns of the first."""
        if self._greeted and concern is not None and concern != self.concern:
            _log.warning("%s", concern)
        self.concern, self._greeted = concern, True

    def _check_server(self, facts: ServerFacts, where: str) -> None:
        if facts.version is not None and facts.version < _OLDEST:
            version = ".".join(map(str, facts.version))
            raise UnsupportedCapability(f"{where} is Redis {version}: 7.0 or newer is needed")
        if facts.is_in_cluster and not self._location.source.in_cluster:
            raise of_a_cluster(where, "its keys may move to another node")
        if facts.evicts_ours:
            raise UnsupportedCapability(
                f"{where} evicts keys when its memory is full (maxmemory-policy "
                f"{facts.eviction}): jobs would be lost; set maxmemory-policy to noeviction"
            )

    def _check_rights(self, answer: Sequence[bytes]) -> None:
        """Refuse a user who lacks the right to a command of a script."""
        if forbidden := answer[1:]:  # after the time, which this script leaves empty
            names = ", ".join(sorted(name.decode() for name in forbidden))
            raise UnsupportedCapability(
                f"{self._location.source.where} denies its user rights that the store needs "
                f"({names}, or their keys or channels): give the user the rights listed in "
                f"'Run on Redis' in the documentation"
            )

    async def _check_schema(self, connection: Connection, found: bytes | None) -> None:
        """Mark a new namespace with the version of its layout, or refuse another version.

        A missing namespace is refused if the first connection may not create one.
        """
        name = f"namespace {self._location.namespace or ''!r}"
        if found is None and not (self._location.create or self._greeted):
            raise NothingThere(f"there is no data of the {name}; check the URL and the namespace")
        if found is None:
            (marked,) = await _ask(connection, (b"HSETNX", self._meta, b"schema", SCHEMA))
            self.has_created = self.has_created or _sound(marked) == 1
            if self._greeted:
                _log.error(
                    "%s has no data of the %s: the server lost its data, or is a different one",
                    self._location.source.where,
                    name,
                )
        elif not found.isdigit():
            raise UnrecognizedDatabase(
                f"{self._location.source.where} has a key {self._meta.decode()!r} of another "
                f"program; nothing was changed; choose another namespace"
            )
        elif int(found) > SCHEMA:
            raise SchemaTooNew(name, int(found), SCHEMA)
        elif int(found) < SCHEMA:
            raise SchemaTooOld(name, int(found), SCHEMA)


async def _ask(connection: Connection, *commands: Sequence[Argument]) -> list[Answer]:
    """Send commands in one write, and return their answers; a refusal is also an answer."""
    data = [part for command in commands for part in (b"*%d\r\n" % len(command), packed(command))]
    await connection.send_packed_command(data, check_health=False)
    return [await _answer(connection) for _ in commands]


async def _answer(connection: Connection) -> Answer:
    try:
        return await connection.read_response(
            disable_decoding=True, timeout=float("inf"), disconnect_on_error=False
        )
    except RedisError as refusal:
        if isinstance(refusal, ConnectionError | OSError):
            raise
        return refusal


def _sound(answer: Answer) -> Answer:
    if isinstance(answer, Exception):
        raise answer
    return answer
