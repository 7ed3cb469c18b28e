"""What no request can carry is refused before anything is sent: there is no server here."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from cicd_core import InvalidInput
from cicd_core.http.client import RemoteControlPlane

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.anyio, pytest.mark.asyncio_only]


@pytest.fixture
async def far() -> AsyncIterator[RemoteControlPlane]:
    async with RemoteControlPlane("http://127.0.0.1:9") as remote:
        yield remote


@pytest.mark.parametrize(
    "wrong", [{"linux"}, b"x", object(), float("nan")], ids=lambda each: type(each).__name__
)
async def test_a_value_that_json_has_not_is_refused_by_its_name(
    far: RemoteControlPlane, wrong: Any
) -> None:
    with pytest.raises(InvalidInput, match=r"^agent_id: .*finite numbers") as refused:
        await far.queue.claim(agent_id=wrong, pool_name="p")
    assert refused.value.field == "agent_id"


@pytest.mark.parametrize("wrong", ["\ud800", "a" * 100_000], ids=["surrogate", "long"])
async def test_a_parameter_that_no_url_has_is_refused_by_its_name(
    far: RemoteControlPlane, wrong: str
) -> None:
    with pytest.raises(InvalidInput, match=r"^pool_name: ") as refused:
        await far.agents.list(pool_name=wrong)
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize("wrong", ["", "a b", "\ud800", 7, None, "a" * 100_000], ids=repr)
async def test_a_log_of_a_job_that_has_no_name_is_refused(
    far: RemoteControlPlane, wrong: Any
) -> None:
    logs = far.job_logs
    for call in (logs.states, logs.state, partial(logs.read, attempt=1), logs.tail):
        with pytest.raises(InvalidInput, match=r"^job_id"):
            await call(wrong)
    with pytest.raises(InvalidInput, match=r"^job_id"):
        await anext(logs.follow(wrong))


@pytest.mark.parametrize("wrong", [7, "build", ["a b"]])
async def test_job_types_that_are_no_names_are_refused_and_nothing_is_given_back(
    far: RemoteControlPlane, wrong: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(InvalidInput, match=r"^job_types"):
        await far.queue.claim(agent_id="a", job_types=wrong)
    assert caplog.records == []
