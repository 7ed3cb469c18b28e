"""Storage of keys: a record per key, found by its id, removed 30 days after its end."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from cicd_core.keys.model import ApiKey
from cicd_core.model.instants import sort_key, to_micros
from cicd_core.persistence import grants
from cicd_core.persistence.codec import EntityCodec
from cicd_core.persistence.collections import BY_KIND
from cicd_core.persistence.mapping import EntityMapping, after, never
from cicd_core.store.records import Collection, Partition

if TYPE_CHECKING:
    from cicd_core.store.records import StoreTime

API_KEYS: Final = Collection(name="api-keys", indexes=(BY_KIND,), is_secret=True)
#: All keys.
ALL_KEYS: Final = Partition(API_KEYS.name, BY_KIND, "api-key")

#: Retention of an ended key, in seconds.
_KEPT_SECONDS: Final = 30 * 24 * 3600.0
_CODEC: Final = EntityCodec(ApiKey, API_KEYS.name, key="key_id", full_names=1)


def _expiry(key: ApiKey, time: StoreTime, _: object, _settings: object) -> int | None:
    end = key.revoked_at or key.expires_at
    return None if end is None else after(_KEPT_SECONDS, time, end)


API_KEY: Final[EntityMapping[ApiKey]] = EntityMapping(
    name="API key",
    collection=API_KEYS,
    codec=_CODEC,
    load=partial(grants.load, _CODEC),
    key=lambda key: key.key_id,
    attributes=lambda key, _: {
        "kind": ALL_KEYS.value,
        "created_at": sort_key(to_micros(key.created_at), key.key_id),
    },
    keeps_lease=lambda _: False,
    lease_limit=never,
    expires_at=_expiry,
    retention=lambda _: _KEPT_SECONDS,
    lists=(ALL_KEYS,),
    births=frozenset({"key.created"}),
    has_quiet_writes=True,
)
