"""The guide for authors of stores speaks of the contract and the suite that there are."""

from __future__ import annotations

import re
from pathlib import Path

from cicd_core.testing import Capability, HistoryConformance, StoreConformance
from cicd_core.testing.conformance.suite import Suite
from tests.verbs import VERBS

DOCS = Path(__file__).parents[2] / "docs"
GUIDE = (DOCS / "how-to" / "write-a-store.md").read_text(encoding="utf-8")
TOPICS = [each for each in StoreConformance.__mro__ if Suite in each.__bases__]


def verbs_and_topics() -> tuple[list[str], set[str]]:
    """The first column of the table of verbs, and all names in its last one."""
    table = GUIDE.partition("| verb |")[2].partition("\n\n")[0]
    rows = [line.strip("|").split(" | ") for line in table.splitlines()[2:]]
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row[-1])}
    return [row[0].strip(" `") for row in rows], named


def test_the_guide_names_every_verb_in_the_order_of_the_contract() -> None:
    verbs, _ = verbs_and_topics()
    assert verbs == [*VERBS, "all of them"]


def test_the_guide_names_every_topic_of_the_suite() -> None:
    _, topics = verbs_and_topics()
    ours = {topic.__name__ for topic in (*TOPICS, HistoryConformance)}
    assert topics == ours


def test_the_guide_names_tests_that_the_suite_has() -> None:
    named = set(re.findall(r"`(test_\w+)`", GUIDE))
    assert named
    assert [name for name in sorted(named) if not hasattr(StoreConformance, name)] == []


def test_the_guide_names_every_capability() -> None:
    named = set(re.findall(r"`Capability\.(\w+)`", GUIDE))
    assert named == {capability.name for capability in Capability}
