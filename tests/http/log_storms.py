"""A job that prints much, sent by an agent to a server over a network that breaks.

    python -m tests.http.log_storms --megabytes 200
    python -m tests.http.log_storms --megabytes 600 --rate 10
    python -m tests.http.log_storms --megabytes 40 --line 10 --kills 5 --cuts --seed 7

runs a server and an agent as processes. What the server keeps at the end is compared with what the
job printed, byte by byte; it has secrets in it, which must be masked, and bytes that are no UTF-8.
Prints a line of JSON: how long it took, and how much memory each process took at most.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import httpx2
from attrs import define, field, frozen

from tests.http.lab.proxy import CuttingProxy
from tests.lifeline import Guarded, lifeline
from tests.patience import PATIENCE
from tests.storming import python_path

if TYPE_CHECKING:
    from collections.abc import Iterator

MEBIBYTE: Final = 1024 * 1024
SECRET: Final = "s3cr3t-value"
#: What the job's process runs: it prints blocks, at most so many a second.
WRITER: Final = """
import sys, time
from tests.http.log_storms import block
blocks, rate, line = map(int, sys.argv[1:])
out, began = sys.stdout.buffer, time.monotonic()
if line:
    out.write(b"-" * line + b"\\n")
for number in range(blocks):
    out.write(block(number))
    out.flush()
    if rate:
        time.sleep(max(0.0, began + (number + 1) / 16 / rate - time.monotonic()))
