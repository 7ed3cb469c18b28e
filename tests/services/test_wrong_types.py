"""An argument of a wrong type is refused by its name: no call ends in a bare TypeError."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest

from cicd_core import (
    AgentSpec,
    CicdError,
    ControlPlane,
    DeploymentMetrics,
    DeploymentSpec,
    InvalidInput,
    JobSpec,
    KeySpec,
    Outcome,
    PoolSpec,
    Priority,
    StuckReport,
)
from cicd_core.entities import COLLECTIONS
from cicd_core.store.memory import MemoryBackend
from tests.services.scenes import SETTINGS, run
from tests.wrong_values import WRONG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cicd_core.store.contract import Store

pytestmark = pytest.mark.anyio

SERVICES = (
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
#: What takes no argument, or never returns.
LEFT_OUT = {"maintenance.run", "maintenance.sweep", "maintenance.requeue_expired"}


#: Values that are right, and with which a call waits for as long as nothing happens.
ENDLESS: dict[str, Any] = {"jobs.wait.timeout": None, "events.follow.from_now": True}


def methods() -> Iterator[tuple[str, str, str]]:
    """Return every parameter of every public method of every service."""
    plane = ControlPlane.__new__(ControlPlane)
    ControlPlane.__init__(plane, MemoryBackend(COLLECTIONS))
    for service in SERVICES:
        kind: Any = getattr(plane, service).__class__
        for name, method in inspect.getmembers(kind, inspect.isfunction):
            if not name.startswith("_") and f"{service}.{name}" not in LEFT_OUT:
                for parameter in list(inspect.signature(method).parameters)[1:]:
                    yield service, name, parameter


async def right(plane: ControlPlane) -> dict[str, Any]:
    """Return a right value of each parameter, by its name, and by its method where names differ."""
    await plane.queue.enqueue(JobSpec(job_type="build"))
    held = await run(plane)
    await plane.deployments.create(
        DeploymentSpec(service_name="shop", version="1"), deployment_id="d"
    )
    agent = await plane.agents.register(AgentSpec(agent_id="a-1"))
    await plane.pools.put(PoolSpec(pool_name="default"))
    job = await plane.jobs.create(JobSpec(job_type="build"))
    session = await plane.sessions.create("ann")
    key = await plane.keys.create(KeySpec(name="ci", scopes=["jobs:read"]))
    return {
        "agents.register.spec": AgentSpec(agent_id="a-2"),
        "deployments.create.spec": DeploymentSpec(service_name="shop", version="2"),
        "deployments.create.deployment_id": None,
        "pools.put.spec": PoolSpec(pool_name="other"),
        "spec": JobSpec(job_type="build"),
        "specs": [JobSpec(job_type="build")],
        "agent_id": "a-1",
        "jobs.list.agent_id": None,
        "incarnation": agent.incarnation,
        "agents.drain.incarnation": None,
        "agents.deregister.incarnation": None,
        "agents.set_status.status": "unhealthy",
        "deployment_id": "d",
        "job_id": job.job_id,
        "pool_name": "default",
        "user_id": "ann",
        "token": session.token,
        "request_id": "r-1",
        "session_id": session.session.session_id,
        "keys.create.spec": KeySpec(name="ci", scopes=["jobs:read"]),
        "key_id": key.key.key_id,
        "keys.authenticate.token": key.token,
        "claimed": held,
        "claims": [held],
        "ends": [(held, Outcome.exited(0))],
        "outcome": Outcome.exited(0),
        "metrics": DeploymentMetrics(error_rate=0.5),
        "agents.heartbeat.metrics": None,
        "priority": Priority.HIGH,
        "succeeded": True,
        "reason": "why",
        "error_message": "why",
        "deployments.record_staging.error_message": None,
        "deployments.record_production.error_message": None,
        "status": None,
        "labels": (),
        "limit": 1,
        "wait": 0.0,
        "jobs.wait.timeout": 0.0,
        "target_agents": 3,
        "actor": "ann",
    }


def value_of(values: dict[str, Any], path: str, parameter: inspect.Parameter) -> Any:
    name = path.rpartition(".")[2]
    if path in values:
        return values[path]
    if parameter.default is not inspect.Parameter.empty:
        return parameter.default
    return values[name]


async def call(method: Any, arguments: inspect.BoundArguments) -> None:
    answer = method(*arguments.args, **arguments.kwargs)
    if inspect.isawaitable(answer):
        await answer
        return
    try:  # a generator of events: its first step
        await anext(answer)
    finally:
        await answer.aclose()


@pytest.mark.parametrize(("service", "name", "wrong"), list(methods()))
async def test_argument_of_a_wrong_type_is_refused_by_its_name(
    store: Store, service: str, name: str, wrong: str
) -> None:
    plane = ControlPlane(store, settings=SETTINGS)
    values = await right(plane)
    method = getattr(getattr(plane, service), name)
    signature = inspect.signature(method)
    bare: list[str] = []
    path = f"{service}.{name}.{wrong}"
    for value in WRONG:
        if path in ENDLESS and value is ENDLESS[path]:
            continue
        given = {
            each: value_of(values, f"{service}.{name}.{each}", parameter)
            for each, parameter in signature.parameters.items()
        }
        if service == "events" and name == "follow" and wrong != "cursor":
            given["cursor"] = None
        bound = signature.bind(**{**given, wrong: value})
        try:
            await call(method, bound)
        except InvalidInput as refused:
            if wrong.rstrip("s") not in refused.field and refused.field not in OTHER_NAMES.get(
                wrong, ()
            ):
                bare.append(f"{value!r:.40}: names {refused.field}")
        except CicdError:
            pass
        except Exception as error:  # noqa: BLE001 - each kind is a fault
            bare.append(f"{value!r:.40}: {type(error).__name__}: {error}")
    assert bare == []


def switches() -> list[tuple[str, str, str]]:
    """Return every parameter that is a yes or a no."""
    plane = ControlPlane.__new__(ControlPlane)
    ControlPlane.__init__(plane, MemoryBackend(COLLECTIONS))
    return [
        (service, name, parameter)
        for service, name, parameter in methods()
        if inspect.signature(getattr(getattr(plane, service), name))
        .parameters[parameter]
        .annotation
        == "bool"
    ]


@pytest.mark.parametrize(("service", "name", "wrong"), switches())
@pytest.mark.parametrize("value", ["false", "", 0, 1, None])
async def test_what_is_no_boolean_is_never_taken_for_one(
    store: Store, service: str, name: str, wrong: str, value: object
) -> None:
    plane = ControlPlane(store, settings=SETTINGS)
    values = await right(plane)
    method = getattr(getattr(plane, service), name)
    given = {
        each: value_of(values, f"{service}.{name}.{each}", parameter)
        for each, parameter in inspect.signature(method).parameters.items()
    }
    arguments = inspect.signature(method).bind(**{**given, wrong: value})
    with pytest.raises(InvalidInput) as refused:
        await call(method, arguments)
    assert refused.value.field == wrong


def test_the_switches_are_those_that_are_known() -> None:
    assert {f"{service}.{name}.{wrong}" for service, name, wrong in switches()} == {
        "deployments.record_production.succeeded",
        "deployments.record_staging.succeeded",
        "events.follow.from_now",
        "pools.delete.force",
        "queue.claim.start",
        "queue.release.began",
    }


async def test_a_control_plane_is_not_opened_with_a_text_for_maintenance() -> None:
    with pytest.raises(InvalidInput) as refused:
        async with ControlPlane.open("memory://", maintenance="false"):  # type: ignore[arg-type]  # the mistake
            pass
    assert refused.value.field == "maintenance"


#: Parameters that are whole values, whose own fields are named.
OTHER_NAMES = {
    "spec": ("job_type", "agent_id", "service_name", "pool_name"),
    "specs": ("job_type",),
}


async def test_lists_may_be_given_by_what_can_be_read_once(plane: ControlPlane) -> None:
    (job,) = await plane.queue.enqueue_many(iter([JobSpec(job_type="build")]))  # type: ignore[arg-type]  # a mistake that works
    claims = await plane.queue.claim(agent_id="a-1", labels=iter(["x"]), job_types=iter(["build"]))  # type: ignore[arg-type]  # a mistake that works
    assert [each.job.job_id for each in claims] == [job.job_id]
    (status,) = await plane.queue.renew(iter(claims))  # type: ignore[arg-type]  # a mistake that works
    assert status.held
    agent = await plane.agents.register(AgentSpec(agent_id="a-2"))
    stuck = iter([StuckReport(job_id=job.job_id, seconds=1.0, reason="timeout")])
    beaten = await plane.agents.heartbeat("a-2", agent.incarnation, stuck=stuck)  # type: ignore[arg-type]  # a mistake that works
    assert (beaten.stuck_slots, [each.job_id for each in beaten.stuck]) == (1, [job.job_id])
