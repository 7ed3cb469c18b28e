"""The DynamoDB store of cicd_core: serverless, shared by any number of processes.

``opening.py`` opens it; ``store.py`` is the store, verb by verb; ``items.py`` says how a record is
kept, ``journal.py`` and ``sequencer.py`` how the log comes about, ``tables.py`` what tables there
are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core_dynamodb.opening import open_dynamodb
from cicd_core_dynamodb.store import DynamoDBStore

__all__ = ["DynamoDBStore", "open_dynamodb"]

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.store.registry import StoreFactory

    _store: type[Store] = DynamoDBStore
    _factory: StoreFactory = open_dynamodb
