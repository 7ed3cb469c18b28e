"""The fixtures of the services' tests; their control plane is on the far side of HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from cicd_core import ControlPlane
from cicd_core.http.client import RemoteControlPlane
from tests.conftest import on_trio
from tests.http.serving import serving
from tests.services.conftest import clock, other_plane, store
from tests.services.scenes import SETTINGS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from cicd_core.store.contract import Store

__all__ = ["clock", "other_plane", "plane", "store", "store_url"]


_SECRET = "it compares with what a claim or a registration gave, whose secret no other answer shows"
_ACTOR = "it names an actor, and the server puts its own caller in that place"
_CLOCK = "the client sends two requests, and on a clock that stands still their jobs have one time"
_MEETING = "its calls must meet in the store, and over the network one may come after the other"
#: The tests of the services that can't hold over HTTP, and why.
EXCEPTIONS = {
    "test_a_claim_gives_a_lease_with_its_token": _SECRET,
    "test_a_token_that_was_tampered_with_is_refused_in_every_verb": _SECRET,
    "test_a_verdict_that_is_repeated_is_a_no_op_and_another_one_is_refused": _SECRET,
    "test_a_wrong_argument_is_refused_by_its_name": _SECRET,
    "test_an_agent_registers_and_is_healthy_from_its_first_heartbeat": _SECRET,
    "test_progress_is_kept_and_told": _SECRET,
    "test_a_log_out_everywhere_ends_sessions_that_it_cannot_read": _ACTOR,
    "test_a_name_of_a_caller_that_is_too_long_is_refused": _ACTOR,
    "test_a_pool_is_put_and_put_again": _ACTOR,
    "test_a_revoked_key_is_refused_at_once_where_it_was_revoked": _ACTOR,
    "test_a_run_of_another_system_is_recorded": _ACTOR,
    "test_a_wrong_name_of_a_caller_is_refused_and_nothing_is_written": _ACTOR,
    "test_an_empty_pool_is_deleted_and_may_be_put_again": _ACTOR,
    "test_a_batch_keeps_its_order_beyond_one_call_to_the_store": _CLOCK,
    "test_two_who_replay_one_dead_letter_replay_it_once": _MEETING,
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the exceptions, and trio: what a loop changes is tried in ``tests/http``."""
    here = [item for item in items if item.path.parent.name == "services"]
    here = [item for item in here if item.path.parent.parent.name == "http"]
    left_out = [item for item in here if _name(item) in EXCEPTIONS or on_trio(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def _name(item: pytest.Item) -> str:
    return item.originalname if isinstance(item, pytest.Function) else item.name


#: What both sides have; the rest of a control plane stays beside the store.
_SERVICES = (
    "agents",
    "dashboard",
    "deployments",
    "events",
    "jobs",
    "keys",
    "maintenance",
    "pools",
    "queue",
    "sessions",
)


class Overlaid:
    """What the client has; the rest comes from what stands beside the store."""

    def __init__(self, far: object, near: object) -> None:
        self._far = far
        self._near = near

    def __getattr__(self, name: str) -> Any:
        return getattr(self._far, name, None) or getattr(self._near, name)


class FarPlane(Overlaid):
    """A control plane whose services are reached over HTTP."""

    def __init__(self, far: RemoteControlPlane, near: ControlPlane) -> None:
        super().__init__(far, near)
        for name in _SERVICES:
            setattr(self, name, Overlaid(getattr(far, name), getattr(near, name)))


@pytest.fixture
def store_url() -> str:
    """In memory: what a store changes is tried in ``tests/services``."""
    return "memory://"


@pytest.fixture
async def plane(store: Store) -> AsyncIterator[ControlPlane]:
    near = ControlPlane(store, settings=SETTINGS)
    async with serving(near) as url, RemoteControlPlane(url) as far:
        yield cast("ControlPlane", FarPlane(far, near))
