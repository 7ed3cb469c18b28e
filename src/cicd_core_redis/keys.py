"""The names of a namespace's keys, and of their fields.

Every key starts with ``cicd:{NAMESPACE}:``. The braces are a hash tag: a Redis Cluster keeps all
keys of one namespace in one slot, so one script may use any of them. After the prefix:

======================  ==========================================================================
``meta``                hash: the layout's version, the version floor, the last event dropped, the
                        clock's offset and its highest time, and a field that is written before
                        each ``WAIT``
``r:COLLECTION:KEY``    string, a record: its body, its header, and the sizes of both
``i:COLLECTION:…``      zset, one partition of one index: members of score 0 in sort order
``h:COLLECTION:CLAIM``  set: the keys of the records that a claim holds
``expiring``            zset: the expiry of each record that has one
``log``                 stream: the events
``n:GROUP``             hash: the counters of a group
``groups``              zset: the existing groups
``waiting``             zset: the waiters with a turn, by partition; see ``lua/waking.lua``
======================  ==========================================================================
"""

from __future__ import annotations

from typing import Final

from cicd_core.store.records import Index, Partition

#: The hash tag of the default namespace: no namespace can have this name.
_UNNAMED: Final = "@"


def prefix_of(namespace: str | None) -> str:
    """Return the prefix of every key of a namespace."""
    return f"cicd:{{{namespace or _UNNAMED}}}:"


def meta_key(namespace: str | None) -> bytes:
    """Return the key that every script gets, so that a cluster knows the slot."""
    return f"{prefix_of(namespace)}meta".encode()


def index_prefix(collection: str, index: Index) -> str:
    """Return the prefix of an index's zsets, without the namespace's prefix."""
    return f"i:{collection}:{index.partition}:{index.sort}:"


def zset_of(partition: Partition) -> str:
    """Return the zset of a partition, without the namespace's prefix."""
    return index_prefix(partition.collection, partition.index) + partition.value


def listener_channel(namespace: str | None, listener: str) -> bytes:
    """Return the channel of a store: its messages name the waiters that were chosen."""
    return f"{prefix_of(namespace)}w:{listener}".encode()


def partition_of(zset: str) -> Partition:
    """Return the partition of a zset, without the namespace's prefix."""
    _, collection, attribute, sort, value = zset.split(":", 4)  # no name contains a colon
    return Partition(collection, Index(attribute, sort), value)


def lower_bound(after: str | None) -> bytes:
    """Return ZRANGE's lower bound above a sort value; None: no bound."""
    return b"-" if after is None else b"(" + after.encode()


def upper_bound(before: str | None) -> bytes:
    """Return ZRANGE's upper bound below a sort value; None: no bound."""
    return b"+" if before is None else b"(" + before.encode()


def group_of(counter: str) -> str:
    """Return the group of a counter: the part before the bar."""
    return counter.partition("|")[0]
