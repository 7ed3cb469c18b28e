"""Bodies: whole entities go in and come out, and nothing that is broken comes out as one."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from cicd_core.errors import CorruptRecord, SchemaTooNew
from cicd_core.model.agent import Agent
from cicd_core.model.deployment import Deployment
from cicd_core.model.event import EventDraft
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
    decode_event,
    dump_json,
    encode_event,
    load_json,
)
from cicd_core.queueing.lanes import LaneDirectory
from cicd_core.store.records import LogEntry
from tests.property.store.entities import INSTANTS, JSON, TEXTS, entities
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


@every_entity
@given(st.data())
def test_an_entity_survives_the_way_into_a_body_and_back(name: str, data: st.DataObject) -> None:
    codec, values = CODECS[name]
    value = data.draw(values)
    body = codec.encode(value)
    decoded = codec.decode("k", body)
    assert decoded.value == value
    assert type(decoded.value) is type(value)
    assert decoded.unknown == {}
    assert json.loads(body)["v"] == codec.version
    assert codec.encode(decoded.value) == body


@every_entity
@given(st.data())
def test_fields_of_a_newer_library_are_kept_and_written_back(
    name: str, data: st.DataObject
) -> None:
    codec, values = CODECS[name]
    value = data.draw(values)
    newer = data.draw(st.dictionaries(TEXTS.map(lambda text: f"new_{text}"), JSON, max_size=3))
    body = dump_json({**json.loads(codec.encode(value)), **newer})
    decoded = codec.decode("k", body)
    assert (decoded.value, decoded.unknown) == (value, newer)
    rewritten = codec.encode(decoded.value, decoded.unknown)
    assert json.loads(rewritten) == json.loads(body)


#: The fields that hold values of their own, one or several.
NESTED = {
    "job": ("git", "retry", "progress", "attempts", "history"),
    "deployment": ("git", "metrics", "history"),
    "agent": ("metrics",),
}


@pytest.mark.parametrize("name", NESTED)
@given(st.data())
def test_what_a_newer_library_adds_to_a_value_within_is_kept_and_written_back(
    name: str, data: st.DataObject
) -> None:
    codec, values = CODECS[name]
    raw = json.loads(codec.encode(data.draw(values)))
    for number, attempt in enumerate(raw.get("attempts", [])):
        attempt["number"] = number
    for position, inner in enumerate(within(raw, NESTED[name])):
        # Values that are equal in all that is known can't be told apart.
        if data.draw(st.booleans()) and not repeated(raw, inner):
            inner["from_the_future"] = position
    decoded = codec.decode("k", dump_json(raw))
    rewritten = json.loads(codec.encode(decoded.value, decoded.unknown))
    known = json.loads(codec.encode(decoded.value))
    told = [
        inner.get("from_the_future") for inner in within(raw, NESTED[name]) if inner is not None
    ]
    assert [inner.get("from_the_future") for inner in within(rewritten, NESTED[name])] == told
    for inner in within(rewritten, NESTED[name]):
        inner.pop("from_the_future", None)
    assert rewritten == known


def within(raw: dict[str, Any], names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the values within an entity, in order; of those at their defaults a body says none."""
    found: list[dict[str, Any]] = []
    for name in names:
        inner = raw.get(name)
        found += [] if inner is None else inner if isinstance(inner, list) else [inner]
    return found


def repeated(raw: dict[str, Any], inner: dict[str, Any]) -> bool:
    return any(other is not inner and other == inner for other in raw.get("history", []))


def test_an_attempt_keeps_what_a_newer_library_said_of_it_when_it_ends() -> None:
    claimed = job_matrix.running()
    raw = json.loads(JOB.encode(claimed))
    raw["attempts"][0]["machine"] = "m-7"
    raw["git"] = {"repo": "shop.git", "host": "github.com"}
    raw["retry"] = {"budget": 3}
    read = JOB.decode("j-1", dump_json(raw))
    ended = job_matrix.end(read.value, job_matrix.SUCCESS)
    rewritten = json.loads(JOB.encode(ended, read.unknown))
    assert rewritten["retry"] == {"budget": 3}, "all that is known of it is its default"
    assert rewritten["attempts"][0]["machine"] == "m-7"
    assert rewritten["attempts"][0]["verdict"] == "success"
    assert rewritten["git"] == {"repo": "shop.git", "host": "github.com"}


