"""What the rest of the library must know of one kind of entity to keep, list, drop and audit it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from cicd_core.model.instants import micros, to_micros
from cicd_core.store.limits import MAX_INSTANT
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from cicd_core.lifecycle.table import TransitionTable
    from cicd_core.persistence.codec import EntityCodec
    from cicd_core.persistence.grants import Loaded
    from cicd_core.settings import Settings
    from cicd_core.store.records import Collection, Lease, Partition, Record, StoreTime

Entity = TypeVar("Entity")


@frozen(kw_only=True)
class EntityMapping(Generic[Entity]):
    """How one kind of entity is kept, and what an audit asks of it.

    All of them stand in :data:`cicd_core.entities.MAPPINGS`, over which the control plane, the
    audit and the tables of a store iterate: a new entity is its own module and one line there.
    """

    #: What it is called in an error.
    name: str
    collection: Collection
    codec: EntityCodec[Entity]
    load: Callable[[Record], Loaded[Entity]]
    key: Callable[[Entity], str]
    attributes: Callable[[Entity, Lease | None], Mapping[str, str]]
    #: Whether the entity, as it is now, keeps the lease that its record has.
    keeps_lease: Callable[[Entity], bool]
    #: How long a lease on it may last in all (µs), or None.
    lease_limit: Callable[[Entity, Settings], int | None]
    #: When it is dropped, on the steady clock (µs), or None: from the entity, the time of the
    #: commit, and the lease on its record until then.
    expires_at: Callable[[Entity, StoreTime, Lease | None, Settings], int | None]
    #: Seconds after its end after which a record may be gone; None: it goes by a command alone.
    retention: Callable[[Settings], float] | None = None
    #: The partitions that hold every record together, each one once; none: it is not audited.
    lists: tuple[Partition, ...] = ()
    #: The legal transitions; None: it has no states.
    table: TransitionTable[Any] | None = None
    #: The types of the events that begin and end the life of an entity without states.
    births: frozenset[str] = frozenset()
    deletions: frozenset[str] = frozenset()
    #: Whether a write may be no transition, and have no event: a key's last use.
    has_quiet_writes: bool = False


def after(seconds: float, time: StoreTime, end: datetime | None = None) -> int:
    """Return when a retention of ``seconds`` is over, on the steady clock.

    It begins with the commit, and with the end that the commit records where that is still to
    come. So a late record is kept as long as one made at once, and no calendar that is set forward
    shortens it.
    """
    ahead = 0 if end is None else max(0, to_micros(end) - time.calendar)
    return min(MAX_INSTANT, time.micros + ahead + micros(seconds))


def never(*_: object) -> None:
    """Return None: no limit, no expiry."""
