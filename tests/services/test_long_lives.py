"""A job that lives long, and of which much is said, still comes to its end."""

from __future__ import annotations

from random import Random
from string import ascii_letters, digits
from typing import TYPE_CHECKING

import pytest

from cicd_core import JobState, Outcome, RetryPolicy, Verdict
from cicd_core.audit import audit
from cicd_core.model.checks import MAX_BODY_BYTES
from cicd_core.persistence.deflating import inflated
from cicd_core.store.records import MAX_RECORD_BYTES
from tests.services.scenes import claim, enqueue

if TYPE_CHECKING:
    from cicd_core import ControlPlane
    from cicd_core.store.contract import Store
    from cicd_core.testing import VirtualClock

pytestmark = pytest.mark.anyio

#: What a coloured terminal writes: six bytes of JSON for many of its characters.
COLOURED = "\x1b[31m\x1b[1m失敗\x1b[0m\r\n" * 5000
#: No byte can be added to it, and hardly any is saved by deflating it.
LETTERS = "".join(Random(7).choices(ascii_letters + digits, k=MAX_BODY_BYTES - len('{"x": ""}')))
LARGEST = {"x": LETTERS}


@pytest.mark.thorough
async def test_a_job_of_256_kib_ends_however_much_is_said_of_it(
    plane: ControlPlane, store: Store, clock: VirtualClock
) -> None:
    policy = RetryPolicy(max_attempts=30, retry_on=(Verdict.FAILED,), backoff_max=1.0)
    job = await enqueue(plane, payload=LARGEST, retry=policy)
    for number in range(30):
        held = await claim(plane, start=True)
        held = await plane.queue.progress(held, percent=99.9, message=COLOURED)
        said = Outcome.failed(f"{COLOURED} attempt {number}", logs_summary=COLOURED)
        await plane.queue.complete(held, said)
        clock.advance(2)
        await plane.maintenance.sweep()
    ended = await plane.jobs.get(job.job_id)
    assert (ended.state, ended.verdict) == (JobState.DEAD_LETTERED, Verdict.FAILED)
    assert ended.error_message is not None
    assert ended.error_message.endswith("attempt 29")
    assert ended.history_left_out > 0
    assert [each.number for each in ended.attempts] == [1, 2, 3, 4, 5, *range(11, 31)]
    record = (await store.get("jobs", [job.job_id]))[job.job_id]
    assert len(record.body) > MAX_BODY_BYTES / 2, "hardly anything of it can be deflated"
    assert MAX_BODY_BYTES < len(inflated(record.body)) < MAX_RECORD_BYTES
    report = await audit(plane)
    assert report.ok, report


async def test_a_reason_of_any_length_cancels_the_largest_job(plane: ControlPlane) -> None:
    job = await enqueue(plane, payload=LARGEST)
    held = await claim(plane, start=True)
    asked = await plane.jobs.cancel(job.job_id, reason="\x1b" * 1000)
    assert asked.cancel_reason is not None
    assert asked.cancel_reason.startswith("…")
    ended = await plane.queue.complete(held, Outcome.cancelled(COLOURED, logs_summary=COLOURED))
    assert ended.state is JobState.CANCELLED
