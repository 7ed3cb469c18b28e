"""Beyond one slot: one namespace on one primary of a Cluster, and three on three.

From the root of the repository, with the packages of the group `test`::

    python -m benchmarks.redis_slots
    python -m benchmarks.redis_slots --callers 16 --seconds 5 --runs 5 --json

Each namespace has a process of its own that claims and completes. Where the machine has fewer
cores than there are primaries and processes, the rates tell of the machine; the processor time of
the primaries a pair, read from the servers themselves, tells how much one of them could do.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from itertools import count
from typing import TYPE_CHECKING, Final

from attrs import frozen

from benchmarks.redis_store import RUNNERS
from cicd_core_redis.keys import meta_key
from tests.redis.clusters import open_cluster
from tests.redis.engines import valkey

if TYPE_CHECKING:
    from tests.redis.clusters import Cluster
    from tests.redis.engines import Server

PRIMARIES: Final = 3


@frozen
class Round:
    """What some namespaces at once came to."""

    namespaces: int
    #: Claims and completions a second, all namespaces together.
    rate: float
    #: Microseconds of the primaries' processor time a pair.
    server_time: float


def spread(cluster: Cluster) -> dict[str, Server]:
    """Return a namespace for each primary."""
    found: dict[int, tuple[str, Server]] = {}
    for number in count():
        name = f"team-{number}"
        owner = cluster.owner_of(meta_key(name).decode())
        found.setdefault(owner.port, (name, owner))
        if len(found) == PRIMARIES:
            return dict(found.values())
    raise AssertionError  # there is no end to the names


def processor_seconds(server: Server) -> float:
    """Return how long a server has been on a processor."""
    facts = server.info("cpu")
    return float(facts["used_cpu_user"]) + float(facts["used_cpu_sys"])


def run(cluster: Cluster, names: dict[str, Server], options: argparse.Namespace) -> Round:
    """Let a process for each namespace work at once."""
    before = sum(map(processor_seconds, names.values()))
    address = "{}:{}".format(*cluster.addresses[0])
    workers = [
        subprocess.Popen(
            [
                *(sys.executable, str(RUNNERS / "ours.py")),
                *("--url", f"redis+cluster://{address}?namespace={name}"),
                *("--work", "pairs", "--callers", str(options.callers)),
                *("--seconds", str(options.seconds), "--depth", "2000"),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in names
    ]
    rates = [json.loads(worker.communicate()[0])["rate"] for worker in workers]
    spent = sum(map(processor_seconds, names.values())) - before
    # The queue is filled on the same servers: each pair has an enqueue, and its share.
    return Round(len(names), sum(rates), spent / (sum(rates) * options.seconds) * 1e6)


def main() -> None:
    """Measure, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--callers", type=int, default=64, help="of each namespace")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with open_cluster(valkey(), primaries=PRIMARIES, replicas=0) as cluster:
        names = spread(cluster)
        first = dict([next(iter(names.items()))])
        rounds = [
            (run(cluster, first, options), run(cluster, names, options))
            for _ in range(options.runs)
        ]
    medians = [
        {
            "namespaces": each[0].namespaces,
            "pairs_per_second": round(statistics.median(one.rate for one in each)),
            "server_us_per_job": round(statistics.median(one.server_time for one in each), 1),
        }
        for each in zip(*rounds, strict=True)
    ]
    if options.json:
        print(json.dumps(medians))
        return
    for row in medians:
        print(
            f"{row['namespaces']} namespace(s): {row['pairs_per_second']:>8,} pairs/s, "
            f"{row['server_us_per_job']} us of server time a job"
        )


if __name__ == "__main__":
    main()
