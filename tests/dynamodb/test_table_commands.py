"""``cicd-core dynamodb``: what a person types, on each engine, and what comes of it."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

import anyio
import pytest

from cicd_core import ControlPlane, JobSpec
from cicd_core.entities import COLLECTIONS
from cicd_core.ids import IdSource
from cicd_core.store.registry import StoreURL
from cicd_core_dynamodb.tables import tables_of
from tests.cli.person import Person
from tests.dynamodb.engines import running

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path
    from typing import Any

NAMES = [table.name for table in tables_of(COLLECTIONS)]


@pytest.fixture
def person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Person:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CICD_STORE", raising=False)
    return Person(capsys, monkeypatch)


@pytest.fixture
def prefix() -> str:
    """Tables that nobody else has."""
    return f"{IdSource().commit_id()[:8]}-"


@pytest.fixture
def url(engine: str, prefix: str) -> str:
    return f"dynamodb://?prefix={prefix}&region=us-east-1&endpoint={running(engine).endpoint}"


def changed(url: str, table: str, change: Callable[[Any, str], Any]) -> None:
    """Change a table behind the back of the commands, as a person might at AWS."""
    session = import_module("aioboto3").Session()
    options = StoreURL.parse(url).options

    async def do() -> None:
        async with session.client(
            "dynamodb", region_name="us-east-1", endpoint_url=options["endpoint"]
        ) as client:
            await change(client, options["prefix"] + table)

    anyio.run(do)


@contextmanager
def typing(monkeypatch: pytest.MonkeyPatch, words: str) -> Generator[None, None, None]:
    """Somebody sits at a terminal, and types this when asked."""

    class Terminal:
        def isatty(self) -> bool:
            return True

    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", Terminal())
        patch.setattr("typer.prompt", lambda *_, **__: words)
        yield


def test_tables_are_made_and_then_as_the_code_needs_them(person: Person, url: str) -> None:
    answer = person.types("dynamodb", "create-tables", "--store", url, "--no-recovery")
    assert answer.code == 0
    assert answer.out.count("is ready") == len(NAMES)
    assert person.types("dynamodb", "check", "--store", url, "--no-recovery", "--strict").code == 0


def test_a_store_works_on_the_tables_that_were_made(person: Person, url: str) -> None:
    person.types("dynamodb", "create-tables", "--store", url)

    async def enqueue() -> str:
        async with ControlPlane.open(url, maintenance=False) as plane:
            job = await plane.queue.enqueue(JobSpec(job_type="build"))
            (claimed,) = await plane.queue.claim(agent_id="agent-1")
            assert claimed.job.job_id == job.job_id
            return job.job_id

    job_id = anyio.run(enqueue)
    assert person.types("job", job_id, "--store", url).code == 0


def test_tables_that_are_there_stay_as_they_are(person: Person, url: str, prefix: str) -> None:
    first = person.types("dynamodb", "create-tables", "--store", url, "--json").json
    assert first == {"prefix": prefix, "created": [prefix + name for name in NAMES], "there": []}
    again = person.types("dynamodb", "create-tables", "--store", url, "--json").json
    assert again == {"prefix": prefix, "created": [], "there": [prefix + name for name in NAMES]}


def test_tables_that_are_missing_are_said_and_the_exit_code_tells(
    person: Person, url: str, prefix: str
) -> None:
    answer = person.types("dynamodb", "check", "--store", url, "--json")
    assert answer.code == 1
    assert not answer.json["ok"]
    assert [each["table"] for each in answer.json["findings"]] == [prefix + name for name in NAMES]
    assert all(each["needed"] for each in answer.json["findings"])


def test_what_is_only_advice_is_said_and_counts_when_strict(person: Person, url: str) -> None:
    person.types("dynamodb", "create-tables", "--store", url, "--no-deletion-protection")
    answer = person.types("dynamodb", "check", "--store", url)
    assert answer.code == 0
    assert "should change: turn deletion protection on" in answer.out
    assert person.types("dynamodb", "check", "--store", url, "--strict").code == 1


def test_retention_that_goes_by_another_attribute_is_found(person: Person, url: str) -> None:
    person.types("dynamodb", "create-tables", "--store", url)

    async def turn_off(client: Any, table: str) -> None:
        for enabled, name in ((False, "T"), (True, "ttl")):
            words = {"Enabled": enabled, "AttributeName": name}
            await client.update_time_to_live(TableName=table, TimeToLiveSpecification=words)

    changed(url, "jobs", turn_off)
    answer = person.types("dynamodb", "check", "--store", url)
    assert answer.code == 1
    assert "TTL uses the attribute ttl" in answer.out


def test_an_index_that_is_gone_is_found(person: Person, url: str) -> None:
    person.types("dynamodb", "create-tables", "--store", url)

    async def drop(client: Any, table: str) -> None:
        delete = {"Delete": {"IndexName": "timer-due-index"}}
        await client.update_table(TableName=table, GlobalSecondaryIndexUpdates=[delete])

    changed(url, "agents", drop)
    answer = person.types("dynamodb", "check", "--store", url)
    assert answer.code == 1
    assert "the index timer-due-index is missing" in answer.out


@pytest.mark.parametrize("confirm", [(), ("--confirm", "other-"), ("--confirm", "")])
def test_nothing_is_deleted_without_the_prefix(
    person: Person, url: str, confirm: tuple[str, ...]
) -> None:
    person.types("dynamodb", "create-tables", "--store", url, "--no-deletion-protection")
    answer = person.types("dynamodb", "delete-tables", "--store", url, *confirm)
    assert answer.code == 4
    assert "nothing was deleted" in answer.err
    assert person.types("dynamodb", "check", "--store", url).code == 0


def test_nothing_is_deleted_that_is_protected(person: Person, url: str, prefix: str) -> None:
    person.types("dynamodb", "create-tables", "--store", url)
    answer = person.types("dynamodb", "delete-tables", "--store", url, "--confirm", prefix)
    assert answer.code == 4
    assert "--unprotect" in answer.err
    assert person.types("dynamodb", "check", "--store", url).code == 0


def test_tables_are_deleted_when_the_prefix_is_given(person: Person, url: str, prefix: str) -> None:
    person.types("dynamodb", "create-tables", "--store", url)
    words = ("dynamodb", "delete-tables", "--store", url, "--confirm", prefix, "--unprotect")
    assert person.types(*words, "--json").json["deleted"] == [prefix + name for name in NAMES]
    assert "there are no tables" in person.types(*words).out


@pytest.mark.parametrize("right", [True, False])
def test_who_sits_at_a_terminal_is_asked_to_type_the_prefix(
    person: Person, url: str, prefix: str, monkeypatch: pytest.MonkeyPatch, right: bool
) -> None:
    person.types("dynamodb", "create-tables", "--store", url, "--no-deletion-protection")
    with typing(monkeypatch, prefix if right else "yes"):
        answer = person.types("dynamodb", "delete-tables", "--store", url)
    assert answer.code == (0 if right else 4)
    assert (person.types("dynamodb", "check", "--store", url).code == 1) is right


def test_options_take_precedence_over_the_url(person: Person, engine: str, prefix: str) -> None:
    endpoint = running(engine).endpoint
    place = ("--region", "us-east-1", "--endpoint", endpoint, "--prefix", prefix)
    url = "dynamodb://?prefix=other-"
    created = person.types("dynamodb", "create-tables", "--store", url, *place, "--json").json
    assert created["prefix"] == prefix


@pytest.mark.parametrize("store", ["sqlite:///ci.db", None])
def test_tables_must_be_named(
    person: Person, store: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if store is not None:
        monkeypatch.setenv("CICD_STORE", store)
    answer = person.types("dynamodb", "check", "--json")
    assert answer.code == 2
    assert "--prefix" in answer.error["message"]


def test_an_endpoint_that_nobody_answers_at_is_a_store_that_is_unavailable(person: Person) -> None:
    url = "dynamodb://?region=us-east-1&endpoint=http://127.0.0.1:9"
    assert person.types("dynamodb", "check", "--store", url).code == 5


def test_the_bill_can_be_read_by_programs(person: Person) -> None:
    bill = person.types("dynamodb", "cost", "--jobs", "1e6", "--agents", "10", "--json").json
    assert bill["dollars"] == pytest.approx(sum(line["dollars"] for line in bill["lines"]))
    assert json.dumps(bill["workload"])


def test_the_bill_says_where_it_goes_and_fits_into_a_terminal(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = person.types("dynamodb", "cost", "--agents", "1000").out
    for name in ("idle polling", "heartbeats", "lease renewals", "storage", "log"):
        assert name in out
    assert "<1%" in out
    assert max(map(len, out.splitlines())) <= 80


def test_a_workload_that_cannot_be_is_refused(person: Person) -> None:
    assert person.types("dynamodb", "cost", "--agents", "-1").code == 2