def test_a_value_that_is_replaced_keeps_nothing_of_the_one_before() -> None:
    running = job_matrix.running()
    told = job_matrix.COMMANDS["progress"].give(running).value
    raw = json.loads(JOB.encode(told))
    raw["progress"]["eta"] = 17
    read = JOB.decode("j-1", dump_json(raw))
    assert "eta" in json.loads(JOB.encode(read.value, read.unknown))["progress"]
    assert told.progress is not None
    later = evolve(read.value, progress=evolve(told.progress, percent=51))
    assert "eta" not in json.loads(JOB.encode(later, read.unknown))["progress"]


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
    raw = json.loads(codec.encode(data.draw(values)))
    field = data.draw(st.sampled_from(sorted(raw)))
    raw[field] = data.draw(JSON)
    with suppress(CorruptRecord, SchemaTooNew):
        codec.decode("k", dump_json(raw))


@every_entity
@given(st.data())
def test_a_body_that_lacks_what_every_one_has_is_corrupt(name: str, data: st.DataObject) -> None:
    codec, values = CODECS[name]
    raw = json.loads(codec.encode(data.draw(values)))
    needed = {
        "job": "job_id",
        "deployment": "version",
        "agent": "incarnation",
        "pool": "updated_at",
        "session": "expires_at",
        "lanes": "pool_name",
    }
    del raw[needed[name]]
    with pytest.raises(CorruptRecord, match=needed[name]):
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
        codec.decode("k", dump_json({"v": version, "pool_name": "p"}))


def renamed(raw: dict[str, Any]) -> dict[str, Any]:
    most = raw.pop("most")
    return {**raw, "max_agents": most}


def in_lower_case(raw: dict[str, Any]) -> dict[str, Any]:
    return {**raw, "region": raw["region"].lower()}


#: What might have become of a pool's body over three versions of the library.
THIRD = EntityCodec(Pool, "agent-pools", upgrades=(renamed, in_lower_case))


@given(entities(Pool), st.integers(1, 3))
def test_every_older_version_is_upgraded_and_written_as_the_newest(pool: Pool, since: int) -> None:
    raw = {**json.loads(POOL.encode(pool)), "v": since, "region": "EU", "max_agents": 7}
    if since == 1:
        raw["most"] = raw.pop("max_agents")
    decoded = THIRD.decode("p", dump_json(raw))
    assert (decoded.value.max_agents, decoded.unknown) == (7, {})
    assert decoded.value.region == ("EU" if since == 3 else "eu")
    assert json.loads(THIRD.encode(decoded.value))["v"] == 3
    assert THIRD.decode("p", THIRD.encode(decoded.value)).value == decoded.value


def test_a_body_that_its_upgrade_cannot_read_is_corrupt() -> None:
    with pytest.raises(CorruptRecord):
        THIRD.decode("p", dump_json({"v": 1}))
    with pytest.raises(SchemaTooNew):
        THIRD.decode("p", dump_json({"v": 4}))


def entry(body: bytes) -> LogEntry:
    return LogEntry(collection="jobs", key="j-1", version=3, ordinal=1, body=body)


@given(TEXTS, INSTANTS, st.dictionaries(TEXTS, JSON, max_size=3))
def test_an_event_survives_the_way_into_the_log_and_back(
    kind: str, at: Any, facts: dict[str, Any]
) -> None:
    event = decode_event(entry(encode_event(EventDraft(kind, at, facts))))
    assert (event.type, event.at, event.data) == (kind, at, facts)
    assert event.event_id == "jobs/j-1/3/1"


@given(st.binary(max_size=50) | JSON.map(dump_json))
def test_what_is_no_event_is_corrupt(body: bytes) -> None:
    with pytest.raises(CorruptRecord) as refused:
        decode_event(entry(body))
    assert refused.value.key == "jobs/j-1"


@given(JSON, JSON, JSON)
def test_an_event_of_other_things_is_taken_or_corrupt_and_nothing_else(
    kind: Any, at: Any, facts: Any
) -> None:
    with suppress(CorruptRecord):
        decode_event(entry(dump_json({"t": kind, "at": at, "d": facts})))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[" * 100_000, id="deeper than any stack"),
        pytest.param(b'{"t": "x", "at": 1' + b"0" * 30 + b', "d": {}}', id="a distant moment"),
        pytest.param(b'{"t": "x", "at": ' + b"9" * 5000 + b', "d": {}}', id="a long number"),
    ],
)
def test_an_event_that_breaks_what_reads_it_is_corrupt(body: bytes) -> None:
    with pytest.raises(CorruptRecord):
        decode_event(entry(body))
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
    assert b"null" not in JOB.encode(old.value)
