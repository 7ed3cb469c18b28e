"""A Cluster on loopback: primaries that share the slots, each with replicas of its own."""

from __future__ import annotations

import atexit
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Final

from attrs import frozen

from tests.lifeline import lifeline
from tests.redis.engines import Engine, Option, Server, new_server, until_each
from tests.redis.waiting import until

if TYPE_CHECKING:
    from collections.abc import Generator

SLOTS: Final = 16_384


@frozen
class Cluster:
    """Nodes that know one another; which of them are primaries changes with each failover."""

    nodes: list[Server]

    @property
    def url(self) -> str:
        """A node that runs, from which a client finds the others."""
        return self.running[0].url

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where all nodes listen, those that do not run included."""
        return [each.address for each in self.nodes]

    @property
    def running(self) -> list[Server]:
        """The nodes that run."""
        return [each for each in self.nodes if each.is_running]

    @property
    def primaries(self) -> list[Server]:
        """The nodes that own slots, as the first that runs knows them."""
        owners = {each.port for each in seen_by(self.running[0]) if each.slots}
        return [each for each in self.nodes if each.port in owners]

    def owner_of(self, key: str) -> Server:
        """Return the primary that a key belongs to, as the first node that runs knows it."""
        slot = int(self.running[0].ask("CLUSTER", "KEYSLOT", key))
        view = seen_by(self.running[0])
        (owner,) = (each.port for each in view if any(slot in span for span in each.slots))
        return self._at(owner)

    def replicas_of(self, primary: Server) -> list[Server]:
        """Return the nodes that copy a primary."""
        view = seen_by(self.running[0])
        (own,) = (each.node_id for each in view if each.port == primary.port)
        return [self._at(each.port) for each in view if each.primary_id == own]

    def wait_ready(self) -> None:
        """Wait until the nodes that run agree, say that all is well, and every replica follows."""
        until(lambda: len({view_of(each) for each in self.running}) == 1)
        until_each(self.running, is_ready)

    def wait_for_another(self, key: str, than: Server) -> Server:
        """Wait until every node that runs agrees on another owner of a key; return it."""
        others = Cluster([each for each in self.running if each is not than])
        until_each(others.nodes, lambda each: owns_nothing(than, each))
        until_each(others.nodes, is_well)
        return others.owner_of(key)

    def _at(self, port: int) -> Server:
        return next(each for each in self.nodes if each.port == port)

    def hand_over(self, key: str) -> Server:
        """Make a replica the owner of a key, in order and without loss; return it."""
        owner = self.owner_of(key)
        replica = self.replicas_of(owner)[0]
        replica.ask("CLUSTER", "FAILOVER")
        return self.wait_for_another(key, owner)


@frozen
class SeenNode:
    """What one node knows of another, or of itself."""

    node_id: str
    port: int
    flags: set[str]
    #: Of the node that it copies; ``"-"`` if it copies none.
    primary_id: str
    slots: list[range]


def seen_by(node: Server) -> list[SeenNode]:
    """Return what a node knows of each, itself included."""
    lines = str(node.ask("CLUSTER", "NODES")).splitlines()
    return [_seen(*line.split()) for line in lines]


def _seen(node_id: str, address: str, flags: str, primary_id: str, *rest: str) -> SeenNode:
    spans = [span.split("-") for span in rest[4:] if not span.startswith("[")]  # [: on the move
    slots = [range(int(each[0]), int(each[-1]) + 1) for each in spans]
    port = int(address.partition("@")[0].rpartition(":")[2])
    return SeenNode(node_id, port, {*flags.split(",")}, primary_id, slots)


def view_of(node: Server) -> frozenset[object]:
    """Return what a node believes of all, to be compared with what others believe."""
    return frozenset(
        (each.port, each.primary_id, *each.slots, *sorted(each.flags - {"myself"}))
        for each in seen_by(node)
    )


def owns_nothing(node: Server, witness: Server) -> bool:
    """Whether another node knows that this one owns no slot any more."""
    return all(not each.slots for each in seen_by(witness) if each.port == node.port)


def is_well(node: Server) -> bool:
    """Whether a node sees that every slot has an owner."""
    return "cluster_state:ok" in str(node.ask("CLUSTER", "INFO"))


def is_ready(node: Server) -> bool:
    """Whether all is well, and all who copy others have caught up."""
    said = node.info("replication")
    return is_well(node) and (said["role"] == "slave") <= (said.get("master_link_status") == "up")


@contextmanager
def open_cluster(
    engine: Engine | None = None, *, primaries: int = 3, replicas: int = 1, **options: Option
) -> Generator[Cluster, None, None]:
    """Run a Cluster, and wait until it is ready.

    Args:
        engine: what to run; by default Valkey.
        primaries: how many nodes share the slots; fewer than three elect nobody.
        replicas: how many nodes copy each of them.
        options: settings of every node.
    """
    with ExitStack() as stack:
        nodes = [_node(stack, engine, options) for _ in range(primaries * (1 + replicas))]
        _meet(nodes, primaries)
        for number, node in enumerate(nodes[primaries:]):
            node.ask("CLUSTER", "REPLICATE", nodes[number % primaries].ask("CLUSTER", "MYID"))
        until_each(nodes[:primaries], lambda each: online(each) == replicas)
        cluster = Cluster(nodes)
        cluster.wait_ready()
        yield cluster


@cache
def shared_cluster(engine: Engine | None = None) -> Cluster:
    """Return the Cluster of six that the tests of this process share, and that nobody harms."""
    lifeline()  # before: what is registered first ends last, and the nodes need it to end
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(open_cluster(engine))


def _node(stack: ExitStack, engine: Engine | None, options: dict[str, Option]) -> Server:
    node = new_server(
        engine,
        **(
            {
                "cluster_enabled": True,
                "cluster_node_timeout": 1000,  # milliseconds without an answer: it has failed
                "cluster_replica_validity_factor": 0,  # any replica may take over
            }
            | options
        ),
    )
    stack.callback(node.close)
    node.start()
    return node


def _meet(nodes: list[Server], primaries: int) -> None:
    """Give the slots out, and wait until everybody knows everybody."""
    for number, node in enumerate(nodes[:primaries]):
        first, last = (SLOTS * each // primaries for each in (number, number + 1))
        node.ask("CLUSTER", "ADDSLOTSRANGE", first, last - 1)
        node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
    for node in nodes[1:]:
        nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus)
    until_each(nodes, lambda each: _has_met(each, len(nodes)))


def _has_met(node: Server, number: int) -> bool:
    view = seen_by(node)
    return len(view) == number and not any("handshake" in each.flags for each in view)


def online(primary: Server) -> int:
    """Return how many replicas have all that a primary has; before, they cannot replace it."""
    said = primary.info("replication").values()
    return sum(each.get("state") == "online" for each in said if isinstance(each, dict))
