"""Opens the memory store by URL: a new store, or one that is shared by name."""

from __future__ import annotations

import os
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from attrs import define

from cicd_core.errors import InvalidInput
from cicd_core.store.memory.store import LOG_RETENTION, MemoryBackend

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from cicd_core.clock import Clock
    from cicd_core.store.contract import Store
    from cicd_core.store.records import Collection
    from cicd_core.store.registry import StoreURL

#: The name in the URL, and the namespace.
_Name = tuple[str, str]


@define
class _Shared:
    store: MemoryBackend
    users: int = 0


_lock = threading.Lock()
_shared: dict[_Name, _Shared] = {}


@asynccontextmanager
async def open_memory(
    url: StoreURL,
    *,
    collections: tuple[Collection, ...],
    namespace: str | None = None,
    clock: Clock | None = None,
    log_retention: float | None = None,
) -> AsyncGenerator[Store, None]:
    """Open a memory store.

    ``memory://`` is a new store each time. ``memory://name`` is shared by all callers in this
    process that open that name and namespace; its data ends when the last one closes it.

    Args:
        url: its only option is ``log_retention``, in seconds.
        collections: the collections of the store.
        namespace: separates stores of the same name.
        clock: the store's own clock; the first caller that opens a shared store decides.
        log_retention: how many seconds an event stays in the log, 30 days by default; it takes
            precedence over the URL.

    Raises:
        InvalidInput: the URL has a path or an unknown option, or the store of that name has other
            collections.
    """
    url.check_options({"log_retention"})
    if url.path:
        raise InvalidInput("url", url.path, "a memory store has only a name: memory://name")
    if log_retention is None:
        log_retention = url.seconds("log_retention", LOG_RETENTION)
    store = MemoryBackend(collections, clock=clock, log_retention=log_retention)
    name = (url.netloc, namespace or "")
    if url.netloc:
        store = _join(name, store)
    try:
        yield store
    finally:
        store.close()
        if url.netloc:
            _leave(name)


def _join(name: _Name, fresh: MemoryBackend) -> MemoryBackend:
    with _lock:
        shared = _shared.setdefault(name, _Shared(fresh))
        if shared.store.collections != fresh.collections:
            reason = "that memory store has other collections; choose another name"
            raise InvalidInput("url", name[0], reason)
        shared.users += 1
        return shared.store.another()


def _leave(name: _Name) -> None:
    with _lock:
        shared = _shared[name]
        shared.users -= 1
        if not shared.users:
            del _shared[name]


def _begin_alone() -> None:
    """Forget the parent's shared stores, in a forked child."""
    _shared.clear()
    _lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_lock.acquire,
        after_in_parent=_lock.release,
        after_in_child=_begin_alone,
    )
