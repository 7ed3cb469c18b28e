"""The store contract, and everything that your own store imports, in one place.

:class:`Store` is the contract; the classes from :class:`Claim` to :class:`Watch` are the arguments
and answers of its verbs. :class:`RetryingStore` wraps every backend: it checks the limits of each
call, and repeats it if that may help. The functions from :func:`applied_before` to :func:`replaced`
define the effect of the verbs on one record. :class:`BackendFactory` is the function that an entry
point names; :func:`open_store` calls it, and :class:`StoreURL` and :func:`require_asyncio` help it.
The errors are those that a store raises.

The codec, and the stores that need no other package, are separate modules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cicd_core.lazily import exports as _exports

if TYPE_CHECKING:
    from cicd_core.clock import Clock, SystemClock, calendar_of
    from cicd_core.errors import (
        CorruptRecord,
        InvalidCursor,
        InvalidInput,
        SchemaTooNew,
        SchemaTooOld,
        StoreClosed,
        StoreError,
        StoreFull,
        StoreReadOnly,
        StoreUnavailable,
        TooLarge,
        UnrecognizedDatabase,
        UnsupportedCapability,
    )
    from cicd_core.model.instants import sort_key
    from cicd_core.store.contract import Store
    from cicd_core.store.counter_days import day_of, end_of, first_kept_day
    from cicd_core.store.lifetime import Lifetime
    from cicd_core.store.limits import MAX_DURATION, MAX_INSTANT, MAX_ITEMS, SORT_SEPARATOR
    from cicd_core.store.records import (
        KEEP,
        MAX_COMMIT_BYTES,
        MAX_KEY_BYTES,
        MAX_RECORD_BYTES,
        MAX_WRITES,
        Claim,
        Collection,
        Commit,
        Committed,
        Conflict,
        Count,
        Counters,
        Delete,
        EventWrite,
        Guard,
        Increment,
        Index,
        Keep,
        Lease,
        LogEntry,
        LogPage,
        Partition,
        Put,
        Query,
        Record,
        RecordPage,
        Renewal,
        Renewed,
        StoreTime,
        Subject,
        Watch,
    )
    from cicd_core.store.registry import BackendFactory, StoreURL, open_store, require_asyncio
    from cicd_core.store.retrying import RetryingStore
    from cicd_core.store.semantics import (
        answer_of,
        applied_before,
        conflicts,
        extended,
        granted,
        lease_of,
        renewed,
        replaced,
        subject_of,
    )
    from cicd_core.threads import run_soon_here

__all__ = [
    "KEEP",
    "MAX_COMMIT_BYTES",
    "MAX_DURATION",
    "MAX_INSTANT",
    "MAX_ITEMS",
    "MAX_KEY_BYTES",
    "MAX_RECORD_BYTES",
    "MAX_WRITES",
    "SORT_SEPARATOR",
    "BackendFactory",
    "Claim",
    "Clock",
    "Collection",
    "Commit",
    "Committed",
    "Conflict",
    "CorruptRecord",
    "Count",
    "Counters",
    "Delete",
    "EventWrite",
    "Guard",
    "Increment",
    "Index",
    "InvalidCursor",
    "InvalidInput",
    "Keep",
    "Lease",
    "Lifetime",
    "LogEntry",
    "LogPage",
    "Partition",
    "Put",
    "Query",
    "Record",
    "RecordPage",
    "Renewal",
    "Renewed",
    "RetryingStore",
    "SchemaTooNew",
    "SchemaTooOld",
    "Store",
    "StoreClosed",
    "StoreError",
    "StoreFull",
    "StoreReadOnly",
    "StoreTime",
    "StoreURL",
    "StoreUnavailable",
    "Subject",
    "SystemClock",
    "TooLarge",
    "UnrecognizedDatabase",
    "UnsupportedCapability",
    "Watch",
    "answer_of",
    "applied_before",
    "calendar_of",
    "conflicts",
    "day_of",
    "end_of",
    "extended",
    "first_kept_day",
    "granted",
    "lease_of",
    "open_store",
    "renewed",
    "replaced",
    "require_asyncio",
    "run_soon_here",
    "sort_key",
    "subject_of",
]

#: The module of each name. Lazy imports avoid import cycles between the modules of this package.
_HOMES: Final = {
    name: module
    for module, names in {
        "cicd_core.clock": ("Clock", "SystemClock", "calendar_of"),
        "cicd_core.errors": (
            "CorruptRecord",
            "UnrecognizedDatabase",
            "InvalidCursor",
            "InvalidInput",
            "SchemaTooNew",
            "SchemaTooOld",
            "StoreClosed",
            "StoreError",
            "StoreFull",
            "StoreReadOnly",
            "StoreUnavailable",
            "TooLarge",
            "UnsupportedCapability",
        ),
        "cicd_core.model.instants": ("sort_key",),
        "cicd_core.store.contract": ("Store",),
        "cicd_core.store.counter_days": ("day_of", "end_of", "first_kept_day"),
        "cicd_core.store.lifetime": ("Lifetime",),
        "cicd_core.store.limits": (
            "MAX_DURATION",
            "MAX_INSTANT",
            "MAX_ITEMS",
            "SORT_SEPARATOR",
        ),
        "cicd_core.store.records": (
            "Claim",
            "Collection",
            "Commit",
            "Committed",
            "Conflict",
            "Count",
            "Counters",
            "Delete",
            "EventWrite",
            "Guard",
            "Increment",
            "Index",
            "KEEP",
            "Keep",
            "Lease",
            "LogEntry",
            "LogPage",
            "MAX_COMMIT_BYTES",
            "MAX_KEY_BYTES",
            "MAX_RECORD_BYTES",
            "MAX_WRITES",
            "RecordPage",
            "Partition",
            "Put",
            "Query",
            "Record",
            "Renewal",
            "Renewed",
            "StoreTime",
            "Subject",
            "Watch",
        ),
        "cicd_core.store.registry": ("BackendFactory", "StoreURL", "open_store", "require_asyncio"),
        "cicd_core.store.retrying": ("RetryingStore",),
        "cicd_core.store.semantics": (
            "answer_of",
            "applied_before",
            "conflicts",
            "extended",
            "granted",
            "lease_of",
            "renewed",
            "replaced",
            "subject_of",
        ),
        "cicd_core.threads": ("run_soon_here",),
    }.items()
    for name in names
}

if not TYPE_CHECKING:
    __getattr__, __dir__ = _exports(__name__, _HOMES)
