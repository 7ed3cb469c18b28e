"""The memory store: the reference, and the specification in code.

All data is in one process and ends with it. ``store.py`` is the store itself, verb by verb; it
keeps records in ``rows.py``, events in ``log.py``, and waiters in ``../waiters.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core.store.memory.opening import open_memory
from cicd_core.store.memory.store import MemoryBackend

__all__ = ["MemoryBackend", "open_memory"]

if TYPE_CHECKING:
    from cicd_core.store.contract import Store
    from cicd_core.store.registry import BackendFactory

    _store: type[Store] = MemoryBackend
    _factory: BackendFactory = open_memory
