"""Bodies: whole entities go in and come out, and nothing that is broken comes out as one."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from cicd_core.errors import CorruptRecord, SchemaTooNew
from cicd_core.model.agent import Agent
from cicd_core.model.deployment import Deployment
from cicd_core.model.job import Job
from cicd_core.model.pool import Pool
from cicd_core.model.session import Session
from cicd_core.persistence.codec import (
    AGENT,
    DEPLOYMENT,
    JOB,
    LANE_DIRECTORY,
    POOL,
    SESSION,
    EntityCodec,
)
from cicd_core.persistence.converting import FULL_NAMES
from cicd_core.persistence.deflating import inflated
from cicd_core.persistence.field_ids import STEP, ids_of
from cicd_core.persistence.json_bytes import dump_json, load_json
from cicd_core.queueing.lanes import LaneDirectory
from tests.property.store.entities import JSON, TEXTS, entities
from tests.unit.lifecycle import job_matrix

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

CODECS: dict[str, tuple[EntityCodec[Any], SearchStrategy[Any]]] = {
    "job": (JOB, entities(Job)),
    "deployment": (DEPLOYMENT, entities(Deployment)),
    "agent": (AGENT, entities(Agent)),
    "pool": (POOL, entities(Pool)),
    "session": (SESSION, entities(Session)),
    "lanes": (LANE_DIRECTORY, entities(LaneDirectory)),
}
every_entity = pytest.mark.parametrize("name", CODECS)
KINDS: dict[str, type[Any]] = {
    "job": Job,
    "deployment": Deployment,
    "agent": Agent,
    "pool": Pool,
    "session": Session,
    "lanes": LaneDirectory,
}
#: The fields that are the keys of the records.
KEYS = {
    "job": "job_id",
    "deployment": "deployment_id",
    "agent": "agent_id",
    "pool": "pool_name",
    "session": "session_id",
    "lanes": "pool_name",
}


def json_of(body: bytes) -> Any:
    """Return the JSON of a body."""
    return json.loads(inflated(body))


def key_of(name: str, value: Any) -> str:
    return str(getattr(value, KEYS[name]))


@every_entity
@given(st.data())
def test_an_entity_survives_the_way_into_a_body_and_back(name: str, data: st.DataObject) -> None:
    codec, values = CODECS[name]
    value = data.draw(values)
    body = codec.encode(value)
    decoded = codec.decode(key_of(name, value), body)
    assert decoded.value == value
    assert type(decoded.value) is type(value)
    assert decoded.unknown == {}
    assert json_of(body)["v"] == codec.version
    assert codec.encode(decoded.value) == body


@every_entity
@given(st.data())
def test_fields_of_a_newer_library_are_kept_and_written_back(
    name: str, data: st.DataObject
) -> None:
    codec, values = CODECS[name]
    value = data.draw(values)
    newer = data.draw(st.dictionaries(TEXTS.map(lambda text: f"new_{text}"), JSON, max_size=3))
    body = dump_json({**json_of(codec.encode(value)), **newer})
    decoded = codec.decode(key_of(name, value), body)
    assert (decoded.value, decoded.unknown) == (value, newer)
    rewritten = codec.encode(decoded.value, decoded.unknown)
    assert json_of(rewritten) == json_of(body)


#: The fields that hold values of their own, one or several.
NESTED = {
    "job": ("git", "retry", "progress", "attempts", "history"),
    "deployment": ("git", "metrics", "history"),
    "agent": ("metrics", "stuck"),
}


@pytest.mark.parametrize("name", NESTED)
@given(st.data())
def test_what_a_newer_library_adds_to_a_value_within_is_kept_and_written_back(
    name: str, data: st.DataObject
) -> None:
    codec, values = CODECS[name]
    value = distinct(data.draw(values))
    known = codec.encode(value)
    raw = json_of(known)
    newer = 0
    for inner in within(name, raw):
        if data.draw(st.booleans()):
            newer += 1
            add(inner, {"from_the_future": newer})
    decoded = codec.decode(key_of(name, value), dump_json(raw))
    assert decoded.value == value
    assert json_of(codec.encode(decoded.value, decoded.unknown)) == raw
    assert codec.encode(decoded.value) == known
    assert bool(decoded.unknown) == (newer > 0)


def distinct(value: Any) -> Any:
    """Return an entity whose parts can be told apart: those equal in all that is known can't be."""
    changes: dict[str, Any] = {}
    if isinstance(value, Job):
        numbered = enumerate(value.attempts)
        changes["attempts"] = tuple(evolve(each, number=number) for number, each in numbered)
    for name in {"history", "stuck"} & set(attrs.fields_dict(type(value))):
        numbered = enumerate(getattr(value, name))
        changes[name] = tuple(evolve(each, reason=f"{number}") for number, each in numbered)
    return evolve(value, **changes)


