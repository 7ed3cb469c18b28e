"""The crash lab over servers that are disturbed, too: workers die under load meanwhile.

From a shell, with as many kills as there is time for::

    python -m tests.redis.storms always --kills 1000 --disturbances 200
    python -m tests.redis.storms sentinels --kills 5000 --disturbances 200
    python -m tests.redis.storms settings --kills 500 --parts 10 --results settings.jsonl

It prints the lab's report and how often the servers were disturbed, and exits with 1 if anything
contradicts what is promised (nothing lost that was acknowledged under the mode, nothing repeated or
owned twice), or if they were disturbed less often than asked for. With ``--parts`` it is as many
storms, of one seed after the other; those that ``--results`` holds already are not run again.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve

from cicd_core.testing.crash import LabPlan, run_lab
from tests.redis.engines import Engine, redis_server, valkey
from tests.redis.scenes import SCENES
from tests.storming import Disturber, Results, say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cicd_core.testing.crash import CrashReport
    from tests.redis.scenes import Scene


def storm(
    scene: Scene, plan: LabPlan, tell: Callable[[str], None] = lambda _: None
) -> tuple[CrashReport, int]:
    """Run the lab over a scene whose servers are disturbed meanwhile.

    Returns:
        what the lab found, and how often they were disturbed.
    """
    disturber = Disturber(scene, plan.seed)

    def heed(line: str) -> None:
        tell(f"{line}  {disturber.times} disturbances")
        if line.startswith("the storm is over"):  # what is left is looked at in peace
            disturber.stop()
        elif disturber.ident is None:  # the workers are there: the store need not open for the lab
            disturber.start()

    if not scene.refuses:
        disturber.start()
    try:
        report = run_lab(evolve(plan, store=scene.url, refusals=scene.refuses), heed)
    finally:
        disturber.stop()
    return report, disturber.times


def main(arguments: Sequence[str] | None = None) -> int:
    """Storm a scene; 0: every check holds, 1: one does not, or there was too little disturbance."""
    given = _parser().parse_args(arguments)
    # Each lease that is lost is a warning, and here they are lost by the thousand.
    logging.getLogger("cicd_core").setLevel(logging.ERROR)
    engine = valkey() if given.engine == "valkey" else redis_server()
    if engine is None:
        sys.stderr.write("there is no redis-server on PATH\n")
        return 2
    results = Results(given.results, "scene", "engine")
    for seed in range(given.seed, given.seed + given.parts):
        if results.of(given.scene, engine.name, seed) is None:
            results.add(given.scene, engine.name, seed, found=_one(given, engine, seed))
    return _conclude(given, engine, results)


def _one(given: argparse.Namespace, engine: Engine, seed: int) -> dict[str, Any]:
    """Run one storm, and return its figures."""
    with (
        tempfile.TemporaryDirectory(prefix="cicd-storm-") as made,
        SCENES[given.scene](engine) as scene,
    ):
        plan = LabPlan(
            store=scene.url,
            folder=given.journals or Path(made),
            seed=seed,
            minutes=given.minutes / given.parts,
            kills=-(-given.kills // given.parts),
            workers=given.workers,
        )
        report, times = storm(scene, plan, lambda line: say(sys.stderr, line))
    if not given.json:
        version = ".".join(map(str, engine.version))
        say(sys.stdout, f"servers        {given.scene}, {engine.name} {version}, {times} times")
        # The lab's own kills are of workers, which is to be told from the servers here.
        say(sys.stdout, report.as_text().replace("kills  ", "workers", 1))
    return {"disturbances": times, **report.as_json()}


def _conclude(given: argparse.Namespace, engine: Engine, results: Results) -> int:
    """Say what the storms found together."""
    seeds = range(given.seed, given.seed + given.parts)
    found = [results.of(given.scene, engine.name, seed) or {} for seed in seeds]
    names = ("disturbances", "kills", "operations", "enqueued", "lost", "double_owned")
    sums = {name: sum(each[name] for each in found) for name in names}
    sums["storms_with_a_violation"] = sum(not each["ok"] for each in found)
    if given.json:
        say(sys.stdout, json.dumps(found if given.parts > 1 else found[0], indent=2))
    elif given.parts > 1:
        say(sys.stdout, "together       " + ", ".join(f"{n} {sums[n]}" for n in sums))
    if sums["disturbances"] < given.disturbances:
        asked = f"{given.disturbances} were asked for: give more --kills"
        say(sys.stderr, f"only {sums['disturbances']} disturbances, and {asked}")
        return 1
    return 1 if sums["storms_with_a_violation"] else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.redis.storms", description=__doc__)
    add = parser.add_argument
    add("scene", choices=sorted(SCENES), help="what becomes of the servers")
    add("--kills", type=int, default=100, metavar="K", help="end after so many killed workers")
    add(
        "--disturbances",
        "--server-kills",
        type=int,
        default=0,
        metavar="K",
        help="fail if there were fewer",
    )
    add("--parts", type=int, default=1, metavar="N", help="run so many storms, of N seeds")
    add("--results", type=Path, metavar="FILE", help="keep the figures here, and go on from there")
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
