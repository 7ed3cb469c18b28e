"""The DynamoDB store of cicd_core: serverless, shared by any number of processes.

``opening.py`` opens it, and ``store.py`` is the store, verb by verb. ``items.py`` defines how a
record is kept, ``journal.py`` and ``sequencer.py`` make the log, and ``tables.py`` defines the
tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core.lazily import exports as _exports

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.store.registry import BackendFactory
    from cicd_core_dynamodb.opening import open_dynamodb
    from cicd_core_dynamodb.store import DynamoDBBackend

    _store: type[Store] = DynamoDBBackend
    _factory: BackendFactory = open_dynamodb

__all__ = ["DynamoDBBackend", "open_dynamodb"]

#: The module of each name.
_HOMES = {
    "DynamoDBBackend": "cicd_core_dynamodb.store",
    "open_dynamodb": "cicd_core_dynamodb.opening",
}

if not TYPE_CHECKING:
    __getattr__, __dir__ = _exports(__name__, _HOMES)
