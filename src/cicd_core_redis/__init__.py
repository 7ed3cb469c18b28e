"""The Redis store of cicd_core: ``open_store("redis://host/0?namespace=team-a")``.

``opening.py`` opens it, by what ``location.py`` makes of the URL; ``store.py`` is the store, verb
by verb. A verb's words become arguments of a script in ``words.py``; the scripts are in ``lua/``,
put together by ``scripts.py``, and ``keys.py`` tells what stands where. ``pipe.py`` brings them to
the server over one connection, which ``connecting.py`` makes (and ``finding.py``, where servers
take over from one another); ``waiting.py`` listens on another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core_redis.durability import Durability, KeepsNothing
from cicd_core_redis.opening import open_redis
from cicd_core_redis.store import RedisStore

__all__ = ["Durability", "KeepsNothing", "RedisStore", "open_redis"]

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.store.registry import StoreFactory

    _store: type[Store] = RedisStore
    _factory: StoreFactory = open_redis
