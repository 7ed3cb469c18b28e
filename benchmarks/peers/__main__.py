"""Other queues beside ours, interleaved in one run: jobs a second, and CPU a job.

From the root of the repository, with the packages of the group `test`, and Node with npm for one of
them. It measures every work for one contestant after the other, and that as often as `--runs` says,
each time with an empty store and a process of its own::

    python -m benchmarks.peers --json peers.json            # all: three quarters of an hour
    python -m benchmarks.peers --kinds sqlite --works pairs-64 --runs 1
    python -m benchmarks.peers --report peers.json          # tables and plots for the docs

The contestants do what their own workers do. All jobs carry 300 bytes and do nothing. A figure is
the median of its runs; on a machine that others use too, trust the ratios alone.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from itertools import count
from pathlib import Path
from typing import Any, Final

from benchmarks.peers.contestants import CONTESTANTS, DEPTHS, DURABILITIES, Contestant, opened
from benchmarks.peers.environment import ON_NODE, PINNED, on_node, peers_python
from benchmarks.peers.report import Results, show, write_page

RUNNERS: Final = Path(__file__).parent
ENVIRONMENT: Final = Path(__file__).parents[2] / ".nox" / "peers"

#: What is measured: a name, and what the runner is asked for.
WORKS: Final = {
    **{f"enqueue-{each}": ["--work", "enqueue", "--callers", str(each)] for each in (1, 64)},
    "bulk": ["--work", "bulk"],
    **{f"pairs-{each}": ["--work", "pairs", "--callers", str(each)] for each in (1, 16, 64)},
    **{
        f"worker-{slots}": ["--work", "worker", "--callers", str(slots), "--depth", str(depth)]
        for slots, depth in ((1, 1_000), (16, 3_000), (64, 4_000))
    },
    "pickup": ["--work", "pickup"],
}


class Benchmark:
    """The options of one run of the program, and how a runner is started with them."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.folder = folder
        self.numbers = count()
        self.results = Results(machine=machine())
        self.commands: dict[str, list[str] | None] = {}

    def measure(self) -> Results:
        """Do everything that was asked for."""
        for run in range(self.options.runs):
            for kind in self.options.kinds:
                for durability in DURABILITIES[kind]:
                    for work in self.options.works:
                        self.say(f"run {run + 1}/{self.options.runs}: {kind}, {durability}, {work}")
                        for name in CONTESTANTS[kind]:
                            self.time(kind, durability, work, name)
        return self.results

    def time(self, kind: str, durability: str, work: str, name: str) -> None:
        """Measure one contestant at one work, once."""
        contestant, words = CONTESTANTS[kind][name], WORKS[work]
        command = self.command_of(contestant)
        callers = int(words[words.index("--callers") + 1]) if "--callers" in words else 1
        if command is None or callers not in contestant.callers:
            return
        with opened(kind, self.folder, next(self.numbers)) as place:
            command = [*command, "--url", place.url, "--level", contestant.level]
            command += ["--durability", durability, "--seconds", str(self.options.seconds)]
            if place.server_pid is not None:
                command += ["--server-pid", str(place.server_pid)]
            if "--depth" not in words:
                command += ["--depth", str(DEPTHS[kind])]
            done = subprocess.run([*command, *words], stdout=subprocess.PIPE, text=True, check=True)
        answer: dict[str, float] = json.loads(done.stdout)
        if answer:
            self.results.add(
                f"{kind}, {durability}" * (kind == "sqlite") or kind, work, name, answer
            )

    def command_of(self, contestant: Contestant) -> list[str] | None:
        """Return what starts a runner; None if its language is not on this machine."""
        script = RUNNERS / contestant.script
        if contestant.script not in self.commands:
            if script.suffix == ".mjs":
                self.commands[contestant.script] = on_node(script, ENVIRONMENT / "node")
            else:
                python = sys.executable
                if contestant.is_peer:
                    python = str(peers_python(ENVIRONMENT / "python"))
                self.commands[contestant.script] = [python, str(script)]
        return self.commands[contestant.script]

    def say(self, text: str) -> None:
        """Tell who waits what is going on."""
        if not self.options.quiet:
            print(text, file=sys.stderr, flush=True)


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "versions": [*PINNED, *(f"{name}@{version}" for name, version in ON_NODE.items())],
    }


def main() -> None:
    """Run the benchmark, or make the page of its results."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kinds", nargs="+", choices=CONTESTANTS, default=[*CONTESTANTS])
    parser.add_argument("--works", nargs="+", choices=WORKS, default=[*WORKS])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to a file")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the page, and end")
    parser.add_argument("--quiet", action="store_true")
    options = parser.parse_args()
    if options.report is not None:
        write_page(Results.read(options.report))
        return
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        results = Benchmark(options, Path(folder)).measure()
    if options.json is not None:
        options.json.write_text(json.dumps(results.as_json(), indent=1) + "\n")
    show(results)


if __name__ == "__main__":
    main()
