"""A store that is asked as the services ask: again, with the same ids, while it is unavailable."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import anyio

from cicd_core.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from cicd_core.store.contract import Store

Answer = TypeVar("Answer")

#: How often a call is made again that the store could not answer under load.
_ATTEMPTS: Final = 8


class _Patient:
    """A store whose verbs are asked again, with the same ids, while it is unavailable."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._store, name)
        return verb if name == "sibling" else partial(patiently, verb)


def as_services_ask(store: Store) -> Store:
    """Return a store that is asked as the services ask: patiently, a few times."""
    return cast("Store", _Patient(store))


async def patiently(verb: Callable[..., Awaitable[Answer]], *words: Any) -> Answer:
    """Call a verb again while the store is unavailable: many at once may be too many for it."""
    for attempt in range(_ATTEMPTS):
        try:
            return await verb(*words)
        except StoreUnavailable:
            await anyio.sleep(0.002 * 2**attempt)
    return await verb(*words)
