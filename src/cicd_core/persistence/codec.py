"""Encodes an entity as the bytes of a record's body, and decodes it again.

A body is a JSON object with the version of its schema as ``"v"``. The library reads every older
version. It keeps fields that it does not know, also in the values within an entity, and writes them
back, so that two versions of the library can share a store during an upgrade. Instants are
microseconds since the epoch (UTC).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, Union, get_args, get_origin

import msgspec
from cattrs import Converter, transform_error
from cattrs.fns import identity
from cattrs.gen import make_dict_unstructure_fn, override

from cicd_core.errors import CorruptRecord, SchemaTooNew
from cicd_core.model.agent import Agent
from cicd_core.model.deployment import Deployment
from cicd_core.model.event import Event, EventDraft
from cicd_core.model.instants import from_micros, to_micros
from cicd_core.model.job import Job
from cicd_core.model.json_values import MAX_DEPTH, nests_deeper
from cicd_core.model.pool import Pool
from cicd_core.model.session import Session
from cicd_core.model.spec import JobSpec
from cicd_core.persistence.unknown_fields import find_unknown, put_back
from cicd_core.queueing.lanes import LaneDirectory
from cicd_core.values import frozen

if TYPE_CHECKING:
    from cicd_core.store.records import LogEntry

Entity = TypeVar("Entity")

#: Turns the fields of one schema version into those of the next.
Upgrade = Callable[[dict[str, Any]], dict[str, Any]]

_EMPTY: Final[Mapping[str, Any]] = {}
#: The member of a body that lists its commits. No entity has a field of that name.
_COMMITS: Final = "c"
#: How deep a body may nest: a payload within an entity, and more for fields of a newer library.
_MAX_DEPTH: Final = MAX_DEPTH + 8


def _converter() -> Converter:
    converter = Converter(omit_if_default=True)
    converter.register_unstructure_hook(datetime, to_micros)
    converter.register_structure_hook(datetime, lambda value, _: from_micros(value))
    converter.register_unstructure_hook_factory(_is_optional, partial(_optional, converter))
    for kind in (Job, JobSpec):  # a payload is JSON already: it is written unchanged
        converter.register_unstructure_hook(
            kind,
            make_dict_unstructure_fn(
                kind,
                converter,
                _cattrs_omit_if_default=True,
                payload=override(unstruct_hook=_unchanged),
            ),
        )
    return converter


def _is_optional(kind: Any) -> bool:
    parts = set(get_args(kind)) if get_origin(kind) in {Union, UnionType} else set[Any]()
    return NoneType in parts and len(parts - {NoneType}) == 1


def _optional(converter: Converter, kind: Any) -> Callable[[Any], Any]:
    """Return the hook for an optional value: no call at all if the value is JSON already."""
    (given,) = (part for part in get_args(kind) if part is not NoneType)
    written: Callable[[Any], Any] = converter.get_unstructure_hook(given)
    return identity if written is identity else converter.gen_unstructure_optional(kind)


def _unchanged(value: object) -> object:
    return value


CONVERTER: Final = _converter()


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
        self, kind: type[Entity], collection: str, *, upgrades: tuple[Upgrade, ...] = ()
    ) -> None:
        self._kind = kind
        self._collection = collection
        self._upgrades = upgrades
        #: The schema version of the bodies that it writes.
        self.version = 1 + len(upgrades)

    def encode(
        self, value: Entity, unknown: Mapping[str, Any] = _EMPTY, commits: str = ""
    ) -> bytes:
        """Return the body of ``value``."""
        raw = {"v": self.version, **CONVERTER.unstructure(value)}
        if commits:
            raw[_COMMITS] = commits
        if unknown:
            put_back(raw, value, unknown)
        return dump_json(raw)

    def decode(self, key: str, body: bytes) -> Body[Entity]:
        """Return the entity that a body holds.

        Raises:
            CorruptRecord: the bytes are not a body of this entity.
            SchemaTooNew: the schema's major version is newer than this library's.
        """
        try:
            raw = load_json(body)
            version = raw.pop("v")
            self._refuse_newer(key, version)
            commits = _checked_commits(raw.pop(_COMMITS, ""))
            for upgrade in self._upgrades[version - 1 :]:
                raw = upgrade(raw)
            value = CONVERTER.structure(raw, self._kind)
            unknown = find_unknown(raw, value)
        except SchemaTooNew:
            raise
        except Exception as broken:  # cattrs raises groups, json ValueError, a wrong shape any
            reason = "; ".join(transform_error(broken))
            raise CorruptRecord(self._collection, key, reason) from broken
        return Body(value, unknown or _EMPTY, commits)

    def _refuse_newer(self, key: str, version: object) -> None:
        if isinstance(version, bool) or not isinstance(version, int) or version < 1:
            raise TypeError(f"{version!r} is not a schema version")
        if version > self.version:
            raise SchemaTooNew(f"{self._collection}/{key}", version, self.version)


def _checked_commits(commits: object) -> str:
    if not isinstance(commits, str):
        raise TypeError(f"{commits!r} is not a list of commits")
    return commits


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder()
#: Refuses numbers that are not finite, which the encoder above writes as null.
_STRICT: Final = json.JSONEncoder(allow_nan=False)


def dump_json(raw: object) -> bytes:
    """Return compact UTF-8 JSON.

    Raises:
        ValueError: it holds a number that is not finite, or a lone surrogate.
    """
    body = _ENCODER.encode(raw)
    if b"null" in body:
        _STRICT.encode(raw)
    return body


def load_json(body: bytes) -> Any:
    """Return the value that :func:`dump_json` wrote.

    Raises:
        ValueError: it is not JSON, nests deeper than any entity, or holds a value that could not be
            written again: a number that is not finite, or a lone surrogate.
    """
    if nests_deeper(body, _MAX_DEPTH):
        raise ValueError(f"it nests deeper than {_MAX_DEPTH}")
    try:
        return _DECODER.decode(body)
    except msgspec.MsgspecError as broken:
        raise ValueError(str(broken)) from broken


def _same(raw: dict[str, Any]) -> dict[str, Any]:
    """Return a body unchanged: the older version holds all that this one does, and more."""
    return raw


# Version 2 leaves the source out of the transition that made an entity; version 1 required it.
JOB: Final = EntityCodec(Job, "jobs", upgrades=(_same,))
DEPLOYMENT: Final = EntityCodec(Deployment, "deployments", upgrades=(_same,))
AGENT: Final = EntityCodec(Agent, "agents")
POOL: Final = EntityCodec(Pool, "agent-pools")
SESSION: Final = EntityCodec(Session, "sessions")
LANE_DIRECTORY: Final = EntityCodec(
    LaneDirectory,
    "lanes",
    # Version 1 never deleted a lane, and relied on its first reading for ever: it must not write.
    upgrades=(_same,),
)


def encode_event(draft: EventDraft) -> bytes:
    """Return the body of an event in the log."""
    return dump_json({"t": draft.type, "at": to_micros(draft.at), "d": draft.data})


def decode_event(entry: LogEntry) -> Event:
    """Return the event of an entry of the log.

    Raises:
        CorruptRecord: its bytes are not an event.
    """
    try:
        raw = load_json(entry.body)
        return Event(
            subject=(entry.collection, entry.key),
            version=entry.version,
            ordinal=entry.ordinal,
            type=raw["t"],
            at=from_micros(raw["at"]),
            data=raw["d"],
        )
    except Exception as broken:  # corrupt bytes may raise any error
        raise CorruptRecord("log", f"{entry.collection}/{entry.key}", str(broken)) from broken
