"""An engine that is missing skips its tests, or fails them where a check requires every engine."""

from __future__ import annotations

import pytest

from tests.redis import engines
from tests.required import REQUIRED


@pytest.fixture(autouse=True)
def no_redis_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "redis_server", lambda: None)


def test_without_the_oldest_engine_its_tests_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REQUIRED, raising=False)
    with pytest.raises(pytest.skip.Exception, match="no redis-server"):
        engines.oldest()


def test_where_every_engine_is_required_they_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match="no redis-server"):
        engines.oldest()
