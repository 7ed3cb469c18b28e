"""Several who use the same data at the same time, as the services of several processes do."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

import anyio

from cicd_core.store.records import Query, Renewal
from cicd_core.testing.samples import ITEMS, PLAIN, claim, commit, in_lane, plain, watch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cicd_core.store.contract import Store

#: How many stores on the same data take part in a race.
CREW: Final = 4
#: How many calls of a verb are made at once before a race.
_WARM: Final = 2


async def at_once(*deeds: Callable[[], Awaitable[object]]) -> None:
    """Do everything at the same time, until all of it is done."""

    async def do(deed: Callable[[], Awaitable[object]]) -> None:
        await deed()

    async with anyio.create_task_group() as tasks:
        for deed in deeds:
            tasks.start_soon(do, deed)


async def warm(store: Store) -> None:
    """Call every verb, several at once, so that a race does not wait for connections to be made.

    A store that connects when it is first asked would answer "32 at once" one by one.
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
    """Return a renewal of what does not exist."""
    return Renewal(collection=ITEMS.name, key="warm", claim_id="warm", duration=1)
