"""What each command prints with --json is valid by the published schema of its value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
import typer.main
from jsonschema import Draft202012Validator, FormatChecker

from cicd_core import (
    AgentInfo,
    AgentSpec,
    ApiKey,
    AuditReport,
    ControlPlane,
    DashboardSummary,
    Deployment,
    Event,
    Job,
    Outcome,
    Page,
    Pool,
    PoolStatus,
    QueueStats,
    Reason,
    ScalingSignal,
    SweepReport,
    UnreadableEvent,
    json_schema,
)
from cicd_core.cli.app import app

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.person import Person

#: Command lines, in an order in which all of them are legal, and the class of what each prints;
#: a list gives the class of its items.
DOCUMENTS: list[tuple[str, Any]] = [
    ("enqueue build --priority high --repo https://example.org/app.git --meta a=b", Job),
    ("job {job}", Job),
    ("jobs", Page[Job]),
    ("jobs --dead", Page[Job]),
    ("why {job}", [Reason]),
    ("reprioritise {job} low", Job),
    ("reprioritize {job} high", Job),
    ("cancel {job}", {"items": [Job]}),
    ("replay {dead}", {"items": [Job]}),
    ("stats", QueueStats),
    ("summary", DashboardSummary),
    ("events", {"items": [Event | UnreadableEvent]}),
    ("requeue-expired", SweepReport),
    ("sweep", SweepReport),
    ("audit", AuditReport),
    ("agents list", Page[AgentInfo]),
    ("agents show a1", AgentInfo),
    ("agents set-status a1 degraded --reason slow", AgentInfo),
    ("agents drain a1", AgentInfo),
    ("agents deregister a1", AgentInfo),
    ("pools put linux --max 3", Pool),
    ("pools set linux --max 4", Pool),
    ("pools list", Page[PoolStatus]),
    ("pools show linux", PoolStatus),
    ("pools scaling linux", ScalingSignal),
    ("pools delete linux", str),
    ("keys create ci --scope jobs:read", {"key": ApiKey, "token": str}),
    ("keys list", Page[ApiKey]),
    ("keys show {key}", ApiKey),
    ("keys replace {key}", {"key": ApiKey, "token": str}),
    ("keys revoke {key}", ApiKey),
    ("deployments create web 1 --id d1", Deployment),
    ("deployments list", Page[Deployment]),
    ("deployments show d1", Deployment),
    ("deployments stage d1", Deployment),
    ("deployments staged d1", Deployment),
    ("deployments production d1", Deployment),
    ("deployments live d1", Deployment),
    ("deployments metrics d1 --error-rate 0.1", Deployment),
    ("deployments rollback d1 --reason slow", Deployment),
    ("deployments create web 2 --id d2", Deployment),
    ("deployments fail d2 --error broken", Deployment),
]
#: These print no public value: what they say has its own tests.
OTHERS = {"agent", "demo", "logs", "serve", "stores", "top", "version"}


@pytest.fixture
def ids(person: Person) -> dict[str, str]:
    """The ids that the command lines name: a job in the queue, and a dead letter."""

    async def made() -> dict[str, str]:
        async with ControlPlane.open("sqlite:///ci.db", maintenance=False) as plane:
            await plane.agents.register(AgentSpec(agent_id="a1"))
            (claimed,) = await plane.queue.claim(agent_id="a1", start=True)
            dead = await plane.queue.complete(claimed, Outcome.error("broken"))
            return {"dead": dead.job_id}

    person.enqueues("build", "--max-attempts", "1")
    found = anyio.run(made)
    key: str = person.asks("keys", "create", "other", "--scope", "jobs:read")["key"]["key_id"]
    return found | {"job": person.enqueues("build"), "key": key}


def leaves(document: Any, kind: Any) -> Iterator[tuple[Any, Any]]:
    """Pairs of a document and the class whose schema it must fit."""
    if isinstance(kind, list):
        assert document, "an empty list would fit anything"
        for item in document:
            yield from leaves(item, kind[0])
    elif isinstance(kind, dict):
        for name, inner in kind.items():
            yield from leaves(document[name], inner)
    else:
        yield document, kind


def test_every_document_fits_the_schema_of_its_value(person: Person, ids: dict[str, str]) -> None:
    for line, kind in DOCUMENTS:
        document = person.asks(*line.format(**ids).split())
        for part, expected in leaves(document, kind):
            schema = json_schema(expected)
            Draft202012Validator(schema, format_checker=FormatChecker()).validate(part)


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        elif "--json" in {option for each in command.params for option in each.opts}:
            yield (*path, name)


def test_every_command_that_prints_a_value_is_tried() -> None:
    tried = {line for line, _ in DOCUMENTS}
    missed = {
        path
        for path in commands(typer.main.get_command(app))
        if path[0] not in OTHERS and not any(line.split()[: len(path)] == [*path] for line in tried)
    }
    assert missed == set()
