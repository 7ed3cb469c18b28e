"""What the tests of the DynamoDB store share: the engines, on asyncio alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cicd_core.ids import IdSource
from tests.dynamodb.engines import engines
from tests.dynamodb.harness import harness_of

if TYPE_CHECKING:
    from tests.dynamodb.harness import DynamoDBHarness


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """The driver needs asyncio."""
    return "asyncio"


FIRST, *FURTHER = engines()
THOROUGH = [pytest.param(name, marks=pytest.mark.thorough) for name in FURTHER]


@pytest.fixture(scope="module", params=[FIRST, *THOROUGH])
def engine(request: pytest.FixtureRequest) -> str:
    """Each engine that this machine can have."""
    return str(request.param)


@pytest.fixture
def dynamodb(engine: str) -> DynamoDBHarness:
    """How a store is opened on an engine."""
    return harness_of(engine)


@pytest.fixture
def namespace() -> str:
    """A namespace that nobody used before."""
    return f"test-{IdSource().commit_id()}"
