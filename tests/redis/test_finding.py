"""Whom a store asks for the way: the nodes that it was given, and those that there are now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cicd_core_redis.discovery import ClusterSource

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cicd_core_redis.discovery import Address

pytestmark = pytest.mark.anyio


class Described(ClusterSource):
    """A cluster that is only told of."""

    def __init__(self, given: list[Address]) -> None:
        super().__init__(given, {}, key=b"key", where="the cluster", connect_timeout=1.0)
        #: The nodes of the only shard, its primary first; none: nobody answers.
        self.nodes: list[Address] = []
        self.asked: list[Address] = []

    async def _answer_of(self, host: str, port: int) -> Any:
        self.asked.append((host, port))
        if not self.nodes:
            raise ConnectionError("it is away")
        return [[0, 16383, *([host.encode(), port, b"id"] for host, port in self.nodes)]]

    async def _to(self, host: str, port: int, settings: Mapping[str, Any]) -> Any:
        return host, port

    async def all_asked(self) -> list[Address]:
        """Return whom it asks when nobody answers."""
        self.nodes = []
        self.asked = []
        with pytest.raises(ConnectionError):
            await self.connect()
        return self.asked


def nodes_of(generation: int) -> list[Address]:
    return [(f"10.0.{generation}.{number}", 6379) for number in range(6)]


async def test_nodes_that_have_gone_are_forgotten_and_those_that_were_given_are_not() -> None:
    given = [("seed", 1), ("seed", 2)]
    source = Described(given)
    for generation in range(50):
        source.nodes = nodes_of(generation)
        found: object = await source.connect()
        assert found == source.nodes[0]
    assert sorted(await source.all_asked()) == sorted([*given, *nodes_of(49)])


async def test_a_node_whose_answer_leads_nowhere_is_asked_last() -> None:
    source = Described([("a", 1)])
    source.nodes = [("a", 1), ("b", 1), ("c", 1)]
    await source.connect()
    first = await source.all_asked()
    assert sorted(first) == [("a", 1), ("b", 1), ("c", 1)]
    again = await source.all_asked()
    assert again == [*first[1:], first[0]]
