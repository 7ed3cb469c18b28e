"""Agents that run shell jobs over HTTP are disturbed, and so are the network and the server.

From a shell, with as many disturbances as there is time for::

    python -m tests.http.agent_storms --disturbances 300 --parts 6
    python -m tests.http.agent_storms --disturbances 900 --parts 18 --results agents.jsonl

The agents are processes of ``python -m cicd_core agent --server URL``. They are killed, stopped,
and suspended past their leases; their connections end anywhere, the network is cut off or swallows
what is sent, and the server is killed, stopped and started again. A caller enqueues jobs
meanwhile, which append what they do to one file. When all jobs have ended, that file is compared
with the store. It prints its figures, and exits with 1 if anything contradicts a promise, with the
job and its lines. Each part is a storm of one seed after the other; those that ``--results`` holds
already are not run again.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import anyio
from attrs import define, field, frozen

from cicd_core import ControlPlane, Settings
from cicd_core.http.client import RemoteControlPlane
from cicd_core.model.job import JobStatus
from tests.http.lab.agents import AgentProcess, Fleet
from tests.http.lab.execution_audit import Audited, Contradiction, audit_executions
from tests.http.lab.proxy import CuttingProxy
from tests.http.lab.server import ServerProcess
from tests.http.lab.steady_caller import SteadyCaller
from tests.http.lab.witness import Witness
from tests.http.storms import Scene
from tests.lifeline import lifeline
from tests.patience import PATIENCE
from tests.runtime.processes import processes_in
from tests.storming import Disturber, Results, python_path, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.storming import Disturbed

ROOT: Final = Path(__file__).parents[2]
#: Of the server. What runs too long has two seconds to end; a sweep takes lost jobs back at once.
SETTINGS: Final = Settings(
    lease_seconds=6.0,
    start_timeout_seconds=10.0,
    grace_seconds=2.0,
    sweep_seconds=0.1,
    lane_refresh_seconds=0.5,
)
#: How an agent may end that got SIGTERM: it drained, or had not begun to listen.
_ENDS: Final = {0, -15}
#: How long the scene and the agents are left alone between two disturbances, in seconds.
_CALM: Final = (0.3, 2.5)
_OPEN: Final = (JobStatus.PENDING, JobStatus.QUEUED, JobStatus.RUNNING)


@frozen(kw_only=True)
class StormPlan:
    """One storm of agents."""

    folder: Path
    seed: int = 1
    agents: int = 3
    #: It ends when there were so many disturbances, and so many enqueues were acknowledged.
    disturbances: int = 50
    jobs: int = 1
    lease_seconds: float = 6.0
    minutes: float = 60.0
    #: ``module:function`` that is given the server's store, as for ``LabPlan``.
    wrap: str = ""
    #: What each agent is, as for ``python -m``.
    module: str = "cicd_core"
    #: Between two calls of each caller, in seconds.
    pauses: tuple[float, float] = (0.5, 2.0)


@define
class StormReport:
    """The figures of a storm, and what contradicts a promise."""

    figures: dict[str, Any]
    contradictions: list[Contradiction]

    def as_json(self) -> dict[str, Any]:
        """Return both, as JSON."""
        kinds = Counter(found.kind for found in self.contradictions)
        evidence = [str(found) for found in self.contradictions[:20]]
        ok = not self.contradictions
        return {**self.figures, "contradictions": {**kinds}, "evidence": evidence, "ok": ok}


@define(eq=False)
class Stage:
    """A server behind a network, agents before it, and what their jobs write."""

    plan: StormPlan
    witness: Witness = field(init=False)
    scene: Scene = field(init=False)
    fleet: Fleet = field(init=False)
    _stack: ExitStack = field(factory=ExitStack)

    def __attrs_post_init__(self) -> None:
        """Describe it; nothing runs yet."""
        folder = self.plan.folder
        self.witness = Witness(folder)
        server = ServerProcess(
            self.store, folder / "server.txt", self.plan.wrap, "tests.http.agent_storms:SETTINGS"
        )
        self.scene = Scene(server, CuttingProxy(self.plan.seed))

    @property
    def store(self) -> str:
        """The URL of the store."""
        return f"sqlite:///{self.plan.folder / 'lab.db'}?synchronous=normal"

    @property
    def url(self) -> str:
        """Where agents and callers reach the server, through the network."""
        return self.scene.remote.url

    @property
    def direct_url(self) -> str:
        """Where it listens itself."""
        return f"http://127.0.0.1:{self.scene.proxy.upstream}"

    def __enter__(self) -> Self:
        """Start the server, and make the agents, which are not started yet."""
        self._stack.enter_context(self.scene)
        self.fleet = Fleet([self._agent(number) for number in range(self.plan.agents)])
        self._stack.callback(self.fleet.end)
        return self

    def __exit__(self, *_: object) -> None:
        """End all of it."""
        self._stack.close()

    def _agent(self, number: int) -> AgentProcess:
        name = f"storm-{number}"
        folder, lease = self.plan.folder / name, self.plan.lease_seconds
        return AgentProcess(name, self.url, folder, lease, module=self.plan.module)

    def report(
        self, acknowledged: Mapping[str, set[str]], found: list[Contradiction]
    ) -> StormReport:
        """Audit the store, which the server has closed, and add what was found before."""

        async def audited() -> Audited:
            async with ControlPlane.open(self.store, maintenance=False) as plane:
                return await audit_executions(plane, acknowledged, lines)

        lines = self.witness.lines()
        audit = anyio.run(audited)
        figures = {
            "jobs": len(audit.jobs),
            "attempts": audit.attempts,
            "executions": sum(line.what == "begin" for line in lines),
            "lines": len(lines),
            "states": {**Counter(job.state.value for job in audit.jobs.values())},
            "deserters": self.fleet.deserters,
        }
        return StormReport(figures, [*found, *audit.contradictions])

    def left_undone(self) -> list[Contradiction]:
        """Wait until all jobs have ended; stop all agents, and see what they leave behind."""
        found = []
        if not anyio.run(_drained, self.direct_url):
            found.append(Contradiction(kind="unfinished", why="the queue does not become empty"))
        self.fleet.stop()
        for agent in self.fleet.agents:
            found += _broken(agent)
        jobs = [line for line in processes_in(self.plan.folder) if "job.sh" in line]
        return found + [Contradiction(kind="left", why=f"a process: {line}") for line in jobs]


def _broken(agent: AgentProcess) -> Iterator[Contradiction]:
    codes = [code for code in agent.codes if code not in _ENDS]
    if codes:
        yield Contradiction(kind="broken", why=f"agent {agent.agent_id} ended with {codes}")
    text = agent.errors.read_text(errors="replace")
    if "Traceback" in text:
        shown = text[text.index("Traceback") :][:3000]
        yield Contradiction(kind="broken", why=f"agent {agent.agent_id}: {shown}")


async def _drained(url: str) -> bool:
    """Wait until no job is open; False: none has ended for as long as a test waits."""
    least, late = sys.maxsize, time.monotonic() + PATIENCE
    async with RemoteControlPlane(url) as plane:
        while left := await _open_jobs(plane):
            if left < least:
                least, late = left, time.monotonic() + PATIENCE
            if time.monotonic() > late:
                return False
            await anyio.sleep(0.2)
    return True


async def _open_jobs(plane: RemoteControlPlane) -> int:
    number = 0
    for status in _OPEN:
        async for _ in plane.jobs.iterate(status=status):
            number += 1
    return number


def storm(plan: StormPlan, tell: Callable[[str], None] = lambda _: None) -> StormReport:
    """Disturb agents, network and server while jobs are enqueued; then audit what happened."""
    began = time.monotonic()
    with Stage(plan) as stage:
        stage.fleet.start()
        caller = SteadyCaller(stage.url, stage.witness, plan.seed, plan.pauses)
        _disturb(stage, caller, tell)
        found = stage.left_undone()
    found += _server_ends(stage)
    report = stage.report(caller.acknowledged, found)
    report.figures |= {
        "unknown": caller.unknown,
        "disturbances": {**stage.scene.done, **stage.fleet.done},
        "cuts": {**stage.scene.proxy.cuts},
        "seconds": round(time.monotonic() - began),
    }
    return report


def _server_ends(stage: Stage) -> Iterator[Contradiction]:
    codes = [code for code in stage.scene.server.codes if code]
    if codes:
        yield Contradiction(kind="broken", why=f"the server ended with {codes}")


def _disturb(stage: Stage, caller: SteadyCaller, tell: Callable[[str], None]) -> None:
    plan, late = stage.plan, time.monotonic() + stage.plan.minutes * 60
    disturbed: tuple[Disturbed, ...] = (stage.scene, stage.fleet)
    disturbers = [
        Disturber(each, 2 * plan.seed + number, _CALM) for number, each in enumerate(disturbed)
    ]
    threads = (caller, *(disturbers if plan.disturbances else ()))
    for thread in threads:
        thread.start()
    try:
        said = 0
        while time.monotonic() < late and all(thread.is_alive() for thread in threads):
            times = sum(each.times for each in disturbers)
            if times >= plan.disturbances and len(caller.acknowledged) >= plan.jobs:
                break
            if times >= said + 10:
                said = times
                tell(f"{times} disturbances, {len(caller.acknowledged)} jobs")
            threading.Event().wait(0.1)
    finally:
        for disturber in disturbers:
            disturber.stop()
        stage.scene.proxy.calm_down()
        caller.stop()
    tell(f"the storm is over, with {len(caller.acknowledged)} jobs: agents do the rest")


def main(arguments: Sequence[str] | None = None) -> int:
    """Storm agents; 0: every promise holds, 1: one does not, or they were disturbed too little."""
    given = _parser().parse_args(arguments)
    logging.getLogger("cicd_core").setLevel(logging.ERROR)
    os.environ["PYTHONPATH"] = python_path()
    results = Results(given.results)
    seeds = range(given.seed, given.seed + given.parts)
    return _conclude(given, results.of_seeds(seeds, partial(_one, given)))


def _one(given: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Run one storm, and return its figures."""
    with tempfile.TemporaryDirectory(prefix="agents-", dir=lifeline().folder) as made:
        plan = StormPlan(
            folder=Path(made).resolve(),
            seed=seed,
            agents=given.agents,
            disturbances=-(-given.disturbances // given.parts),
            lease_seconds=given.lease,
            minutes=given.minutes,
        )
        report = storm(plan, lambda line: say(sys.stderr, f"seed {seed}: {line}"))
    for contradiction in report.contradictions:
        say(sys.stderr, str(contradiction))
    return report.as_json()


def _conclude(given: argparse.Namespace, found: Sequence[dict[str, Any]]) -> int:
    """Print what the storms found together."""
    sums: dict[str, Any] = {
        name: {**sum((Counter(each[name]) for each in found), Counter[str]())}
        for name in ("disturbances", "cuts", "states", "contradictions")
    }
    for name in ("jobs", "attempts", "executions", "lines", "unknown", "deserters", "seconds"):
        sums[name] = sum(each[name] for each in found)
    sums["ok"] = all(each["ok"] for each in found)
    if given.json:
        evidence = [line for each in found for line in each["evidence"]]
        say(sys.stdout, json.dumps({**sums, "evidence": evidence}))
    else:
        for name, value in sums.items():
            say(sys.stdout, f"{name:<15} {_shown(value)}")
    disturbances = sum(sums["disturbances"].values())
    if disturbances < given.disturbances:
        say(sys.stderr, f"only {disturbances} disturbances of {given.disturbances}: more --minutes")
        return 1
    return 0 if sums["ok"] else 1


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {number:,}" for name, number in value.items()) or "none"
    return f"{value:,}" if not isinstance(value, bool) else str(value)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.http.agent_storms", description=__doc__)
    add = parser.add_argument
    add("--disturbances", type=int, default=300, metavar="N", help="of all parts; fail if fewer")
    add("--parts", type=int, default=6, metavar="N", help="run so many storms, of N seeds")
    add("--results", type=Path, metavar="FILE", help="keep the figures here, and go on from there")
    add("--json", action="store_true", help="print the figures as JSON")
    add("--minutes", type=float, default=60.0, metavar="M", help="end a storm after this time")
    add("--seed", type=int, default=1, metavar="S", help="what everything is drawn from")
    add("--agents", type=int, default=3, metavar="N", help="processes at once (default: 3)")
    add("--lease", type=float, default=6.0, metavar="SECONDS", help="of the agents (default: 6)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
