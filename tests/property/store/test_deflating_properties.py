"""Long bodies: deflated where that saves something, and never more than a record inflated."""

from __future__ import annotations

import zlib

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from cicd_core.errors import CorruptRecord
from cicd_core.model.job import Job
from cicd_core.persistence.codec import JOB
from cicd_core.persistence.deflating import LEAST, deflated, inflated
from cicd_core.store.records import MAX_RECORD_BYTES
from tests.unit.lifecycle import job_matrix

#: Bodies of JSON: they begin with a brace.
BODIES = st.builds(
    lambda part, times: b"{" + part * times, st.binary(max_size=100), st.integers(0, 5000)
).filter(lambda body: len(body) <= MAX_RECORD_BYTES)


@given(BODIES)
def test_a_body_comes_back_as_it_was(body: bytes) -> None:
    stored = deflated(body)
    assert inflated(stored) == body
    assert len(stored) <= len(body)
    assert stored == body or len(body) > LEAST


def test_a_long_body_is_shorter_in_the_store() -> None:
    job = job_matrix.running(payload={"script": "make test; " * 500})
    stored = JOB.encode(job)
    assert len(stored) < 500
    assert JOB.decode(job.job_id, stored).value == job


def test_a_short_body_and_one_that_would_grow_stay_as_they_are() -> None:
    short = b"{" + b"x" * (LEAST - 1)
    assert deflated(short) == short
    mixed = b"{" + bytes((7 * place * place + place // 7) % 251 for place in range(2 * LEAST))
    assert len(deflated(mixed)) <= len(mixed)
    too_long = b"x" * (MAX_RECORD_BYTES + 1)
    assert deflated(too_long) == too_long


def raw_deflate(body: bytes) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    return b"\x01" + stream.compress(body) + stream.flush()


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param(raw_deflate(b" " * (MAX_RECORD_BYTES + 1)), id="a bomb"),
        pytest.param(raw_deflate(b" " * 10**8), id="a large bomb"),
        pytest.param(raw_deflate(b"{}" * 1000)[:-3], id="cut"),
        pytest.param(raw_deflate(b"{}" * 1000) + b"more", id="with more behind it"),
        pytest.param(b"\x01", id="the mark alone"),
        pytest.param(b"\x01\xff\xff\xff", id="no stream"),
        pytest.param(raw_deflate(raw_deflate(b"{}")), id="twice"),
    ],
)
def test_a_stream_that_is_no_body_is_corrupt(stored: bytes) -> None:
    with pytest.raises(CorruptRecord):
        JOB.decode("j-1", stored)


def test_a_body_of_the_largest_size_is_read() -> None:
    body = b" " * MAX_RECORD_BYTES
    assert inflated(raw_deflate(body)) == body


@given(st.binary(max_size=2000))
def test_any_bytes_behind_the_mark_are_a_body_or_corrupt(stored: bytes) -> None:
    with pytest.raises(CorruptRecord):
        JOB.decode("j-1", b"\x01" + stored)


def test_what_a_newer_library_says_in_a_long_body_is_kept() -> None:
    job = evolve(job_matrix.running(), payload={"text": "x" * 5000})
    assert isinstance(job, Job)
    read = JOB.decode(job.job_id, JOB.encode(job, {"newer": {"a": [1]}}))
    assert read.unknown == {"newer": {"a": [1]}}
    again = JOB.decode(job.job_id, JOB.encode(read.value, read.unknown))
    assert (again.value, again.unknown) == (job, read.unknown)
