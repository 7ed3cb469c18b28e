"""The crash lab over servers that are killed, too: workers and servers die under load.

From a shell, with as many kills as somebody has time for::

    python -m tests.redis.storms always --kills 1000 --server-kills 200
    python -m tests.redis.storms sentinels --kills 5000 --server-kills 200

It prints the lab's report and how many servers were killed, and exits with 1 if anything
contradicts what is promised (nothing lost that was acknowledged under the mode, nothing owned
twice), or if fewer servers were killed than asked for.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TextIO, TypeVar

import redis
from attrs import evolve, frozen

from cicd_core.testing.crash import LabPlan, run_lab
from cicd_core.testing.crash.plan import drawn
from tests.redis.clusters import open_cluster
from tests.redis.engines import Engine, Server, open_server, redis_server, valkey
from tests.redis.sentinels import open_sentinels
from tests.redis.stores import cluster_url, sentinel_url
from tests.redis.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from contextlib import AbstractContextManager
    from random import Random

    from cicd_core.testing.crash import CrashReport
    from tests.redis.clusters import Cluster
    from tests.redis.sentinels import SentinelSet

Answer = TypeVar("Answer")

_NAMESPACE: Final = "storm"
#: How long servers are left alone between two kills, in seconds.
_CALM: Final = (0.1, 0.9)
#: How long a server that was killed stays away, in seconds.
_AWAY: Final = (0.0, 0.4)
#: How long several servers work together again before the next one is killed, in seconds.
_TOGETHER: Final = (1.0, 3.0)


class Scene(Protocol):
    """Servers, one of which can be killed at any time."""

    @property
    def url(self) -> str:
        """The store on them, with the mode that it promises."""
        ...

    def kill_one(self, random: Random) -> None:
        """Kill the server that has the store, and return when all is as before."""
        ...


@frozen
class OneServer:
    """A server that comes back on the files that it had."""

    server: Server
    durability: str

    @property
    def url(self) -> str:
        return f"{self.server.url}?namespace={_NAMESPACE}&durability={self.durability}"

    def kill_one(self, random: Random) -> None:
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

    @property
    def url(self) -> str:
        place = sentinel_url(self.servers.sentinels)
        return f"{place}?namespace={_NAMESPACE}&durability=replicated&replicas=2"

    def kill_one(self, random: Random) -> None:
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

    @property
    def url(self) -> str:
        place = cluster_url(self.cluster.nodes)
        return f"{place}?namespace={_NAMESPACE}&durability=replicated"

    def kill_one(self, random: Random) -> None:
        key = f"cicd:{{{_NAMESPACE}}}:meta"
        primary = self.cluster.owner_of(key)
        primary.kill()
        self.cluster.wait_for_another(key, primary)
        primary.start()
        self.cluster.wait_ready()
        time.sleep(random.uniform(*_TOGETHER))


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
}


class Killer(threading.Thread):
    """Kills the servers of a scene, one after the other, until it is told to stop."""

    def __init__(self, scene: Scene, seed: int) -> None:
        """Draw the pauses from a seed."""
        super().__init__(daemon=True)
        self._scene = scene
        self._random = drawn(seed, "servers")
        self._stopped = threading.Event()
        self.kills = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Kill until :meth:`stop`; the last one that was killed is back then."""
        try:
            while not self._stopped.wait(self._random.uniform(*_CALM)):
                self._scene.kill_one(self._random)
                self.kills += 1
        except BaseException as failure:  # noqa: BLE001 - it is told where the storm ends
            self.failure = failure

    def stop(self) -> None:
        """Let the servers be, all of them up."""
        self._stopped.set()
        self.join()
        if self.failure is not None:
            raise self.failure


def storm(
    scene: Scene, plan: LabPlan, tell: Callable[[str], None] = lambda _: None
) -> tuple[CrashReport, int]:
    """Run the lab over a scene whose servers are killed meanwhile.

    Returns:
        what the lab found, and how many servers were killed.
    """
    killer = Killer(scene, plan.seed)

    def heed(line: str) -> None:
        tell(f"{line}  {killer.kills} servers killed")
        if line.startswith("the storm is over"):  # what is left is looked at in peace
            killer.stop()

    killer.start()
    try:
        report = run_lab(evolve(plan, store=scene.url), heed)
    finally:
        killer.stop()
    return report, killer.kills


def main(arguments: Sequence[str] | None = None) -> int:
    """Storm a scene; 0: every check holds, 1: one does not, or too few servers were killed."""
    given = _parser().parse_args(arguments)
    # Each lease that is lost is a warning, and here they are lost by the thousand.
    logging.getLogger("cicd_core").setLevel(logging.ERROR)
    engine = valkey() if given.engine == "valkey" else redis_server()
    if engine is None:
        sys.stderr.write("there is no redis-server on PATH\n")
        return 2
    with (
        tempfile.TemporaryDirectory(prefix="cicd-storm-") as made,
        SCENES[given.scene](engine) as scene,
    ):
        plan = LabPlan(
            store=scene.url,
            folder=given.journals or Path(made),
            seed=given.seed,
            minutes=given.minutes,
            kills=given.kills,
            workers=given.workers,
        )
        report, kills = storm(scene, plan, lambda line: _say(sys.stderr, line))
    if given.json:
        _say(sys.stdout, json.dumps({"servers_killed": kills, **report.as_json()}, indent=2))
    else:
        version = ".".join(map(str, engine.version))
        _say(sys.stdout, f"servers        {given.scene}, {engine.name} {version}, {kills} killed")
        # The lab's own kills are of workers, which is to be told from those of servers here.
        _say(sys.stdout, report.as_text().replace("kills  ", "workers", 1))
    if kills < given.server_kills:
        asked = f"{given.server_kills} were asked for: give more --kills"
        _say(sys.stderr, f"only {kills} servers were killed, and {asked}")
        return 1
    return 0 if report.ok else 1


def _say(stream: TextIO, text: str) -> None:
    stream.write(f"{text}\n")
    stream.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.redis.storms", description=__doc__)
    add = parser.add_argument
    add("scene", choices=sorted(SCENES), help="what is killed")
    add("--kills", type=int, default=100, metavar="K", help="end after so many killed workers")
    add(
        "--server-kills", type=int, default=0, metavar="K", help="fail if fewer servers were killed"
    )
    add(
        "--minutes", type=float, default=60.0, metavar="M", help="end after this time at the latest"
    )
    add("--seed", type=int, default=0, metavar="S", help="what everything is drawn from")
    add("--workers", type=int, default=4, metavar="N", help="processes at once (default: 4)")
    add("--engine", choices=["redis", "valkey"], default="valkey", help="(default: valkey)")
    add("--journals", type=Path, metavar="FOLDER", help="keep what the workers wrote here: empty")
    add("--json", action="store_true", help="print the report as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
