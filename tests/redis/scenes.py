"""Servers for storms, each of which can be disturbed in its own way."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import redis
from attrs import frozen

from tests.redis.clusters import open_cluster
from tests.redis.engines import Engine, Option, Server, open_server
from tests.redis.sentinels import open_sentinels
from tests.redis.stores import cluster_url, sentinel_url
from tests.redis.test_store_users import COMMANDS, MINIMAL, PASSWORD, allow, filled
from tests.redis.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextlib import AbstractContextManager
    from random import Random

    from tests.redis.clusters import Cluster
    from tests.redis.sentinels import SentinelSet

Answer = TypeVar("Answer")

_NAMESPACE: Final = "storm"
#: How long a server that was killed stays away, in seconds.
_AWAY: Final = (0.0, 0.4)
#: How long several servers work together again before the next one is killed, in seconds.
_TOGETHER: Final = (1.0, 3.0)
#: How long a server is full, in seconds: longer than the lab's leases, which must be renewed.
_FULL: Final = (0.5, 2.5)
#: Settings under which a server loses what it has acknowledged, or throws it away.
_WRONG_SETTINGS: Final[tuple[dict[str, Option], ...]] = (
    {"appendonly": False},
    {"appendfsync": "no"},
    {"appendfsync": "everysec"},
    {"maxmemory-policy": "allkeys-lru"},
    {"maxmemory-policy": "volatile-ttl", "appendonly": False},
)
_RIGHT_SETTINGS: Final[dict[str, Option]] = {
    "appendonly": True,
    "appendfsync": "always",
    "maxmemory-policy": "noeviction",
}


class Scene(Protocol):
    """Servers, which can be disturbed at any time."""

    @property
    def url(self) -> str:
        """The store on them, with the mode that it promises."""
        ...

    @property
    def refuses(self) -> bool:
        """Whether the store refuses calls meanwhile, instead of only being away."""
        ...

    def disturb(self, random: Random) -> None:
        """Kill the server that has the store, say, and return when all is as before."""
        ...


@frozen
class OneServer:
    """A server that is killed, and comes back on the files that it had.

    With ``everysec`` it is killed where it has written down all that it answered: the mode promises
    nothing about what it has not, so that no check of the lab would hold.
    """

    server: Server
    durability: str
    refuses: bool = False

    @property
    def url(self) -> str:
        return f"{self.server.url}?namespace={_NAMESPACE}&durability={self.durability}"

    def disturb(self, random: Random) -> None:
        if self.durability == "everysec":
            self.server.hold(most=0)
        self.server.kill()
        time.sleep(random.uniform(*_AWAY))
        self.server.start()


def undisturbed(ask: Callable[[], Answer]) -> Answer:
    """Ask servers again whose connections a Sentinel cuts, as it does where it changes a role."""
    while True:
        try:
            return ask()
        except redis.ConnectionError:
            continue


@frozen
class Sentinels:
    """A primary with two replicas; another one takes over, and the old one follows it.

    Both must confirm: a Sentinel chooses by what it heard of them seconds ago, and need not take
    the one that has more.
    """

    servers: SentinelSet
    refuses: bool = False

    @property
    def url(self) -> str:
        place = sentinel_url(self.servers.sentinels)
        return f"{place}?namespace={_NAMESPACE}&durability=replicated&replicas=2"

    def disturb(self, random: Random) -> None:
        primary = undisturbed(lambda: self.servers.primary)
        primary.kill()
        another = undisturbed(lambda: self.servers.wait_for_another(primary))
        # As Sentinels write it into a server's settings: one that came back as a primary, with
        # what it had, would be followed by those that were started to follow it.
        primary.start(replicaof=f"127.0.0.1 {another.port}")
        until(lambda: undisturbed(self._is_whole))
        time.sleep(random.uniform(*_TOGETHER))

    def _is_whole(self) -> bool:
        """Whether one server is the primary, all others follow it, and the Sentinels say so."""
        said = {each.port: each.info("replication") for each in self.servers.servers}
        primaries = [port for port, words in said.items() if words["role"] == "master"]
        followed = {
            words["master_port"] if words.get("master_link_status") == "up" else None
            for words in said.values()
            if words["role"] == "slave"
        }
        return followed == {*primaries} == {*self.servers.named_primaries()}


@frozen
class SixNodes:
    """Three primaries with a replica each."""

    cluster: Cluster
    refuses: bool = False

    @property
    def url(self) -> str:
        place = cluster_url(self.cluster.nodes)
        return f"{place}?namespace={_NAMESPACE}&durability=replicated"

    def disturb(self, random: Random) -> None:
        key = f"cicd:{{{_NAMESPACE}}}:meta"
        primary = self.cluster.owner_of(key)
        primary.kill()
        self.cluster.wait_for_another(key, primary)
        primary.start()
        self.cluster.wait_ready()
        time.sleep(random.uniform(*_TOGETHER))


@frozen
class OtherSettings:
    """A server that is restarted with settings under which the store must not write."""

    server: Server
    refuses: bool = True

    @property
    def url(self) -> str:
        return f"{self.server.url}?namespace={_NAMESPACE}&durability=always"

    def disturb(self, random: Random) -> None:
        wrong = random.choice(_WRONG_SETTINGS)
        right = {name: _RIGHT_SETTINGS[name] for name in wrong}
        for changes in (wrong, right):
            random.choice((self.server.kill, self.server.stop))()
            time.sleep(random.uniform(*_AWAY))
            self.server.options |= changes
            self.server.start()
            time.sleep(random.uniform(*_AWAY))


@frozen
class OtherRights:
    """A server whose user loses rights, and gets them back."""

    server: Server
    user: str
    refuses: bool = True

    @property
    def url(self) -> str:
        return f"{self.user}&durability=always"

    def disturb(self, random: Random) -> None:
        lost = random.choice([*(f"-{name}" for name in COMMANDS), "-@all", "resetkeys", "off"])
        self.server.ask("ACL", "SETUSER", "cicd", lost)
        time.sleep(random.uniform(*_AWAY))
        self.server.ask(*filled(MINIMAL, PASSWORD, _NAMESPACE))


@frozen
class FullMemory:
    """A server that has no memory left for a while."""

    server: Server
    refuses: bool = True

    @property
    def url(self) -> str:
        return f"{self.server.url}?namespace={_NAMESPACE}&durability=always"

    def disturb(self, random: Random) -> None:
        used = int(self.server.info("memory")["used_memory"])
        self.server.ask("CONFIG", "SET", "maxmemory", round(used * random.uniform(0.5, 1.0)))
        time.sleep(random.uniform(*_FULL))
        self.server.ask("CONFIG", "SET", "maxmemory", 0)


@contextmanager
def other_settings(engine: Engine) -> Generator[Scene, None, None]:
    """Run a server that is restarted with other settings, and with the right ones again."""
    with open_server(engine, appendonly=True, appendfsync="always") as server:
        yield OtherSettings(server)


@contextmanager
def other_rights(engine: Engine) -> Generator[Scene, None, None]:
    """Run a server whose user loses rights and gets them back."""
    with open_server(engine, appendonly=True, appendfsync="always") as server:
        yield OtherRights(server, allow(server, MINIMAL, _NAMESPACE))


@contextmanager
def full_memory(engine: Engine) -> Generator[Scene, None, None]:
    """Run a server that is full now and then."""
    with open_server(engine, appendonly=True, appendfsync="always") as server:
        yield FullMemory(server)


@contextmanager
def one_server(engine: Engine, durability: str) -> Generator[Scene, None, None]:
    """Run a server that writes every change down before it answers, or every second."""
    with open_server(engine, appendonly=True, appendfsync=durability) as server:
        yield OneServer(server, durability)


@contextmanager
def sentinels(engine: Engine) -> Generator[Scene, None, None]:
    """Run a primary, two replicas and three Sentinels."""
    with open_sentinels(engine, replicas=2, appendonly=True) as servers:
        yield Sentinels(servers)


@contextmanager
def six_nodes(engine: Engine) -> Generator[Scene, None, None]:
    """Run a Cluster of three primaries with a replica each."""
    with open_cluster(engine, appendonly=True) as cluster:
        yield SixNodes(cluster)


#: What can be stormed, by its name on the command line.
SCENES: Final[dict[str, Callable[[Engine], AbstractContextManager[Scene]]]] = {
    "always": lambda engine: one_server(engine, "always"),
    "everysec": lambda engine: one_server(engine, "everysec"),
    "sentinels": sentinels,
    "cluster": six_nodes,
    "settings": other_settings,
    "rights": other_rights,
    "full": full_memory,
}
