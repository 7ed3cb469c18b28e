"""The Redis store beside the raw driver and beside other Python queues, interleaved in one run.

From the root of the repository, with the packages of the group `test`::

    python -m benchmarks.redis_store
    python -m benchmarks.redis_store --runs 1 --seconds 0.5 --deep 20000 --json
    python -m benchmarks.redis_store --contestants raw store saq --works pairs-64 --engine redis

============ ==================================================================================
raw          redis-py's Connection, calls of a loop turn in one write, the smallest scripts
raw-protocol the same scripts without redis-py: an asyncio protocol and hiredis
store        the verbs of `open_store("redis://…")`: leases, versions, events, counters, counts
plane        `ControlPlane.queue`: all of that, and every check and decision
saq          SAQ, huey, bullmq: in an environment of their own, by what their workers do
============ ==================================================================================

Every measurement has a new server on 127.0.0.1 and a process of its own; a case is measured for
one contestant after the other, and that so often as `--runs` says. Medians of the runs; on a
machine that others use too, trust the ratios. The raw ones keep no log, no counters and no
history: they are the limit, not a rival. Huey keeps no lease and acknowledges nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from benchmarks.peers.environment import peers_python
from benchmarks.redis_ratios import Rows, show_targets
from tests.redis.engines import Engine, Option, Server, open_server, redis_server, valkey

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

RUNNERS: Final = Path(__file__).parent / "peers"
PEERS: Final = Path(__file__).parents[1] / ".nox" / "peers"
#: How many jobs a queue holds while bytes a job are counted, and before that.
COUNTED: Final = 10_000
BEFORE: Final = 1_000

DURABILITY: Final[dict[str, dict[str, Option]]] = {
    "none": {},
    "everysec": {"appendonly": True, "appendfsync": "everysec"},
    "always": {"appendonly": True, "appendfsync": "always"},
}


@frozen
class Contestant:
    """A runner, and what tells it what to be."""

    script: str
    level: str = "store"

    @property
    def is_peer(self) -> bool:
        """Whether it runs in the peers' environment."""
        return self.script.startswith("peer_")


#: Who takes part. Another one is a runner in peers/, and a word here.
CONTESTANTS: Final = {
    "raw": Contestant("raw.py", "connection"),
    "raw-protocol": Contestant("raw.py", "protocol"),
    "store": Contestant("ours.py", "store"),
    "plane": Contestant("ours.py", "plane"),
    "saq": Contestant("peer_saq.py"),
    "huey": Contestant("peer_huey.py"),
    "bullmq": Contestant("peer_bullmq.py"),
}

#: What is timed: a name, what the runner is asked for, and which figure it gives.
WORKS: Final[dict[str, tuple[list[str], str]]] = {
    "enqueue-1": (["--work", "enqueue", "--callers", "1"], "rate"),
    "enqueue-64": (["--work", "enqueue", "--callers", "64"], "rate"),
    "bulk": (["--work", "bulk"], "rate"),
    "pairs-1": (["--work", "pairs", "--callers", "1"], "rate"),
    "pairs-16": (["--work", "pairs", "--callers", "16"], "rate"),
    "pairs-64": (["--work", "pairs", "--callers", "64"], "rate"),
    "pickup": (["--work", "pickup"], "p50_us"),
}
#: What needs a server of its own for longer.
LONG_WORKS: Final = ("depth", "bytes")


