"""The conformance suite is whole, and stays whole in the hands of others."""

from __future__ import annotations

from collections import Counter

import pytest

from cicd_core.testing import StoreConformance
from cicd_core.testing.conformance.suite import Suite

TOPICS = [topic for topic in StoreConformance.__mro__ if Suite in topic.__bases__]


def test_no_two_topics_have_a_test_or_a_fixture_of_one_name() -> None:
    names = Counter(
        name
        for topic in TOPICS
        for name in vars(topic)
        if not name.startswith(("__", "pytestmark"))
    )
    assert [name for name, times in names.items() if times > 1] == []


def test_a_suite_that_is_left_as_it_is_is_intact() -> None:
    class TestMine(StoreConformance):
        pass

    TestMine().test_no_test_of_the_suite_is_overridden_or_removed()


def test_a_test_that_is_overridden_is_missed() -> None:
    class TestMine(StoreConformance):
        async def test_increments_add_up(self) -> None:  # type: ignore[override]  # as a cheat would
            pass

    with pytest.raises(AssertionError, match="test_increments_add_up"):
        TestMine().test_no_test_of_the_suite_is_overridden_or_removed()


def test_a_test_that_is_taken_away_is_missed() -> None:
    class TestMine(StoreConformance):
        test_increments_add_up = None  # type: ignore[assignment]  # as a cheat would

    with pytest.raises(AssertionError, match="test_increments_add_up"):
        TestMine().test_no_test_of_the_suite_is_overridden_or_removed()


def test_a_test_that_is_said_to_fail_and_why_is_not_missed() -> None:
    class TestMine(StoreConformance):
        @pytest.mark.xfail(reason="this store counts with floats")
        async def test_increments_add_up(self) -> None:  # type: ignore[override]  # fails anyway
            raise NotImplementedError

    TestMine().test_no_test_of_the_suite_is_overridden_or_removed()