"""
_BLOCK: Final = MEBIBYTE // 16
#: How long a scenario may hang, besides what its rate takes, in seconds.
_LONGEST: Final = 40 * 60.0


@frozen(kw_only=True)
class Scenario:
    """What a job prints, and what befalls its log."""

    megabytes: int
    #: MiB a second; 0: as fast as they are taken.
    rate: int = 0
    #: MiB of one line before all others.
    line: int = 0
    #: How often the server is killed in the middle, and started again.
    kills: int = 0
    #: Whether the connections of the agent are cut in the middle of requests and answers.
    cuts: bool = False
    seed: int = 0

    def said(self) -> Iterator[bytes]:
        """Yield what the server must keep."""
        if self.line:
            yield b"-" * (self.line * MEBIBYTE) + b"\n"
        for number in range(self.megabytes * 16):
            yield block(number).replace(SECRET.encode(), b"***")


@frozen(kw_only=True)
class Result:
    """What was seen. Memory is in MiB: the resident set at its largest, and before the job."""

    seconds: float
    megabytes: int
    is_whole: bool
    kills: int
    cuts: int
    agent_before: float
    agent_peak: float
    server_before: float
    server_peak: float
    #: Seconds of CPU that the agent took, with the job's own process, and the last server.
    agent_cpu: float
    server_cpu: float


def block(number: int) -> bytes:
    """Return a sixteenth of a MiB of lines, with a secret and bytes that are no UTF-8."""
    head = b"block %d \xff\xfe\xc3 %s\n" % (number, SECRET.encode())
    line = b"%08d the quick brown fox jumps over the lazy dog, again and again and again\n" % number
    rest = _BLOCK - len(head)
    return head + (line * (rest // len(line) + 1))[: rest - 1] + b"\n"


@define
class Watched:
    """A process whose memory is looked at; it may be another one after a restart."""

    process: subprocess.Popen[bytes]
    peak: float = 0.0
    before: float = 0.0
    cpu: float = 0.0

    def look(self) -> None:
        """Note its resident set."""
        with suppress(OSError, ValueError):  # it has just ended
            status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
            (rss,) = (line for line in status.splitlines() if line.startswith("VmRSS"))
            times = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii")
            ticks = times.rpartition(")")[2].split()[11:15]
            self.cpu = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
            self.peak = max(self.peak, int(rss.split()[1]) / 1024)

    def begin(self) -> None:
        """Note what it has before the job."""
        self.look()
        self.before = self.peak


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


@define
class Storm:
    """One run of a scenario in a folder."""

    scenario: Scenario
    folder: Path
    port: int = field(factory=_free_port)
    killed: int = 0

    def run(self) -> Result:
        """Run it; what was started is ended."""
        with ExitStack() as stack:
            server = Watched(self._serve())
            stack.callback(lambda: _end(server.process))
            proxy = CuttingProxy(self.scenario.seed, self.port)
            proxy.start()
            stack.callback(proxy.stop)
            if not self.scenario.cuts:
                proxy.calm_down()
            job_id = self._enqueue()
            server.begin()
            agent = Watched(self._agent(proxy.port))
            stack.callback(lambda: _end(agent.process))
            began = time.monotonic()
            self._watch(agent, server)
            seconds = time.monotonic() - began
            proxy.calm_down()
            return Result(
                seconds=round(seconds, 1),
                megabytes=self.scenario.megabytes + self.scenario.line,
                is_whole=self._is_whole(job_id),
                kills=self.killed,
                cuts=sum(number for kind, number in proxy.cuts.items() if kind != "all"),
                agent_before=round(agent.before, 1),
                agent_peak=round(agent.peak, 1),
                server_before=round(server.before, 1),
                server_peak=round(server.peak, 1),
                agent_cpu=agent.cpu,
                server_cpu=server.cpu,
            )

    def _watch(self, agent: Watched, server: Watched) -> None:
        """Look at both until the agent ends; kill the server where the log has come so far."""
        whole = (self.scenario.megabytes + self.scenario.line) * MEBIBYTE
        marks = [
            whole * (number + 1) // (self.scenario.kills + 1)
            for number in range(self.scenario.kills)
        ]
        late = time.monotonic() + _LONGEST
        while agent.process.poll() is None:
            agent.look()
            server.look()
            if not agent.before and self._kept():
                agent.begin()
            if marks and self._kept() >= marks[0]:
                marks.pop(0)
                server.process.kill()
                _end(server.process)
                self.killed += 1
                server.process = self._serve()
            assert time.monotonic() < late, "the log never arrives"
            threading.Event().wait(0.05)
        assert agent.process.returncode == 0, agent.process.returncode

    def _kept(self) -> int:
        """How many bytes of the log the server has on disk."""
        with suppress(OSError):  # a file has just gone
            return sum(file.stat().st_size for file in (self.folder / "kept").rglob("*.log"))
        return 0

    def _is_whole(self, job_id: str) -> bool:
        """Compare what the server answers with what the job printed, as both stream."""
        told, said = hashlib.sha256(), hashlib.sha256()
        path = f"http://127.0.0.1:{self.port}/api/queue/jobs/{job_id}/log"
        with httpx2.stream("GET", path, trust_env=False, timeout=60) as answer:
            assert answer.status_code == 200, answer.status_code
            headers = (answer.headers["log-attempt"], answer.headers["log-complete"])
            for part in answer.iter_bytes():
                told.update(part)
        for part in self.scenario.said():
            said.update(part)
        return headers == ("1", "true") and told.digest() == said.digest()

    def _enqueue(self) -> str:
        line = str(self.scenario.line * MEBIBYTE)
        numbers = [str(self.scenario.megabytes * 16), str(self.scenario.rate), line]
        payload = {"argv": [sys.executable, "-c", WRITER, *numbers]}
        spec = {"job_type": "shell", "payload": payload, "timeout_seconds": 2 * _LONGEST}
        path = f"http://127.0.0.1:{self.port}/api/queue/jobs"
        made = httpx2.post(path, json=spec, trust_env=False, timeout=60)
        assert made.status_code == 201, made.text
        job_id: str = made.json()["job_id"]
        return job_id

    def _serve(self) -> subprocess.Popen[bytes]:
        store, kept = f"sqlite:///{self.folder}/ci.db", str(self.folder / "kept")
        options = ["--store", store, "--logs", kept, "--log-limit", "4G", "--quiet"]
        command = ["serve", "--port", str(self.port), *options]
        process = self._start(*command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline(), "the server does not listen"
        return process

    def _agent(self, port: int) -> subprocess.Popen[bytes]:
        secrets = self.folder / "secrets"
        secrets.write_text(f"{SECRET}\n")
        options = ["--send-logs", "--mask-file", str(secrets), "--log-limit", "4G", "--lease", "60"]
        folders = ["--workdir", f"{self.folder}/work", "--log-dir", f"{self.folder}/logs"]
        server = ["--server", f"http://127.0.0.1:{port}", "--quiet", "--until-idle"]
        return self._start("agent", *server, *options, *folders, "--env", "PYTHONPATH")

    def _start(self, *words: str, stdout: int | None = None) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "cicd_core", *words]
        environment = {**os.environ, "PYTHONPATH": python_path()}
        return Guarded(command, env=environment, stdout=stdout)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process, which is asked to end unless it was killed."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    process.wait(PATIENCE)
    if process.stdout is not None:
        process.stdout.close()


def run(scenario: Scenario) -> Result:
    """Run a scenario in a folder of its own, which is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="log-storm-", dir=lifeline().folder) as folder:
        return Storm(scenario, Path(folder)).run()


def main() -> None:
    """Run the scenario that the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("megabytes", "rate", "line", "kills", "seed"):
        parser.add_argument(f"--{name}", type=int, default=200 if name == "megabytes" else 0)
    parser.add_argument("--cuts", action="store_true")
    load = os.getloadavg()[0]
    result = run(Scenario(**vars(parser.parse_args())))
    told = {**attrs.asdict(result), "load": [round(load, 1), round(os.getloadavg()[0], 1)]}
    sys.stdout.write(f"{json.dumps(told)}\n")
    sys.exit(not result.is_whole)


if __name__ == "__main__":
    main()
