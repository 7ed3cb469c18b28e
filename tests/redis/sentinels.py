"""A primary with replicas, and the Sentinels that make one of these the next primary."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from attrs import frozen

from tests.redis.engines import Engine, Option, Server, new_server, open_server, until_each
from tests.redis.waiting import until

if TYPE_CHECKING:
    from collections.abc import Generator

#: The name that Sentinels know the primary by.
SERVICE: Final = "cicd"


@frozen
class Replicated:
    """A primary, and replicas that copy it."""

    servers: list[Server]

    @property
    def primary(self) -> Server:
        """The server that takes writes; of two that believe it, the one with more replicas."""
        found = [each for each in self.servers if each.is_running and role(each) == "master"]
        return max(found, key=lambda each: int(each.info("replication")["connected_slaves"]))

    @property
    def replicas(self) -> list[Server]:
        """The servers that copy another one."""
        return [each for each in self.servers if each.is_running and role(each) == "slave"]

    def wait_ready(self) -> None:
        """Wait until every replica has all that its primary has, and follows it."""
        until_each(self.replicas, is_linked)


@frozen
class SentinelSet(Replicated):
    """The same, with Sentinels; a client asks any of them where the primary is."""

    sentinels: list[Server]

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Where the Sentinels listen."""
        return [each.address for each in self.sentinels]

    def named_primaries(self) -> list[int]:
        """Return the port of the primary, as each Sentinel that runs knows it."""
        running = [each for each in self.sentinels if each.is_running]
        answers = [each.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE) for each in running]
        return [int(port) for _, port in answers]

    def wait_watching(self) -> None:
        """Wait until every Sentinel knows every replica and every other Sentinel."""
        until_each(self.sentinels, self._is_watching)

    def wait_for_another(self, than: Server) -> Server:
        """Wait until all Sentinels name another primary, and that one takes writes; return it."""
        others = [each for each in self.servers if each is not than]
        until(lambda: any(self._all_name(each) for each in others), self._logs)
        (found,) = filter(self._all_name, others)
        until_each([found], lambda each: role(each) == "master")
        return found

    def _all_name(self, server: Server) -> bool:
        return {*self.named_primaries()} == {server.port}

    def _is_watching(self, sentinel: Server) -> bool:
        known = sentinel.ask("SENTINEL", "MASTER", SERVICE)
        wanted = (len(self.servers) - 1, len(self.sentinels) - 1)
        return (int(known["num-slaves"]), int(known["num-other-sentinels"])) == wanted

    def _logs(self) -> str:
        return "\n".join(each.log[-1000:] for each in self.sentinels)


def role(server: Server) -> str:
    """Return what a server believes that it is: ``"master"`` or ``"slave"``."""
    return str(server.info("replication")["role"])


def is_linked(replica: Server) -> bool:
    """Whether a replica follows its primary, and its first copy is complete."""
    said = replica.info("replication")
    return bool(said["master_link_status"] == "up" and not said["master_sync_in_progress"])


@contextmanager
def open_replicated(
    engine: Engine | None = None, *, replicas: int = 1, **options: Option
) -> Generator[Replicated, None, None]:
    """Run a primary and its replicas, all with the same settings."""
    with ExitStack() as stack:
        yield _replicated(stack, engine, replicas, options)


@contextmanager
def open_sentinels(
    engine: Engine | None = None, *, replicas: int = 1, **options: Option
) -> Generator[SentinelSet, None, None]:
    """Run a primary, its replicas and three Sentinels, which notice a dead one in half a second."""
    with ExitStack() as stack:
        servers = _replicated(stack, engine, replicas, options).servers
        sentinels = [_sentinel(engine, servers[0].port) for _ in range(3)]
        for sentinel in sentinels:
            stack.callback(sentinel.close)
            sentinel.start()
        found = SentinelSet(servers=servers, sentinels=sentinels)
        found.wait_watching()
        yield found


def _replicated(
    stack: ExitStack, engine: Engine | None, replicas: int, options: dict[str, Option]
) -> Replicated:
    primary = stack.enter_context(open_server(engine, **options))
    following: dict[str, Option] = options | {"replicaof": f"127.0.0.1 {primary.port}"}
    copies = [stack.enter_context(open_server(engine, **following)) for _ in range(replicas)]
    found = Replicated([primary, *copies])
    found.wait_ready()
    return found


def _sentinel(engine: Engine | None, port: int) -> Server:
    sentinel = new_server(engine)
    sentinel.sentinel = True
    sentinel.options = {
        "bind": "127.0.0.1",
        "sentinel": [
            f"monitor {SERVICE} 127.0.0.1 {port} 2",
            f"down-after-milliseconds {SERVICE} 500",
            f"failover-timeout {SERVICE} 3000",
        ],
    }
    return sentinel
