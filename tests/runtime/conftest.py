"""A source to test against, and the promise that no agent leaves a thread behind."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tests.runtime.fake_source import FakeSource

if TYPE_CHECKING:
    from collections.abc import Generator


@pytest.fixture
def source() -> FakeSource:
    return FakeSource()


@pytest.fixture
def quick_source(monkeypatch: pytest.MonkeyPatch) -> FakeSource:
    """Leases that are renewed every tenth of a second, and that a busy machine does not lose."""
    monkeypatch.setattr("cicd_core.agent.lease_table.RENEWAL_PART", 1 / 100)
    return FakeSource(lease_seconds=10.0)


@pytest.fixture(autouse=True)
def no_keeper_is_left_behind() -> Generator[None]:
    yield
    assert [each for each in threading.enumerate() if each.name.startswith("cicd-core")] == []
