"""A store belongs to one event loop; another one is refused, and takes a sibling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from cicd_core.errors import UnsupportedCapability
from cicd_core.testing.samples import item, read, write
from tests.redis.stores import opened

if TYPE_CHECKING:
    from tests.redis.engines import Server

pytestmark = pytest.mark.anyio


async def test_a_call_from_another_event_loop_is_refused_and_a_sibling_is_not(
    server: Server,
) -> None:
    async with opened(server.url) as store:
        await write(store, item("a"))

        async def elsewhere() -> None:
            with pytest.raises(UnsupportedCapability, match="sibling"):
                await read(store, "a")
            async with store.sibling() as sibling:
                assert (await read(sibling, "a")).key == "a"

        await anyio.to_thread.run_sync(anyio.run, elsewhere)
        assert (await read(store, "a")).key == "a"
