"""The table of ids: it has every field of every stored class once, and no id ever changes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

import attrs
import pytest

from cicd_core.entities import MAPPINGS
from cicd_core.keys.mapping import API_KEY
from cicd_core.model.agent import Agent
from cicd_core.model.deployment import Deployment
from cicd_core.model.instants import from_micros
from cicd_core.model.job import Job, LeaseToken
from cicd_core.model.pool import Pool
from cicd_core.model.session import Session
from cicd_core.persistence import codec
from cicd_core.persistence.field_ids import FIELD_IDS, RETIRED, STATE_CODES, STEP, STEPS, ids_of
from cicd_core.queueing.lanes import LaneDirectory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cicd_core.persistence.codec import EntityCodec

ENTITIES: tuple[Any, ...] = (Job, Deployment, Agent, Pool, Session, LaneDirectory)


def stored(kind: Any) -> Iterator[Any]:
    """Yield a class, and every class of the values within it."""
    yield kind
    for hint in get_type_hints(kind).values():
        for part in parts(hint):
            yield from stored(part)


def parts(hint: Any) -> Iterator[Any]:
    if isinstance(hint, type) and attrs.has(hint):
        yield hint
    for each in get_args(hint):
        yield from parts(each)


STORED = {part for entity in ENTITIES for part in stored(entity)}


def test_the_table_has_every_class_that_is_stored_and_no_other() -> None:
    assert FIELD_IDS.keys() == STORED
    # Of API keys there are few.
    kinds = {each.codec for each in MAPPINGS if each is not API_KEY}
    assert kinds == {codec.JOB, codec.DEPLOYMENT, codec.AGENT, codec.POOL, codec.SESSION}


@pytest.mark.parametrize("kind", FIELD_IDS, ids=lambda kind: kind.__name__)
def test_every_field_has_an_id_of_its_own(kind: Any) -> None:
    ids = FIELD_IDS[kind]
    in_arrays = STEP if kind in STEPS else ()
    assert {*ids, *in_arrays} == attrs.fields_dict(kind).keys()
    assert len({*ids.values()}) == len(ids)
    assert all(1 <= len(short) <= 3 for short in ids.values())
    assert RETIRED.get(kind, frozenset()).isdisjoint(ids.values())
    if kind in ENTITIES:  # of the schema and the commits
        assert {"v", "c"}.isdisjoint(ids.values())


@pytest.mark.parametrize("states", STATE_CODES, ids=lambda states: states.__name__)
def test_every_state_has_a_code_of_its_own(states: Any) -> None:
    codes = STATE_CODES[states]
    assert list(codes) == list(states)
    assert len({*codes.values()}) == len(codes)


def test_a_class_without_ids_keeps_its_names() -> None:
    assert ids_of(LeaseToken) == {"fence": "fence", "claim_id": "claim_id"}


def test_no_id_is_reused_where_a_field_is_gone() -> None:
    assert RETIRED.keys() <= FIELD_IDS.keys()


CODECS: dict[str, EntityCodec[Any]] = {
    "Job": codec.JOB,
    "Deployment": codec.DEPLOYMENT,
    "Agent": codec.AGENT,
    "Pool": codec.POOL,
    "Session": codec.SESSION,
    "LaneDirectory": codec.LANE_DIRECTORY,
}
#: A body of each entity, with something in every field, as it must be read for ever.
BODIES: dict[str, Any] = json.loads(Path(__file__).with_name("bodies.json").read_text("utf-8"))


def filled(kind: Any) -> Any:
    """Return a value of a class with something in every field."""
    hints = get_type_hints(kind)
    return kind(
        **{name: some(hints[name], name, place) for place, name in enumerate(hints, start=1)}
    )


def some(hint: Any, name: str, place: int) -> Any:
    """Return something of a type that is not the field's default."""
    if get_origin(hint) is tuple:
        return (some(get_args(hint)[0], name, place),)
    if get_origin(hint) is Mapping:
        return {name: "x"}
    if isinstance(hint, UnionType):
        return some(get_args(hint)[0], name, place)
    if attrs.has(hint):
        return filled(hint)
    if issubclass(hint, Enum):
        return list(hint)[-1]
    plain = {str: name, bool: True, int: place, float: place + 0.5, datetime: from_micros(place)}
    return plain[hint]


@pytest.mark.parametrize("kind", ENTITIES, ids=lambda kind: kind.__name__)
def test_a_body_stays_as_it_was_written(kind: Any) -> None:
    value, codec = filled(kind), CODECS[kind.__name__]
    body = BODIES[kind.__name__]
    assert json.loads(codec.encode(value, commits="0123456789ab")) == body
    (key,) = (name for name, short in FIELD_IDS[kind].items() if short == "i")
    decoded = codec.decode(key, json.dumps(body).encode())
    assert (decoded.value, decoded.unknown, decoded.commits) == (value, {}, "0123456789ab")
