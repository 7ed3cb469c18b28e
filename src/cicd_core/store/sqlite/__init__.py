"""The SQLite store: one file on one host, any number of processes, group commit, WAL.

``store.py`` has the verbs. ``batcher.py`` collects what is asked, ``connection.py`` brings it to a
connection's thread. There ``writing.py`` makes a transaction of each batch, and ``decisions.py``
decides its requests on the records of ``batch.py``. What reads is in ``reads.py`` and ``log.py``;
``schema.py`` and ``tables.py`` know the layout, ``file_lock.py`` and ``checkpoint.py`` keep writers
and checkpoints apart, ``waiting.py`` wakes who waits for work.
"""

from __future__ import annotations

from cicd_core.store.sqlite.opening import open_sqlite
from cicd_core.store.sqlite.store import SQLiteBackend

__all__ = ["SQLiteBackend", "open_sqlite"]
