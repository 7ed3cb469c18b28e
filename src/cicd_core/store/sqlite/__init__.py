"""The SQLite store: one file on one host, any number of processes, group commit, WAL.

``store.py`` has the verbs. ``batcher.py`` collects requests, ``connection.py`` passes them to a
connection's thread. There ``writing.py`` runs each batch as one transaction, and ``decisions.py``
decides its requests on the records of ``batch.py``. Reads are in ``reads.py`` and ``log.py``.
``schema.py`` and ``tables.py`` define the layout, ``file_lock.py`` and ``checkpoint.py`` keep
writers and checkpoints apart, and ``waiting.py`` wakes the calls that wait for work.
"""

from __future__ import annotations

from cicd_core.store.sqlite.opening import open_sqlite
from cicd_core.store.sqlite.store import SQLiteBackend

__all__ = ["SQLiteBackend", "open_sqlite"]