def within(name: str, raw: dict[str, Any]) -> list[Any]:
    """Return the values within an entity, in order; of those at their defaults a body says none."""
    found: list[Any] = []
    for field in NESTED[name]:
        inner = raw.get(ids_of(KINDS[name])[field])
        found += [] if inner is None else inner if isinstance(inner, list) else [inner]
    return found


def add(inner: Any, extra: dict[str, Any]) -> None:
    """Add to a value within what a newer library says of it."""
    if isinstance(inner, dict):
        inner.update(extra)
    elif len(inner) == len(STEP):
        inner.append(extra)
    else:
        inner[-1].update(extra)


def test_an_attempt_keeps_what_a_newer_library_said_of_it_when_it_ends() -> None:
    claimed = job_matrix.running()
    raw = json_of(JOB.encode(claimed))
    raw["as"][0]["machine"] = "m-7"
    raw["g"] = {"u": "shop.git", "host": "github.com"}
    raw["r"] = {"budget": 3}
    raw["h"][0].append({"cause": "push"})
    read = JOB.decode("j-1", dump_json(raw))
    ended = job_matrix.end(read.value, job_matrix.SUCCESS)
    rewritten = json_of(JOB.encode(ended, read.unknown))
    assert rewritten["r"] == {"budget": 3}, "all that is known of it is its default"
    assert rewritten["as"][0]["machine"] == "m-7"
    assert rewritten["as"][0]["vd"] == "s"
    assert rewritten["g"] == {"u": "shop.git", "host": "github.com"}
    assert rewritten["h"][0][-1] == {"cause": "push"}


def test_a_value_that_is_replaced_keeps_nothing_of_the_one_before() -> None:
    running = job_matrix.running()
    told = job_matrix.COMMANDS["progress"].give(running).value
    raw = json_of(JOB.encode(told))
    raw["pg"]["eta"] = 17
    read = JOB.decode("j-1", dump_json(raw))
    assert "eta" in json_of(JOB.encode(read.value, read.unknown))["pg"]
    assert told.progress is not None
    later = evolve(read.value, progress=evolve(told.progress, percent=51))
    assert "eta" not in json_of(JOB.encode(later, read.unknown))["pg"]


@every_entity
@given(st.binary(max_size=200))
def test_bytes_that_are_no_body_are_corrupt(name: str, body: bytes) -> None:
    codec, _ = CODECS[name]
    with pytest.raises(CorruptRecord) as refused:
        codec.decode("k-1", body)
    assert refused.value.key == "k-1"


@every_entity
@given(JSON)
def test_json_that_is_no_body_is_corrupt(name: str, raw: Any) -> None:
    codec, _ = CODECS[name]
    with pytest.raises(CorruptRecord):
        codec.decode("k-1", dump_json(raw))


@every_entity
@given(st.data())
def test_a_body_that_was_damaged_is_an_entity_or_corrupt_and_nothing_else(
    name: str, data: st.DataObject
) -> None:
    codec, values = CODECS[name]
    body = bytearray(codec.encode(data.draw(values)))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(body)))
    for damaged in (bytes(body), bytes(body[:cut])):
        with suppress(CorruptRecord, SchemaTooNew):
            codec.decode("k", damaged)


@every_entity
@given(st.data())
def test_a_field_that_holds_something_else_is_taken_or_corrupt_and_nothing_else(
    name: str, data: st.DataObject
) -> None:
    codec, values = CODECS[name]
    raw = json_of(codec.encode(data.draw(values)))
    field = data.draw(st.sampled_from(sorted(raw)))
    raw[field] = data.draw(JSON)
    with suppress(CorruptRecord, SchemaTooNew):
        codec.decode("k", dump_json(raw))


@every_entity
@given(st.data())
def test_a_body_that_lacks_what_every_one_has_is_corrupt(name: str, data: st.DataObject) -> None:
    codec, values = CODECS[name]
    raw = json_of(codec.encode(data.draw(values)))
    needed = {
        "job": "job_type",
        "deployment": "version",
        "agent": "incarnation",
        "pool": "updated_at",
        "session": "expires_at",
    }.get(name)
    if needed is None:
        return  # a list of lanes may be empty
    del raw[ids_of(KINDS[name])[needed]]
    with pytest.raises(CorruptRecord, match=needed):
        codec.decode("k", dump_json(raw))


