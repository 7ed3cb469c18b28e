"""Values one over a limit are refused by every verb of every handle."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from math import nan
from typing import TYPE_CHECKING, Any, Final

import pytest

from cicd_core.control_plane.plane import ControlPlane
from cicd_core.errors import InvalidInput
from cicd_core.store.limits import MAX_DURATION, MAX_INSTANT, MAX_ITEMS
from cicd_core.store.records import (
    MAX_COMMIT_BYTES,
    MAX_KEY_BYTES,
    MAX_RECORD_BYTES,
    MAX_WRITES,
    Increment,
    Index,
    Lease,
    Partition,
    Query,
    Renewal,
)
from cicd_core.testing.conformance.suite import Suite
from cicd_core.testing.harness import checked
from cicd_core.testing.samples import (
    ITEMS,
    claim,
    commit,
    event_of,
    find,
    in_lane,
    item,
    plain,
    watch,
)
from cicd_core.testing.tracing import untraced
from cicd_core.values import evolve

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from cicd_core.store.contract import Store

KEY: Final = "k" * (MAX_KEY_BYTES + 1)
BODY: Final = b"x" * (MAX_RECORD_BYTES + 1)
NO_INDEX: Final = Partition(ITEMS.name, Index("colour", "rank"), "red")
#: Invalid partitions.
PARTITIONS: Final = {"value": in_lane(KEY), "index": NO_INDEX, "empty value": in_lane("")}
#: The largest body, and the number of them that is too large together.
WHOLE: Final = b"x" * MAX_RECORD_BYTES
MANY: Final = range(MAX_COMMIT_BYTES // MAX_RECORD_BYTES + 1)

#: A lease that expires after its limit.
LATE: Final = Lease(claim_id="c", granted=0, renewed=0, expires=2, limit=1)


def renewal(**fields: Any) -> Renewal:
    """Return a renewal of an item."""
    return evolve(Renewal(collection=ITEMS.name, key="a", claim_id="c", duration=1), **fields)


def query(**fields: Any) -> Query:
    """Return the query of a lane."""
    return evolve(Query(partition=in_lane(), limit=1), **fields)


#: Commits over a limit, each in one value.
COMMITS: Final = {
    "id": lambda: commit(item("a"), commit_id=KEY),
    "writes": lambda: commit(*(plain(f"k{number}") for number in range(MAX_WRITES + 1))),
    "no put": commit,
    "bytes": lambda: commit(*(plain(f"k{number}", body=WHOLE) for number in MANY)),
    "key": lambda: commit(plain(KEY)),
    "body": lambda: commit(plain("a", body=BODY)),
    "expected": lambda: commit(plain("a", expected=MAX_INSTANT + 1)),
    "negative expected": lambda: commit(plain("a", expected=-1)),
    "expires_at": lambda: commit(plain("a", expires_at=MAX_INSTANT + 1)),
    "lease_limit": lambda: commit(item("a", lease_limit=MAX_DURATION + 1)),
    "lease": lambda: commit(item("a", lease=LATE)),
    "attribute": lambda: commit(item("a", lane=KEY)),
    "unknown attribute": lambda: commit(plain("a", attributes={"lane": "main"})),
    "event": lambda: commit(item("a"), events=[event_of("a", body=BODY)]),
    "ordinal": lambda: commit(item("a"), events=[event_of("a", MAX_INSTANT + 1)]),
    "counter": lambda: commit(item("a"), increments=[Increment(KEY)]),
    "amount": lambda: commit(item("a"), increments=[Increment("n", MAX_INSTANT + 1)]),
}
CLAIMS: Final[dict[str, dict[str, Any]]] = {
    "id": {"claim_id": KEY},
    "limit": {"limit": MAX_ITEMS + 1},
    "negative limit": {"limit": -1},
    "duration": {"duration": MAX_DURATION + 1},
    "no duration": {"duration": 0},
    "lease_limit": {"lease_limit": MAX_DURATION + 1},
    "grant": {"grant": BODY},
    "partition": {"partitions": (KEY,)},
    "collection": {"collection": "none"},
    "index": {"index": NO_INDEX.index},
    "patch": {"patch": {"rank": "5:a"}},
    "patch value": {"patch": {"lane": KEY}},
}
RENEWALS: Final[dict[str, dict[str, Any]]] = {
    "key": {"key": KEY},
    "id": {"claim_id": KEY},
    "duration": {"duration": MAX_DURATION + 1},
    "no duration": {"duration": 0},
    "collection": {"collection": "none"},
}
QUERIES: Final[dict[str, dict[str, Any]]] = {
    "limit": {"limit": MAX_ITEMS + 1},
    "no limit": {"limit": 0},
    "after": {"after": KEY},
    "before": {"before": KEY},
    **{name: {"partition": partition} for name, partition in PARTITIONS.items()},
}
WAITS: Final = {
    "after": watch(in_lane(), after=KEY),
    "turn": watch(in_lane(), turn=KEY),
    **{name: watch(partition) for name, partition in PARTITIONS.items()},
}


def calls() -> dict[str, Callable[[Store], Coroutine[Any, Any, Any]]]:
    """Return a call of each verb with arguments for each limit, one over it."""
    found: dict[str, Callable[[Store], Coroutine[Any, Any, Any]]] = {
        "get: key": lambda store: store.get(ITEMS.name, ["a", KEY]),
        "get: empty key": lambda store: store.get(ITEMS.name, [""]),
        "get: collection": lambda store: store.get("none", ["a"]),
        "counters: prefix": lambda store: store.counters(KEY),
        "read_log: limit": lambda store: store.read_log(None, MAX_ITEMS + 1),
        "read_log: no limit": lambda store: store.read_log(None, 0),
        "wait: timeout": lambda store: store.wait([watch(in_lane())], -0.001),
        "wait: no number": lambda store: store.wait([watch(in_lane())], nan),
    }
    for name, make in COMMITS.items():
        found[f"commit: {name}"] = partial(_commit, make)
    for name, fields in CLAIMS.items():
        found[f"claim: {name}"] = partial(_claim, fields)
    for name, fields in RENEWALS.items():
        found[f"renew: {name}"] = partial(_renew, fields)
    for name, fields in QUERIES.items():
        found[f"page: {name}"] = partial(_page, fields)
    for name, partition in PARTITIONS.items():
        found[f"count: {name}"] = partial(_count, partition)
    for name, asked in WAITS.items():
        found[f"wait: {name}"] = partial(_wait, asked)
    return found


def _commit(make: Callable[[], Any], store: Store) -> Coroutine[Any, Any, Any]:
    return store.commit([commit(item("good")), make()])


def _claim(fields: dict[str, Any], store: Store) -> Coroutine[Any, Any, Any]:
    return store.claim(evolve(claim(), **fields))


def _renew(fields: dict[str, Any], store: Store) -> Coroutine[Any, Any, Any]:
    return store.renew([renewal(), renewal(**fields)])


def _page(fields: dict[str, Any], store: Store) -> Coroutine[Any, Any, Any]:
    return store.page(query(**fields))


def _count(partition: Partition, store: Store) -> Coroutine[Any, Any, Any]:
    return store.count([in_lane(), partition])


def _wait(asked: Any, store: Store) -> Coroutine[Any, Any, Any]:
    return store.wait([watch(in_lane()), asked], 0)


class LimitPromises(Suite):
    """Every limit applies to every verb, on every handle."""

    @pytest.mark.parametrize("handle", ["store", "sibling", "control plane", "sibling plane"])
    async def test_a_value_beyond_a_limit_is_refused_and_nothing_is_done(
        self, store: Store, handle: str
    ) -> None:
        async with AsyncExitStack() as stack:
            asked = await _handle(store, handle, stack)
            taken = [name for name, call in calls().items() if not await _is_refused(call, asked)]
        assert taken == []
        assert await find(store, "good") is None


async def _handle(store: Store, handle: str, stack: AsyncExitStack) -> Store:
    """Return a store as a caller gets it; a control plane gets only the backend."""
    if handle == "store":
        return store
    if handle == "sibling":
        return await stack.enter_async_context(store.sibling())
    plane = ControlPlane(checked(untraced(store)).backend)
    if handle == "sibling plane":
        plane = await stack.enter_async_context(plane.sibling())
    return plane.store


async def _is_refused(call: Callable[[Store], Coroutine[Any, Any, Any]], store: Store) -> bool:
    try:
        await call(store)
    except InvalidInput:
        return True
    return False
