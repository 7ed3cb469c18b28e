"""The crash lab over HTTP: agents, the network and the server are disturbed under load.

From a shell, with as many disturbances as there is time for::

    python -m tests.http.storms --disturbances 300
    python -m tests.http.storms --disturbances 300 --parts 10 --results http.jsonl

The workers of the lab (see ``cicd_core.testing.crash``) reach a SQLite file through a server, over
a proxy. They are killed; every connection may be cut in the middle of a request or of an answer;
the network is cut off for a while, or swallows what is sent; the server is killed, or stopped in
good order, and started again. It prints the lab's report and how often each happened, and exits
with 1 if anything contradicts what is promised. Each part is a storm of one seed after the other;
those that ``--results`` holds already are not run again.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from attrs import define, evolve, field

from cicd_core.testing.crash import LabPlan, run_lab
from cicd_core.testing.crash.plan import Remote
from tests.http.lab.proxy import CuttingProxy
from tests.http.lab.server import ServerProcess
from tests.storming import Deck, Disturber, Results, say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from cicd_core.testing.crash import CrashReport

#: How long the network is away, in seconds, and for how long nothing is disturbed.
_AWAY: Final = (0.05, 0.8)
_CALM: Final = (0.3, 2.5)


@define(eq=False)
class Scene:
    """A server with a network before it, which are disturbed."""

    server: ServerProcess
    proxy: CuttingProxy
    #: How often each disturbance happened.
    done: Counter[str] = field(factory=Counter[str])
    _deck: Deck[Callable[[Random], str]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Gather what can happen."""
        self._deck = Deck(self._kill, self._stop, self._cut, self._swallow)

    def __enter__(self) -> Self:
        """Start both."""
        self.proxy.upstream = self.server.start()
        self.proxy.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End both."""
        self.proxy.stop()
        self.server.stop()

    @property
    def remote(self) -> Remote:
        """What workers call."""
        url = f"http://127.0.0.1:{self.proxy.port}"
        return Remote(opener="cicd_core.http.client:RemoteControlPlane", url=url)

    def disturb(self, random: Random) -> None:
        """Do one of four things; each of them once before any comes again."""
        self.done[self._deck.draw(random)(random)] += 1

    def _kill(self, random: Random) -> str:
        self.server.kill()
        self._start(random)
        return "server killed"

    def _stop(self, random: Random) -> str:
        self.server.stop()
        self._start(random)
        return "server stopped"

    def _start(self, random: Random) -> None:
        time.sleep(random.uniform(*_AWAY) / 4)  # and as long as it takes to start
        self.proxy.upstream = self.server.start()

    def _cut(self, random: Random) -> str:
        self.proxy.cut_off()
        time.sleep(random.uniform(*_AWAY))
        self.proxy.restore()
        return "network cut"

    def _swallow(self, random: Random) -> str:
        self.proxy.swallow()
        time.sleep(random.uniform(*_AWAY))
        self.proxy.restore()
        return "network mute"


def storm(scene: Scene, plan: LabPlan, tell: Callable[[str], None] = lambda _: None) -> CrashReport:
    """Run the lab through a scene that is disturbed meanwhile."""
    disturber = Disturber(scene, plan.seed, _CALM)

    def heed(line: str) -> None:
        tell(f"{line}  {disturber.times} disturbances")
        if line.startswith("the storm is over"):  # what is left is looked at in peace
            disturber.stop()

    disturber.start()
    try:
        return run_lab(evolve(plan, remote=scene.remote, jumps=False), heed)
    finally:
        disturber.stop()


def scene_of(plan: LabPlan, wrap: str = "") -> Scene:
    """Return the scene of a plan, which is to be entered."""
    server = ServerProcess(plan.store, plan.folder.parent / "server.txt", wrap)
    return Scene(server, CuttingProxy(plan.seed))


def main(arguments: Sequence[str] | None = None) -> int:
    """Storm a server; 0: every check holds, 1: one does not, or it was disturbed too little."""
    given = _parser().parse_args(arguments)
    # Each lease that is lost is a warning, and here they are lost by the thousand.
    logging.getLogger("cicd_core").setLevel(logging.ERROR)
    results = Results(given.results)
    seeds = range(given.seed, given.seed + given.parts)
    return _conclude(given, results.of_seeds(seeds, partial(_one, given)))


def _one(given: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Run one storm, and return its figures."""
    with tempfile.TemporaryDirectory(prefix="cicd-storm-") as made:
        folder = Path(made)
        (folder / "journals").mkdir()
        plan = LabPlan(
            store=f"sqlite:///{folder / 'lab.db'}?synchronous=full",
            folder=folder / "journals",
            seed=seed,
            minutes=given.minutes,
            workers=given.workers,
            tasks=given.tasks,
            kills=given.kills,
        )
        with scene_of(plan) as scene:
            report = storm(scene, plan, lambda line: say(sys.stderr, line))
    say(sys.stdout, report.as_text().replace("kills  ", "workers", 1))
    return {"disturbances": {**scene.done}, "cuts": {**scene.proxy.cuts}, **report.as_json()}


def _conclude(given: argparse.Namespace, found: Sequence[dict[str, Any]]) -> int:
    """Say what the storms found together."""
    for part in ("disturbances", "cuts"):
        sums = sum((Counter(each[part]) for each in found), Counter[str]())
        say(sys.stdout, f"{part:<14} " + ", ".join(f"{name} {sums[name]:,}" for name in sums))
    for name in ("kills", "operations", "enqueued", "unknown", "lost", "double_owned"):
        say(sys.stdout, f"{name:<14} {sum(each[name] for each in found):,}")
    disturbances = sum(sum(each["disturbances"].values()) for each in found)
    if disturbances < given.disturbances:
        say(
            sys.stderr,
            f"only {disturbances} disturbances of {given.disturbances}: give more --kills",
        )
        return 1
    return 0 if all(each["ok"] for each in found) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.http.storms", description=__doc__)
    add = parser.add_argument
    add(
        "--kills",
        type=int,
        default=60,
        metavar="K",
        help="end a storm after so many killed workers",
    )
    add("--disturbances", type=int, default=0, metavar="N", help="fail if there were fewer")
    add("--parts", type=int, default=1, metavar="N", help="run so many storms, of N seeds")
    add("--results", type=Path, metavar="FILE", help="keep the figures here, and go on from there")
    add("--minutes", type=float, default=30.0, metavar="M", help="end a storm after this time")
    add("--seed", type=int, default=1, metavar="S", help="what everything is drawn from")
    add("--workers", type=int, default=3, metavar="N", help="processes at once (default: 3)")
    add("--tasks", type=int, default=6, metavar="N", help="callers in each (default: 6)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
