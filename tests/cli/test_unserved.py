"""``enqueue`` warns of jobs that no live agent can run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import anyio
import pytest

from cicd_core import AgentSpec, ControlPlane

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.person import Person


@pytest.fixture
def agent(person: Person, tmp_path: Path) -> str:
    """The id of an agent that runs builds, and shell jobs, on linux."""

    async def register() -> None:
        async with ControlPlane.open(f"sqlite:///{tmp_path}/ci.db", maintenance=False) as plane:
            spec = AgentSpec(agent_id="a1", labels=("linux",), job_types=("build", "shell"))
            await plane.agents.register(spec)

    anyio.run(register)
    return "a1"


def test_pool_without_a_live_agent_is_warned_of(person: Person, agent: str) -> None:
    alone = "warning: no agent of pool mac is alive, so the job waits: start one, such as "
    warned = person.types("enqueue", "build", "--pool", "mac")
    assert (warned.code, warned.err) == (0, f"{alone}`cicd-core agent --pool mac`\n")
    person.types("agents", "deregister", agent)
    assert "no agent of pool default is alive" in person.types("enqueue", "build").err


@pytest.mark.parametrize(
    ("words", "warning"),
    [
        (["deploy"], "handles jobs of type deploy (the pool's agents handle build, shell), so"),
        (["deploy"], "so the job waits: start an agent that does"),
        (["build", "--label", "gpu"], "handles jobs of type build with the labels gpu (no agent"),
        (
            ["build", "--label", "gpu"],
            "(no agent for build has all of them), so the job waits",
        ),
    ],
)
def test_job_that_no_live_agent_can_run_is_warned_of(
    person: Person, agent: str, words: list[str], warning: str
) -> None:
    answer = person.types("enqueue", *words)
    assert (answer.code, "queued" in answer.out) == (0, True)
    assert answer.err.startswith("warning: no live agent of pool default ")
    assert warning in answer.err


def test_job_that_an_agent_can_run_is_not_warned_of(person: Person, agent: str) -> None:
    assert person.types("enqueue", "build", "--label", "linux").err == ""
    assert person.types("enqueue", "deploy", "--json").err == ""  # stderr has JSON, of errors alone
    key = ("--key", "k1")
    person.types("cancel", person.enqueues("deploy", *key))
    assert person.types("enqueue", "deploy", *key).err == ""  # it has ended


def test_jobs_of_a_file_are_warned_of_by_type(person: Person, agent: str, tmp_path: Path) -> None:
    kinds = [*("build", "a", "a"), *(f"b{number}" for number in range(6))]
    (tmp_path / "jobs").write_text("\n".join(json.dumps({"job_type": kind}) for kind in kinds))
    *warnings, rest = person.types("enqueue", "--from", "jobs").err.splitlines()
    assert [line.split("type ")[1].split(" ")[0] for line in warnings] == [
        "a",
        "b0",
        "b1",
        "b2",
        "b3",
    ]
    assert rest == "(2 more warnings not shown)"
