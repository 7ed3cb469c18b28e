"""Agents that have gone do not stay in the lists for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core import AgentSpec, AgentStatus, NotFound
from tests.services.scenes import SETTINGS

if TYPE_CHECKING:
    from cicd_core import ControlPlane
    from cicd_core.testing import VirtualClock

pytestmark = pytest.mark.anyio


async def test_an_agent_that_has_gone_is_dropped_after_its_retention(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    await plane.agents.register(AgentSpec(agent_id="a1"))
    await plane.agents.deregister("a1", reason="done")
    clock.advance(SETTINGS.agent_retention_seconds - 1)
    assert (await plane.agents.get("a1")).status is AgentStatus.TERMINATED
    clock.advance(2)
    with pytest.raises(NotFound):
        await plane.agents.get("a1")


async def test_an_agent_that_beats_is_kept_however_long_it_lives(
    plane: ControlPlane, clock: VirtualClock
) -> None:
    agent = await plane.agents.register(AgentSpec(agent_id="a1"))
    await plane.agents.heartbeat("a1", agent.incarnation)
    clock.advance(SETTINGS.heartbeat_timeout_seconds + 1)
    await plane.maintenance.sweep()
    assert (await plane.agents.get("a1")).status is AgentStatus.OFFLINE
    back = await plane.agents.heartbeat("a1", agent.incarnation)
    assert back.status is AgentStatus.HEALTHY
    clock.advance(SETTINGS.agent_retention_seconds + 1)
    assert (await plane.agents.get("a1")).status is AgentStatus.HEALTHY
