"""Several stores on the same data at the same time, as in several processes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import anyio

from cicd_core.store.records import Query, Renewal
from cicd_core.testing.samples import ITEMS, PLAIN, claim, commit, in_lane, plain, watch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cicd_core.store.contract import Store

#: Number of stores on the same data in a race.
CREW: Final = 4
#: Number of concurrent calls of a verb before a race.
_WARM: Final = 2


async def at_once(*deeds: Callable[[], Awaitable[object]]) -> None:
    """Run all calls concurrently, and wait for all of them."""

    async def do(deed: Callable[[], Awaitable[object]]) -> None:
        await deed()

    async with anyio.create_task_group() as tasks:
        for deed in deeds:
            tasks.start_soon(do, deed)


async def warm(store: Store) -> None:
    """Call every verb, several times at once, so that a race does not wait for connections.

    A store that connects on its first call would answer 32 concurrent calls one by one.
    """
    await at_once(
        *[partial(store.get, PLAIN.name, ["warm"])] * _WARM,
        *[partial(store.renew, [renewal_of_nothing()])] * _WARM,
        *[partial(store.claim, claim(0))] * _WARM,
        *[partial(store.commit, [commit(plain("warm", expected=1))])] * _WARM,
        partial(store.page, Query(partition=in_lane(), limit=1)),
        partial(store.count, [in_lane()]),
        partial(store.counters, "none"),
        partial(store.read_log, None, 1),
        partial(store.wait, [watch(in_lane("none"))], 0),
    )


def renewal_of_nothing() -> Renewal:
    """Return a renewal of a missing record."""
    return Renewal(collection=ITEMS.name, key="warm", claim_id="warm", duration=1)
