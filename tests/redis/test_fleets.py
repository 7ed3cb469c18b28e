"""Servers that elect one another do it here as in earnest: the tests of failover rely on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import redis

from tests.redis.clusters import open_cluster
from tests.redis.sentinels import open_replicated, open_sentinels, role

if TYPE_CHECKING:
    from tests.redis.engines import Engine

pytestmark = pytest.mark.cluster


def test_a_replica_holds_what_the_primary_waited_for(engine: Engine) -> None:
    with open_replicated(engine, replicas=2) as servers:
        with servers.primary.client() as client:
            client.set("kept", "yes")
            assert client.wait(2, 10_000) == 2
        assert [each.ask("GET", "kept") for each in servers.replicas] == ["yes", "yes"]
        with pytest.raises(redis.ReadOnlyError):
            servers.replicas[0].ask("SET", "kept", "no")


def test_sentinels_name_another_primary_when_it_is_killed(engine: Engine) -> None:
    with open_sentinels(engine, replicas=2) as servers:
        first = servers.primary
        with first.client() as client:
            client.set("kept", "yes")
            client.wait(2, 10_000)
        first.kill()
        second = servers.wait_for_another(first)
        assert role(second) == "master"
        assert second.ask("GET", "kept") == "yes"


def test_a_cluster_of_six_forms_and_fails_over(engine: Engine) -> None:
    with open_cluster(engine) as cluster:
        assert len(cluster.primaries) == 3
        first = cluster.owner_of("{team}kept")
        with first.client() as client:
            client.set("{team}kept", "yes")
            client.wait(1, 10_000)
        first.kill()
        second = cluster.wait_for_another("{team}kept", first)
        assert second.ask("GET", "{team}kept") == "yes"
        first.start()
        cluster.wait_ready()
        assert cluster.replicas_of(second) == [first]
        assert cluster.hand_over("{team}kept") is first


def test_a_cluster_without_replicas_sends_a_client_to_the_owner(engine: Engine) -> None:
    with open_cluster(engine, replicas=0) as cluster:
        owner = cluster.owner_of("{team}")
        other = next(each for each in cluster.primaries if each is not owner)
        with pytest.raises(redis.exceptions.MovedError) as moved:
            other.ask("GET", "{team}")
        assert moved.value.port == owner.port
