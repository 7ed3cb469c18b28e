"""Encodes an entity as the bytes of a record's body, and decodes it again.

A body is a JSON object with the version of its schema as ``"v"``. Its fields have short ids
(:mod:`cicd_core.persistence.field_ids`). It omits fields at their defaults, and the key of the
record. Instants are microseconds since the epoch (UTC), in a job microseconds since its creation
(:mod:`cicd_core.persistence.packing`). A body of more than 1 KiB is deflated
(:mod:`cicd_core.persistence.deflating`).

The library reads every older version. It keeps fields that it does not know, also in the values
within an entity, and writes them back, so that two versions of the library can share a store during
an upgrade.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Generic, TypeVar

from cattrs import transform_error

from cicd_core.errors import CorruptRecord, SchemaTooNew
from cicd_core.model.agent import Agent
from cicd_core.model.deployment import Deployment
from cicd_core.model.job import Job
from cicd_core.model.pool import Pool
from cicd_core.model.session import Session
from cicd_core.persistence.converting import FULL_NAMES, SHORT_IDS
from cicd_core.persistence.deflating import LEAST, MARK, deflated, inflated
from cicd_core.persistence.field_ids import full_names, ids_of
from cicd_core.persistence.json_bytes import dump_json, load_json
from cicd_core.persistence.packing import pack_job, unpack_job
from cicd_core.persistence.unknown_fields import find_unknown, put_back
from cicd_core.queueing.lanes import LaneDirectory
from cicd_core.values import frozen

Entity = TypeVar("Entity")

#: Turns the fields of one schema version into those of the next.
Upgrade = Callable[[dict[str, Any]], dict[str, Any]]
#: Changes the JSON of an entity in place.
Packing = Callable[[dict[str, Any]], None]

_EMPTY: Final[Mapping[str, Any]] = {}
#: The members of a body with its version and its list of commits. No field has one of these ids.
_VERSION: Final = "v"
_COMMITS: Final = "c"


@frozen
class Body(Generic[Entity]):
    """An entity, and the fields of its body that this version of the library does not know."""

    value: Entity
    unknown: Mapping[str, Any] = _EMPTY
    #: The commits that led to it, see :mod:`cicd_core.store.own_commits`.
    commits: str = ""


class EntityCodec(Generic[Entity]):
    """Encodes and decodes one kind of entity."""

    def __init__(
        self,
        kind: type[Entity],
        collection: str,
        *,
        key: str,
        full_names: int = 0,
        upgrades: tuple[Upgrade, ...] = (),
        packing: tuple[Packing, Packing] | None = None,
    ) -> None:
        """Describe the bodies of a kind.

        Args:
            kind: a class; its fields have the ids of
                :mod:`cicd_core.persistence.field_ids`, or else their full names.
            collection: the name in errors.
            key: the field that is the key of the record; a body leaves it out.
            full_names: the number of first versions whose fields have their full names.
            upgrades: from each later version to the next.
            packing: shortens the JSON of an entity, and restores it.
        """
        self._kind = kind
        self._collection = collection
        self._key = ids_of(kind)[key]
        self._full_names = full_names
        self._upgrades = upgrades
        self._packing = packing
        self._write: Callable[[Entity], dict[str, Any]] = SHORT_IDS.get_unstructure_hook(kind)
        self._read: Callable[[dict[str, Any], type[Entity]], Entity]
        self._read = SHORT_IDS.get_structure_hook(kind)
        #: The schema version of the bodies that it writes.
        self.version = 1 + full_names + len(upgrades)

    def encode(
        self, value: Entity, unknown: Mapping[str, Any] = _EMPTY, commits: str = ""
    ) -> bytes:
        """Return the body of ``value``."""
        raw = self._write(value)
        del raw[self._key]
        raw[_VERSION] = self.version
        if commits:
            raw[_COMMITS] = commits
        if unknown:
            put_back(raw, value, unknown)
        if self._packing is not None:
            self._packing[0](raw)
        body = dump_json(raw)
        return deflated(body) if len(body) > LEAST else body

    def decode(self, key: str, body: bytes) -> Body[Entity]:
        """Return the entity that the body of a record holds.

        Raises:
            CorruptRecord: the bytes are not a body of this entity.
            SchemaTooNew: the schema's major version is newer than this library's.
        """
        try:
            raw = load_json(inflated(body) if body[:1] == MARK else body)
            version = raw.pop(_VERSION)
            self._refuse_newer(key, version)
            commits = _checked_commits(raw.pop(_COMMITS, ""))
            if version <= self._full_names:
                return self._with_full_names(raw, commits)
            for upgrade in self._upgrades[version - self._full_names - 1 :]:
                raw = upgrade(raw)
            raw[self._key] = key
            if self._packing is not None:
                self._packing[1](raw)
            value = self._read(raw, self._kind)
            unknown = find_unknown(raw, value)
        except SchemaTooNew:
            raise
        except Exception as broken:  # cattrs raises groups, json ValueError, a wrong shape any
            reason = "; ".join(transform_error(broken))
            raise CorruptRecord(self._collection, key, reason) from broken
        return Body(value, unknown or _EMPTY, commits)

    def _with_full_names(self, raw: dict[str, Any], commits: str) -> Body[Entity]:
        unknown = {name: raw[name] for name in raw.keys() - full_names(self._kind).keys()}
        return Body(FULL_NAMES.structure(raw, self._kind), unknown, commits)

    def _refuse_newer(self, key: str, version: object) -> None:
        if isinstance(version, bool) or not isinstance(version, int) or version < 1:
            raise TypeError(f"{version!r} is not a schema version")
        if version > self.version:
            raise SchemaTooNew(f"{self._collection}/{key}", version, self.version)


def _checked_commits(commits: object) -> str:
    if not isinstance(commits, str):
        raise TypeError(f"{commits!r} is not a list of commits")
    return commits


# In the first versions, fields have their full names. Version 2 of jobs and deployments omits the
# source of the transition that made an entity. Version 1 of lanes never deleted a lane, and relied
# on its first reading for ever: it must not write.
JOB: Final = EntityCodec(Job, "jobs", key="job_id", full_names=2, packing=(pack_job, unpack_job))
DEPLOYMENT: Final = EntityCodec(Deployment, "deployments", key="deployment_id", full_names=2)
AGENT: Final = EntityCodec(Agent, "agents", key="agent_id", full_names=1)
POOL: Final = EntityCodec(Pool, "agent-pools", key="pool_name", full_names=1)
SESSION: Final = EntityCodec(Session, "sessions", key="session_id", full_names=1)
LANE_DIRECTORY: Final = EntityCodec(LaneDirectory, "lanes", key="pool_name", full_names=2)
