"""The server time of every script of the Redis store, as the server itself measures it.

From the root of the repository: ``python -m benchmarks.redis_scripts --jobs 5000 --callers 1 64``.
With many callers one call of a script serves several of them, so the time a job is the sum over
all calls, divided by the jobs. What a call costs on its way, in Python and in the kernel, is in
none of these: ``benchmarks.redis_store`` has it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
from collections import defaultdict
from importlib import import_module
from typing import TYPE_CHECKING

from benchmarks.redis_store import CONTESTANTS, RUNNERS, engine_named
from cicd_core.entities import COLLECTIONS
from cicd_core.persistence.collections import JOBS
from cicd_core_redis.scripts import scripts_for
from tests.redis.engines import open_server

if TYPE_CHECKING:
    from tests.redis.engines import Server

#: The works of a runner; after each, what the server did is read.
WORKS = ("fill_up", "drain", "enqueue")


def names_by_digest() -> dict[str, str]:
    """Return the name of each script: ours, with the collections of both levels, and raw ones."""
    ours = [*scripts_for((JOBS,)).values(), *scripts_for(COLLECTIONS).values()]
    names = {script.sha.decode(): script.verb.value for script in ours}
    sys.path.append(str(RUNNERS))  # the runners are programs of their own, and so no package
    raw = import_module("raw")
    texts = {"enqueue": raw.ENQUEUE, "claim": raw.CLAIM, "complete": raw.COMPLETE}
    return names | {digest(text): name for name, text in texts.items()}


def digest(text: str) -> str:
    """Return what Redis names a script by."""
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def run(server: Server, name: str, work: str, options: argparse.Namespace, callers: int) -> int:
    """Do a work, while the server notes how long each command takes; return how many jobs."""
    contestant = CONTESTANTS[name]
    command = [sys.executable, str(RUNNERS / contestant.script), "--url", server.url]
    command += ["--level", contestant.level, "--work", work]
    command += ["--depth", str(options.jobs), "--callers", str(callers)]
    server.ask("SLOWLOG", "RESET")
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return int(json.loads(done.stdout).get("count", 0))


def times(server: Server, names: dict[str, str]) -> dict[str, list[int]]:
    """Return the microseconds of every call since the last reset, by script."""
    found = defaultdict(list)
    with server.client(decode=False) as client:
        noted = client.slowlog_get(1_000_000)
    for entry in noted:
        words = [word.decode(errors="replace") for word in entry["command"].split()[:2]]
        if words[0] == "EVALSHA":
            found[names.get(words[1], words[1])].append(int(entry["duration"]))
    return found


def main() -> None:
    """Print a line for each contestant, number of callers, work and script."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=5_000)
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 64])
    measured = ["raw", "store", "plane"]
    parser.add_argument("--contestants", nargs="+", choices=measured, default=measured)
    parser.add_argument("--engine", choices=("valkey", "redis"), default="valkey")
    options = parser.parse_args()
    names = names_by_digest()
    print(f"{'':6} {'work':8} {'callers':>7} {'script':9} {'calls':>7} {'median µs':>10} µs/job")
    for name in options.contestants:
        for callers in options.callers:
            noting = {"slowlog_log_slower_than": 0, "slowlog_max_len": 1_000_000}
            with open_server(engine_named(options.engine), **noting) as server:
                for work in WORKS:
                    jobs = run(server, name, work, options, callers)
                    show(f"{name:6} {work:8} {callers:7}", jobs, times(server, names))


def show(where: str, jobs: int, found: dict[str, list[int]]) -> None:
    """Print a line for each script."""
    for script, took in sorted(found.items()):
        each = f"{sum(took) / jobs:6.1f}" if jobs else "     -"
        print(f"{where} {script:9} {len(took):7} {statistics.median(took):10.1f} {each}")


if __name__ == "__main__":
    main()
