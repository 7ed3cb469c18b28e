"""The Redis store of cicd_core: ``open_store("redis://host/0?namespace=team-a")``.

``opening.py`` opens it at the place that ``location.py`` reads from the URL; ``store.py`` is the
store, verb by verb. ``codec.py`` turns a verb into the arguments of a script. The scripts are in
``lua/``; ``scripts.py`` puts them together, and ``keys.py`` defines the keys. ``pipeline.py`` sends
calls to the server over one connection, which ``connecting.py`` opens (or ``discovery.py``, if
servers can take over from one another); ``waiting.py`` listens on another connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core.lazily import exports as _exports

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.store.registry import BackendFactory
    from cicd_core_redis.durability import Durability, KeepsNothing
    from cicd_core_redis.opening import open_redis
    from cicd_core_redis.store import RedisBackend

    _store: type[Store] = RedisBackend
    _factory: BackendFactory = open_redis

__all__ = ["Durability", "KeepsNothing", "RedisBackend", "open_redis"]

#: The module of each name.
_HOMES = {
    "Durability": "cicd_core_redis.durability",
    "KeepsNothing": "cicd_core_redis.durability",
    "RedisBackend": "cicd_core_redis.store",
    "open_redis": "cicd_core_redis.opening",
}

if not TYPE_CHECKING:
    __getattr__, __dir__ = _exports(__name__, _HOMES)
