"""No call runs more commands on the server, the more records there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.growing_costs import CountedHarness, growing
from tests.redis.test_store_conformance import shared_harness

if TYPE_CHECKING:
    import pytest

    from cicd_core.testing import StoreHarness


def walking_harness() -> StoreHarness:
    return CountedHarness(shared_harness(), walks=True)


def test_no_call_runs_more_commands_in_a_larger_store(capsys: pytest.CaptureFixture[str]) -> None:
    assert growing(f"{__name__}:shared_harness", capsys) == []


def test_a_count_that_walks_is_found_by_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert growing(f"{__name__}:walking_harness", capsys) == ["count"]
