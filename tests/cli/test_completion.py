"""A shell completes ids, pools, services and job types from the store, by its own protocol."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from cicd_core import AgentSpec, ControlPlane
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.person import Person


@pytest.fixture(autouse=True)
def _it_waits_for_a_busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CICD_COMPLETION_SECONDS", str(PATIENCE))


@pytest.fixture
def complete(person: Person, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[str]]:
    """What bash offers for the last word of a line, which may be empty."""

    def offers(line: str) -> list[str]:
        with monkeypatch.context() as shell:
            words = line.split(" ")
            shell.setenv("_CICD_CORE_COMPLETE", "complete_bash")
            shell.setenv("COMP_WORDS", f"cicd-core {line}")
            shell.setenv("COMP_CWORD", str(len(words)))
            answer = person.types()
        assert (answer.code, answer.err) == (0, "")
        return answer.out.split()

    return offers


def test_ids_of_jobs_are_completed_from_the_store(
    person: Person, complete: Callable[[str], list[str]]
) -> None:
    first, second = person.enqueues("build"), person.enqueues("test")
    for command in ("job", "why", "logs", "reprioritise", "events --job"):
        assert complete(f"{command} ") == [second, first]
    person.types("cancel", first)
    assert complete("cancel ") == [second]
    assert complete(f"cancel {second[:-1]}") == [second]
    assert complete("job x") == complete("replay ") == []


def test_names_are_completed_from_the_store(
    person: Person, complete: Callable[[str], list[str]], tmp_path: Path
) -> None:
    async def register() -> None:
        async with ControlPlane.open(f"sqlite:///{tmp_path}/ci.db", maintenance=False) as plane:
            await plane.agents.register(AgentSpec(agent_id="a1", job_types=("deploy",)))

    anyio.run(register)
    person.types("pools", "put", "mac")
    person.types("enqueue", "build", "--pool", "linux")
    person.types("deployments", "create", "web", "1.0", "--id", "d1")
    key = person.asks("keys", "create", "ci", "--scope", "jobs:read")["key"]["key_id"]
    assert complete("stats --pool ") == ["default", "linux", "mac"]
    assert complete("pools show ") == ["mac"]
    assert complete("enqueue ") == ["build", "deploy", "shell"]
    assert complete("enqueue --pool l") == ["linux"]
    assert complete("agents show ") == complete("jobs --agent ") == ["a1"]
    assert complete("deployments --service ") == complete("deployments create ") == ["web"]
    assert complete("deployments stage ") == ["d1"]
    assert complete("keys revoke ") == [key]


def test_zsh_obeys_nothing_that_others_wrote(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = "a\\$(touch x)\\`touch x`\\\"; touch x; ' (b)\n:c"
    assert person.types("pools", "put", "mac", "--description", hostile).code == 0
    monkeypatch.setenv("_CICD_CORE_COMPLETE", "complete_zsh")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "cicd-core pools show ")
    answer = person.types()
    said = "a touch x touch x touch x b c"
    assert answer.out == f"""_arguments '*: :(("mac":"{said}"))'\n"""


def test_words_that_need_no_store_are_completed(complete: Callable[[str], list[str]]) -> None:
    assert complete("enqueue --priority h") == ["high"]
    assert complete("jobs --status dead") == ["dead_lettered"]
    assert complete("agents set-status a1 un") == ["unhealthy"]
    assert complete("deployments --status li") == ["live"]
    assert complete("events --type job.res") == complete("events --type nonsense") == []
    assert "job.released" in complete("events --type job.re")
    assert complete("agents ") == ["list", "show", "drain", "set-status", "deregister"]
    assert complete("pools list --li") == ["--limit"]


@pytest.mark.parametrize(
    "url",
    ["sqlite:///typo.db", "memory://", "foo://x", "nonsense", "redis://127.0.0.1:1", "sqlite:///x"],
)
def test_store_that_cannot_be_read_offers_nothing_and_is_not_made(
    complete: Callable[[str], list[str]], tmp_path: Path, url: str
) -> None:
    (tmp_path / "x").write_text("this is no database")
    before = sorted(tmp_path.iterdir())
    assert complete(f"job --store {url} ") == []
    assert sorted(tmp_path.iterdir()) == before


def test_installed_completion_works_in_bash(person: Person, tmp_path: Path) -> None:
    job = person.enqueues("build")
    lines = (
        "cicd-core --install-completion",
        "source ~/.bashrc",
        "COMP_WORDS=(cicd-core job '') COMP_CWORD=2",
        "_cicd_core_completion cicd-core",
        'echo "${COMPREPLY[@]}"',
    )
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    shell = subprocess.run(
        ["bash", "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
        env={**os.environ, "HOME": str(tmp_path), "PATH": path},
    )
    assert shell.stdout.splitlines()[-1] == job
    assert "bash completion installed" in shell.stdout
