"""Redis stores as the tests open them, and what several of them do to one."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio.lowlevel
import pytest

from cicd_core.errors import CicdError, StoreUnavailable
from cicd_core.store.records import Increment
from cicd_core.store.registry import open_store
from cicd_core.testing.samples import (
    COLLECTIONS,
    IDS,
    commit,
    event_of,
    in_lane,
    item,
    keys_in,
    whole_log,
    write,
)
from tests.redis.sentinels import SERVICE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from cicd_core.store.contract import Store
    from cicd_core.store.records import Commit
    from tests.redis.engines import Server

Answer = TypeVar("Answer")

#: What a commit adds to the counter that :func:`sum_of_ones` reads.
ONE: Final = Increment("ones|all", 1)
#: A limit for calls whose answers never come, in seconds.
SOON: Final = 0.05
#: Turns of the event loop in which every end of a connection on this machine has arrived.
_TURNS: Final = 50


def opened(url: str, **options: Any) -> AbstractAsyncContextManager[Store]:
    """Open a store of the suite's collections, by default in a namespace of its own."""
    words: dict[str, Any] = {"namespace": IDS.commit_id(), "durability": "none", **options}
    return open_store(url, collections=COLLECTIONS, **words)


@asynccontextmanager
async def opened_hasty(url: str, **options: Any) -> AsyncGenerator[Store, None]:
    """Open a store that gives a call up soon; on a busy machine its opening takes several tries."""
    words = {"namespace": IDS.commit_id(), "call_timeout": SOON, **options}
    async with AsyncExitStack() as stack:
        yield await insist(lambda: stack.enter_async_context(opened(url, **words)))


def sentinel_url(sentinels: Sequence[Server]) -> str:
    """Return the URL of the servers that some sentinels watch."""
    return f"redis+sentinel://{places(sentinels)}/{SERVICE}/0"


def cluster_url(nodes: Sequence[Server]) -> str:
    """Return the URL of a Cluster by some of its nodes."""
    return f"redis+cluster://{places(nodes)}"


def places(servers: Sequence[Server]) -> str:
    """Return the hosts and ports of servers, as a URL has them."""
    return ",".join(f"127.0.0.1:{each.port}" for each in servers)


def set_clock(server: Server, namespace: str, seconds: float) -> None:
    """Make of a namespace's elapsed time what a server's clock that was set so would make of it.

    No test may set the clock of this machine; but a script sees the sum of that clock and of the
    offset that the namespace keeps, so that the offset serves as well.
    """
    key = f"cicd:{{{namespace}}}:meta"
    server.ask("HINCRBY", key, "offset", round(seconds * 1_000_000))


async def settle() -> None:
    """Let this event loop do all that it can do without anybody's help."""
    for _ in range(_TURNS):
        await anyio.lowlevel.checkpoint()
    await anyio.wait_all_tasks_blocked()


async def sum_of_ones(store: Store) -> int:
    """Return how many times :data:`ONE` was added."""
    return (await store.counters("ones|")).values.get(ONE.name, 0)


async def number_of_events(store: Store) -> int:
    """Return how many events the log holds."""
    return len(await whole_log(store))


async def insist(call: Callable[[], Awaitable[Answer]]) -> Answer:
    """Make a call until it is answered, as the services do, but without a pause."""
    while True:
        try:
            return await call()
        except StoreUnavailable:
            await anyio.lowlevel.checkpoint()


def one_commit(key: str = "a") -> Commit:
    """Return a commit of an item whose every effect can be counted."""
    return commit(item(key), events=[event_of(key)], increments=[ONE])


async def works(store: Store) -> bool:
    """Whether a store that is new keeps a record."""
    await write(store, item("kept"))
    return await keys_in(store, in_lane()) == ["kept"]


async def refused(url: str, **options: Any) -> CicdError:
    """Return the error that opening a store raises."""
    with pytest.raises(CicdError) as caught:
        async with opened(url, **options):
            pass
    return caught.value
