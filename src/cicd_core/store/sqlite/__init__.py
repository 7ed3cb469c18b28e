"""The SQLite store: one file on one host, any number of processes, group commit, WAL.

``store.py`` has the verbs. What writes is in ``writing.py`` (a batch is a transaction), which
decides with ``commits.py`` and ``claims.py`` on the records of ``batch.py``; what reads is in
``reads.py`` and ``log.py``. ``turns.py`` and ``hops.py`` bring what is asked to the connections'
threads, ``schema.py`` and ``tables.py`` know the layout, ``sidecar.py`` and ``checkpoint.py`` keep
writers and checkpoints apart, ``waiting.py`` wakes who waits for work.
"""

from __future__ import annotations

from cicd_core.store.sqlite.opening import open_sqlite
from cicd_core.store.sqlite.store import SQLiteStore

__all__ = ["SQLiteStore", "open_sqlite"]