@every_entity
@given(st.integers(1, 2**70))
def test_a_body_of_a_newer_schema_is_left_alone(name: str, newer: int) -> None:
    codec, _ = CODECS[name]
    version = codec.version + newer
    with pytest.raises(SchemaTooNew) as refused:
        codec.decode("k", dump_json({"v": version, "anything": 1}))
    assert (refused.value.found, refused.value.supported) == (version, codec.version)


@every_entity
@pytest.mark.parametrize("version", [0, -1, True, 1.0, "1", None, [1]])
def test_a_version_that_cannot_be_is_corrupt(name: str, version: Any) -> None:
    codec, _ = CODECS[name]
    with pytest.raises(CorruptRecord):
        codec.decode("k", dump_json({"v": version}))


def renamed(raw: dict[str, Any]) -> dict[str, Any]:
    most = raw.pop("most")
    return {**raw, "mx": most}


def in_lower_case(raw: dict[str, Any]) -> dict[str, Any]:
    return {**raw, "rg": raw["rg"].lower()}


#: What might have become of a pool's body over three versions of the library.
THIRD = EntityCodec(Pool, "agent-pools", key="pool_name", upgrades=(renamed, in_lower_case))


@given(entities(Pool), st.integers(1, 3))
def test_every_older_version_is_upgraded_and_written_as_the_newest(pool: Pool, since: int) -> None:
    raw = {**json_of(POOL.encode(pool)), "v": since, "rg": "EU", "mx": 7}
    if since == 1:
        raw["most"] = raw.pop("mx")
    decoded = THIRD.decode("p", dump_json(raw))
    assert (decoded.value.max_agents, decoded.unknown) == (7, {})
    assert decoded.value.region == ("EU" if since == 3 else "eu")
    assert json_of(THIRD.encode(decoded.value))["v"] == 3
    assert THIRD.decode("p", THIRD.encode(decoded.value)).value == decoded.value


@every_entity
@given(st.data())
def test_a_body_with_full_names_is_read_as_well(name: str, data: st.DataObject) -> None:
    codec, values = CODECS[name]
    value = data.draw(values)
    raw = {"v": 1, "c": "0123456789ab", "newer": 7, **FULL_NAMES.unstructure(value)}
    decoded = codec.decode("k", dump_json(raw))
    assert decoded.value == value
    assert (decoded.unknown, decoded.commits) == ({"newer": 7}, "0123456789ab")


def test_a_body_that_its_upgrade_cannot_read_is_corrupt() -> None:
    with pytest.raises(CorruptRecord):
        THIRD.decode("p", dump_json({"v": 1}))
    with pytest.raises(SchemaTooNew):
        THIRD.decode("p", dump_json({"v": 4}))


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"v": 3, "a": ' + b"9" * 5000 + b"}"], ids=["deep", "digits"]
)
def test_a_body_that_breaks_what_reads_it_is_corrupt(body: bytes) -> None:
    with pytest.raises(CorruptRecord):
        JOB.decode("j-1", body)


@given(st.sampled_from([float("nan"), float("inf"), float("-inf")]), JSON)
def test_a_number_that_is_not_finite_is_never_written(number: float, beside: Any) -> None:
    with pytest.raises(ValueError, match="JSON"):
        dump_json({"beside": beside, "list": [{"number": number}]})


@pytest.mark.parametrize(
    "body", [b"NaN", b"[Infinity]", b"1e400", b'"\\ud800"', b'"\xff"', b"[1,]", b"", b"{} {}"]
)
def test_what_could_not_be_written_again_is_not_read(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        load_json(body)


@given(JSON)
def test_json_comes_back_as_it_was(value: Any) -> None:
    assert load_json(dump_json(value)) == value


def test_the_first_version_of_a_job_said_that_its_creation_has_no_source() -> None:
    made = {"target": "pending", "at": 0, "actor": "caller", "reason": "created"}
    fields = {"job_id": "j", "job_type": "b", "state": "pending", "created_at": 0}
    old = JOB.decode("j", dump_json({"v": 1, **fields, "history": [{"source": None, **made}]}))
    new = JOB.decode("j", dump_json({"v": 2, **fields, "history": [made]}))
    assert old == new
    assert old.value.history[0].source is None
    assert json_of(JOB.encode(old.value))["h"] == [["p", 0, "caller", "created"]]
