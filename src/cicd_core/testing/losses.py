"""Losses by a failover, a restore or a flush: records that a process relies on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core.errors import StoreError
from cicd_core.persistence.collections import LANES
from cicd_core.store.records import Commit, Put

if TYPE_CHECKING:
    from cicd_core.store.contract import Store


async def lose_lanes(store: Store, pool_name: str, commit_id: str) -> bool:
    """Let the record that lists the lanes of a pool expire, as a failover or a restore loses it.

    Returns:
        False: there was none, or the store did not answer.
    """
    try:
        record = (await store.get(LANES.name, (pool_name,))).get(pool_name)
        if record is None:
            return False
        loss = Put(
            collection=LANES.name,
            key=pool_name,
            expected=record.version,
            body=record.body,
            attributes=record.attributes,
            expires_at=(await store.now()).micros,
        )
        await store.commit((Commit(commit_id=commit_id, writes=(loss,)),))
    except StoreError:
        return False
    return True