class Benchmark:
    """The options of one run of the program, and how a runner is started with them."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.engine = engine_named(options.engine)
        self.rows = Rows()
        peers = any(CONTESTANTS[name].is_peer for name in options.contestants)
        self.peers_python = peers_python(options.peers) if peers else Path(sys.executable)

    @contextmanager
    def server(self) -> Generator[Server, None, None]:
        """Run a new server, as durable as asked for."""
        with open_server(self.engine, **DURABILITY[self.options.durability]) as server:
            yield server

    def run(self, name: str, server: Server, *words: str) -> dict[str, Any]:
        """Let a contestant do one work."""
        contestant = CONTESTANTS[name]
        python = self.peers_python if contestant.is_peer else Path(sys.executable)
        command = [str(python), str(RUNNERS / contestant.script), "--url", server.url]
        command += ["--level", contestant.level, "--durability", self.options.durability, *words]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def measure(self) -> None:
        """Do everything that was asked for."""
        for number in range(self.options.runs):
            for work in self.options.works:
                for name in self.options.contestants:
                    self.say(f"run {number + 1}/{self.options.runs}: {work}, {name}")
                    if work in WORKS:
                        self.time(work, name)
                    elif work == "bytes" and number == 0:  # it does not vary
                        self.weigh(name)
        if "depth" in self.options.works:
            for name in self.options.contestants:
                if not CONTESTANTS[name].is_peer or self.options.deep_peers:
                    self.dig(name)

    def time(self, work: str, name: str) -> None:
        """Measure a rate or a latency once."""
        words, figure = WORKS[work]
        with self.server() as server:
            answer = self.run(name, server, *words, "--seconds", str(self.options.seconds))
        if figure in answer:
            self.rows.add(work, name, answer[figure])

    def weigh(self, name: str) -> None:
        """Count the bytes that a queued job takes, and what is left when it has finished."""
        for state, works in (("queued", ["fill_up"]), ("finished", ["fill_up", "drain"])):
            with self.server() as server:
                self.do(name, server, works, BEFORE)
                before = used(server)
                self.do(name, server, works, COUNTED)
                self.rows.add(f"bytes-{state}", name, (used(server) - before) / COUNTED)
                for kind, size in by_kind(server):
                    self.rows.add(f"bytes-{state}, {kind}", name, size / (BEFORE + COUNTED))

    def do(self, name: str, server: Server, works: list[str], depth: int) -> None:
        """Let a contestant queue jobs, or finish those that are there."""
        for work in works:
            self.run(name, server, "--work", work, "--callers", "16", "--depth", str(depth))

    def dig(self, name: str) -> None:
        """Time single claims over a shallow and a deep queue, in turns."""
        with ExitStack() as stack:
            servers = {}
            for depth in (self.options.shallow, self.options.deep):
                self.say(f"depth: {name} fills a queue with {depth}")
                servers[depth] = stack.enter_context(self.server())
                self.do(name, servers[depth], ["fill_up"], depth)
            for _ in range(self.options.runs):
                for depth, server in servers.items():
                    answer = self.run(name, server, "--work", "latency", "--depth", "0")
                    kind = "shallow" if depth == self.options.shallow else "deep"
                    self.rows.add(f"claim-p50-{kind}", name, answer["p50_us"])

    def say(self, text: str) -> None:
        """Tell who waits what is going on."""
        if not self.options.quiet:
            print(text, file=sys.stderr, flush=True)


def engine_named(name: str) -> Engine:
    """Return the engine to measure on."""
    found = valkey() if name == "valkey" else redis_server()
    if found is None:
        sys.exit("redis-server is not on PATH; install it, or use --engine valkey")
    return found


def used(server: Server) -> int:
    """Return the bytes that a server has allocated."""
    return int(server.info("memory")["used_memory"])


def by_kind(server: Server) -> Iterator[tuple[str, int]]:
    """Return the bytes of all keys, by the type of their values."""
    with server.client() as client:
        for kind in ("string", "list", "hash", "zset", "set", "stream"):
            keys = list(client.scan_iter(count=1000, _type=kind))
            pipeline = client.pipeline(transaction=False)
            for key in keys:
                pipeline.memory_usage(key, samples=0)
            if keys:
                yield kind, sum(pipeline.execute())


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=[*CONTESTANTS])
    works = [*WORKS, *LONG_WORKS]
    parser.add_argument("--works", nargs="+", choices=works, default=works)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--shallow", type=int, default=1_000, help="jobs queued")
    parser.add_argument("--deep", type=int, default=1_000_000, help="jobs queued")
    parser.add_argument("--deep-peers", action="store_true", help="deep queues of peers too")
    parser.add_argument("--engine", choices=("valkey", "redis"), default="valkey")
    parser.add_argument("--durability", choices=DURABILITY, default="none")
    parser.add_argument("--peers", type=Path, default=PEERS, help="the peers' environment")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--quiet", action="store_true")
    options = parser.parse_args()
    benchmark = Benchmark(options)
    benchmark.measure()
    if options.json:
        print(json.dumps(benchmark.rows.as_json(), indent=2))
    else:
        benchmark.rows.show()
        show_targets(benchmark.rows)


if __name__ == "__main__":
    main()
