"""How the client waits before another try, and what it asks after a claim that failed."""

from __future__ import annotations

import anyio
import httpx2
import pytest

from cicd_core import OperationRejected, StoreUnavailable
from cicd_core.http.client import RemoteControlPlane, connection
from cicd_core.http.client.retry_after import MOST_SECONDS, asked_pause
from tests.http.answering import answering

NOON = "Sat, 21 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (503, {"retry-after": "3"}, 3.0),
        (429, {"retry-after": " 3 "}, 3.0),
        (503, {"retry-after": "3600"}, MOST_SECONDS),
        (503, {"retry-after": "Sat, 21 Nov 2026 12:00:04 GMT", "date": NOON}, 4.0),
        (503, {"retry-after": "Saturday, 21-Nov-26 12:00:04 GMT", "date": NOON}, 4.0),
        (503, {"retry-after": "Sat Nov 21 12:00:04 2026", "date": NOON}, 4.0),
        (503, {"retry-after": "Sun, 22 Nov 2026 12:00:00 GMT", "date": NOON}, MOST_SECONDS),
        (503, {"retry-after": "Sat, 21 Nov 2026 11:59:59 GMT", "date": NOON}, 0.0),
        (503, {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        (503, {"retry-after": "Fri, 31 Dec 2199 23:59:59 GMT"}, MOST_SECONDS),
        (503, {"retry-after": "soon"}, 0.0),
        (503, {"retry-after": "-1"}, 0.0),
        (503, {"retry-after": "1.5"}, 0.0),
        (503, {"retry-after": "٣"}, 0.0),
        (503, {}, 0.0),
        (500, {"retry-after": "3"}, 0.0),
    ],
)
def test_the_pause_is_that_of_the_header(
    status: int, headers: dict[str, str], seconds: float
) -> None:
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert asked_pause(httpx2.Response(status, headers=encoded)) == seconds


def test_without_an_answer_there_is_no_pause() -> None:
    assert asked_pause(None) == 0.0


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses of the client, which does not wait."""
    made: list[float] = []

    async def note(seconds: float) -> None:
        made.append(seconds)

    monkeypatch.setattr(anyio, "sleep", note)
    return made


@pytest.mark.anyio
@pytest.mark.parametrize("status", ["503 Service Unavailable", "429 Too Many Requests"])
async def test_a_call_waits_for_as_long_as_the_server_asks(
    pauses: list[float], status: str
) -> None:
    async with answering(f"{status}\r\nretry-after: 5") as (url, asked):
        async with RemoteControlPlane(url) as remote:
            with pytest.raises(StoreUnavailable):
                await remote.jobs.get("j-1")
        assert len(asked) == connection.TRIES
    assert [int(pause) for pause in pauses] == [5, 5, 5]


@pytest.mark.anyio
async def test_a_stream_waits_for_as_long_as_the_server_asks(pauses: list[float]) -> None:
    async with answering("503 Service Unavailable\r\nretry-after: 5") as (url, asked):
        async with RemoteControlPlane(url) as remote:
            with pytest.raises(StoreUnavailable):
                await anext(remote.events.follow())
        assert len(asked) == connection.TRIES
    assert [int(pause) for pause in pauses] == [5, 5, 5]


@pytest.mark.anyio
async def test_a_refused_claim_asks_for_no_jobs_that_it_may_hold() -> None:
    async with answering("409 Conflict") as (url, asked), RemoteControlPlane(url) as remote:
        with pytest.raises(OperationRejected):
            await remote.queue.claim(agent_id="a-1")
        assert [request.split()[1] for request in asked] == [b"/api/queue/claim"]


@pytest.mark.anyio
async def test_a_claim_whose_outcome_is_unknown_asks_for_the_jobs_that_it_may_hold(
    pauses: list[float],
) -> None:
    async with (
        answering("503 Service Unavailable") as (url, asked),
        RemoteControlPlane(url) as remote,
    ):
        with pytest.raises(StoreUnavailable):
            await remote.queue.claim(agent_id="a-1")
        assert {request.split()[1] for request in asked} == {
            b"/api/queue/claim",
            b"/api/queue/held",
        }
    assert pauses
