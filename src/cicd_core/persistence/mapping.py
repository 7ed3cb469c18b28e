"""The facts about one kind of entity that storing, listing, expiry and audit need."""

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
    """How one kind of entity is stored and audited.

    The control plane, the audit and the tables of a store iterate over all mappings, in
    :data:`cicd_core.entities.MAPPINGS`: a new entity needs its own module and one line there.
    """

    #: The entity's name in an error.
    name: str
    collection: Collection
    codec: EntityCodec[Entity]
    load: Callable[[Record], Loaded[Entity]]
    key: Callable[[Entity], str]
    attributes: Callable[[Entity, Lease | None], Mapping[str, str]]
    #: Whether the entity, in its present state, keeps the lease that its record has.
    keeps_lease: Callable[[Entity], bool]
    #: How long a lease on it may last in all (µs), or None.
    lease_limit: Callable[[Entity, Settings], int | None]
    #: When its record expires, on the steady clock (µs), or None; the arguments are the entity, the
    #: time of the commit, and the new lease, or the one that the record had until then.
    expires_at: Callable[[Entity, StoreTime, Lease | None, Settings], int | None]
    #: How many seconds after its end a record may be gone; None: only a command deletes it.
    retention: Callable[[Settings], float] | None = None
    #: The partitions that together hold every record once; none: the records are not audited.
    lists: tuple[Partition, ...] = ()
    #: The legal transitions; None: the entity has no states.
    table: TransitionTable[Any] | None = None
    #: The types of the events that begin and end the life of an entity without states.
    births: frozenset[str] = frozenset()
    deletions: frozenset[str] = frozenset()
    #: Whether a write may have no transition and no event: the last use of an API key, for example.
    has_quiet_writes: bool = False


def after(seconds: float, time: StoreTime, end: datetime | None = None) -> int:
    """Return when a retention of ``seconds`` is over, on the steady clock (µs).

    It begins with the commit, or with the entity's ``end`` if that is later. So a late record is
    kept as long as a prompt one, and setting the calendar forward does not shorten the retention.
    """
    ahead = 0 if end is None else max(0, to_micros(end) - time.calendar)
    return min(MAX_INSTANT, time.micros + ahead + micros(seconds))


def never(*_: object) -> None:
    """Return None: no limit, no expiry."""
