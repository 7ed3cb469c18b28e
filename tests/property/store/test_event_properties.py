"""Events in the log: what one says goes in and comes out, and what is broken is none."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cicd_core.errors import CorruptRecord
from cicd_core.model.event import EventDraft
from cicd_core.model.instants import from_micros
from cicd_core.persistence.event_bodies import (
    NAME_IDS,
    TYPE_IDS,
    WORD_IDS,
    decode_event,
    encode_event,
)
from cicd_core.persistence.json_bytes import dump_json
from cicd_core.store.records import LogEntry
from tests.property.store.entities import INSTANTS, JSON, TEXTS

#: Types, names and words with an id, the ids themselves, and any others.
TYPES = st.sampled_from([*TYPE_IDS, *TYPE_IDS.values()]) | TEXTS
NAMES = st.sampled_from([*NAME_IDS, *NAME_IDS.values()]) | TEXTS
WORDS = st.sampled_from([*WORD_IDS, *WORD_IDS.values()]) | JSON


def entry(body: bytes) -> LogEntry:
    return LogEntry(collection="jobs", key="j-1", version=3, ordinal=1, body=body)


@given(TYPES, INSTANTS, st.dictionaries(NAMES, WORDS, max_size=5))
def test_an_event_survives_the_way_into_the_log_and_back(
    kind: str, at: Any, facts: dict[str, Any]
) -> None:
    event = decode_event(entry(encode_event(EventDraft(kind, at, facts))))
    assert (event.type, event.at, event.data) == (kind, at, facts)
    assert [*event.data] == [*facts]
    assert event.event_id == "jobs/j-1/3/1"


@given(TYPES, INSTANTS, st.dictionaries(NAMES, WORDS, max_size=5))
def test_an_event_with_full_names_is_read_as_well(
    kind: str, at: Any, facts: dict[str, Any]
) -> None:
    draft = EventDraft(kind, at, facts)
    micros = json.loads(encode_event(draft))[1]
    old = decode_event(entry(dump_json({"t": kind, "at": micros, "d": facts})))
    assert old == decode_event(entry(encode_event(draft)))


def test_an_event_of_a_job_is_short() -> None:
    at = from_micros(1_000)
    data = {"from": "running", "to": "success", "actor": "a", "fence": 990, "exit_code": None}
    body = encode_event(EventDraft("job.succeeded", at, data))
    assert body == b'["s",1000,{"f":"r","t":"s","a":"a","k":-10,"x":null}]'
    other = encode_event(EventDraft("pool.created", at, {"actor": "ada", "min_agents": 1}))
    assert other == b'[".pool.created",1000,{"a":"ada",".min_agents":1}]'


@given(st.sampled_from([float("nan"), float("inf")]), st.booleans())
def test_an_event_with_a_number_that_is_not_finite_is_never_written(
    number: float, has_null: bool
) -> None:
    data = {"percent": number, "exit_code": None if has_null else 1, "reason": "null"}
    with pytest.raises(ValueError, match="JSON"):
        encode_event(EventDraft("job.progress", from_micros(0), data))


def test_an_id_of_a_newer_library_stays_as_it_is() -> None:
    event = decode_event(entry(b'["zz",1000,{"zy":1,"t":"zx","k":5}]'))
    assert (event.type, event.data) == ("zz", {"zy": 1, "to": "zx", "fence": 1005})


def test_the_ids_of_events_stay_as_they_are() -> None:
    assert "".join(TYPE_IDS.values()) == "ceplbgsftryuxdaqno"
    assert "".join(NAME_IDS.values()) == "anmxkfjgcpydrstwv"
    assert "".join(WORD_IDS.values()) == "pqcrsftexdp0p1p2p3"
    for ids in (TYPE_IDS, NAME_IDS, WORD_IDS):
        assert len({*ids.values()}) == len(ids)


#: An array may be an event by chance.
@given(st.binary(max_size=50) | JSON.filter(lambda raw: not isinstance(raw, list)).map(dump_json))
def test_what_is_no_event_is_corrupt(body: bytes) -> None:
    with pytest.raises(CorruptRecord) as refused:
        decode_event(entry(body))
    assert refused.value.key == "jobs/j-1"


@pytest.mark.parametrize(
    "raw", [[], ["s"], ["s", 1], ["s", 1, []], [1, 1, {}], ["s", "1", {}], ["s", 1, {}, 1]]
)
def test_an_array_of_another_shape_is_corrupt(raw: Any) -> None:
    with pytest.raises(CorruptRecord):
        decode_event(entry(dump_json(raw)))


@given(JSON, JSON, JSON)
def test_an_event_of_other_things_is_taken_or_corrupt_and_nothing_else(
    kind: Any, at: Any, facts: Any
) -> None:
    for raw in ({"t": kind, "at": at, "d": facts}, [kind, at, facts]):
        with suppress(CorruptRecord):
            decode_event(entry(dump_json(raw)))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[" * 100_000, id="deeper than any stack"),
        pytest.param(b'["s", 1' + b"0" * 30 + b", {}]", id="a distant moment"),
        pytest.param(b'["s", ' + b"9" * 5000 + b", {}]", id="a long number"),
        pytest.param(b'{"t": "x", "at": ' + b"9" * 5000 + b', "d": {}}', id="with full names"),
    ],
)
def test_an_event_that_breaks_what_reads_it_is_corrupt(body: bytes) -> None:
    with pytest.raises(CorruptRecord):
        decode_event(entry(body))
