"""What each operation consumes, on each engine, is what the table of costs says.

Both engines count what is written as AWS does. What is read is checked on dynoxide: ministack does
not tell what `BatchGetItem` consumes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio
import pytest

from cicd_core_dynamodb import costs
from cicd_core_dynamodb.costs import BY_NAME, OPERATIONS, Units
from cicd_core_dynamodb.location import SHARDS
from tests.dynamodb.engines import engines, running
from tests.dynamodb.metering import lab, measure, measure_log, measure_storage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cicd_core_dynamodb.costs import PricedOperation

#: How tables are used: the options of the URL, and what they mean for the figures.
SETUPS: Final = {
    "as by default": ("", SHARDS, True, True),
    "without log and marks": ("&log=off&claim_marks=off", SHARDS, False, False),
    "with one shard": ("&shards=1&log_shards=1", 1, True, True),
}
#: A lifecycle of a small job may consume this much.
WITHOUT_LOG: Final = Units(writes=14, reads=2)
WITH_LOG: Final = Units(writes=20, reads=2)
#: What depends on chance or on sizes is at least this part of what is said to be the most.
ABOUT: Final = 0.75


def url_of(engine: str, prefix: str, setup: str = "as by default") -> str:
    """Name tables of their own: what others wrote would be read too."""
    options, *_ = SETUPS[setup]
    endpoint = running(engine).endpoint
    return (
        f"dynamodb://?prefix={prefix}&region=us-east-1&endpoint={endpoint}&create_tables=true"
        f"&timeout=30&connect_timeout=30{options}"
    )


@pytest.fixture(scope="module", params=SETUPS)
def setup(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def measured(engine: str, setup: str) -> Mapping[str, Units]:
    """Each operation, done once for all tests of a setup."""

    async def do() -> Mapping[str, Units]:
        async with lab(url_of(engine, f"budget{list(SETUPS).index(setup)}-", setup)) as made:
            return await measure(made)

    return anyio.run(do)


@pytest.mark.thorough
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
def test_an_operation_consumes_what_the_table_says(
    measured: Mapping[str, Units], setup: str, engine: str, operation: PricedOperation
) -> None:
    _, shards, log, marks = SETUPS[setup]
    if operation.needs_log and not log:
        assert operation.name not in measured
        return
    told = operation.total(shards=shards, log=log, marks=marks)
    found = measured[operation.name]
    least = 1 if operation.exact else ABOUT
    assert told.writes * least <= found.writes <= told.writes
    assert found.reads <= told.reads
    if engine == "dynoxide":
        assert found.reads >= told.reads * least


def test_every_operation_that_is_measured_stands_in_the_table(
    measured: Mapping[str, Units], setup: str
) -> None:
    _, _, log, _ = SETUPS[setup]
    assert set(measured) == {name for name, each in BY_NAME.items() if log or not each.needs_log}


@pytest.fixture(scope="module")
def logged(engine: str) -> Mapping[str, Units]:
    """What the log consumes, as the tables are used by default."""

    async def do() -> Mapping[str, Units]:
        async with lab(url_of(engine, "budget-log-")) as made:
            return await measure_log(made)

    return anyio.run(do)


def test_a_lifecycle_with_events_log_and_counters_is_within_its_budget(
    logged: Mapping[str, Units],
) -> None:
    assert logged["lifecycle"].writes + logged["copying"].writes <= WITH_LOG.writes
    assert logged["lifecycle"].reads <= WITH_LOG.reads


def test_a_lifecycle_is_the_sum_of_its_operations(logged: Mapping[str, Units]) -> None:
    told = costs.lifecycle(shards=SHARDS)
    assert logged["lifecycle"] == told


def test_a_lifecycle_without_log_and_marks_is_within_its_budget() -> None:
    told = costs.lifecycle(shards=SHARDS, log=False, marks=False)
    assert told.writes <= WITHOUT_LOG.writes
    assert told.reads <= WITHOUT_LOG.reads


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("copying", costs.COPYING),
        ("look at the log", costs.LOG_LOOK),
        ("tending", costs.TENDING),
    ],
)
def test_the_log_consumes_what_is_said_of_it(
    logged: Mapping[str, Units], engine: str, name: str, told: Units
) -> None:
    assert told.writes / 2 <= logged[name].writes <= told.writes
    assert logged[name].reads <= told.reads
    if engine == "dynoxide":
        assert logged[name].reads >= told.reads / 2


@pytest.mark.parametrize("engine", engines()[:1], indirect=True)
def test_what_a_job_leaves_takes_the_room_that_is_said_of_it(engine: str) -> None:
    async def do() -> Mapping[str, float]:
        url = url_of(engine, "budget-room-")
        async with lab(url) as made:
            return await measure_storage(made, url)

    found = anyio.run(do)
    for name, told in (
        ("job", costs.JOB_BYTES),
        ("indexes", costs.JOB_INDEX_BYTES),
        ("log", costs.LOG_BYTES),
        ("read again", costs.JOURNAL_BYTES),
    ):
        assert told * ABOUT <= found[name] <= told, (name, found)
