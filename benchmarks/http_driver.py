"""What the benchmarks of the server share: a process under load, and a client that costs little."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

_TICK = os.sysconf("SC_CLK_TCK")


class Process:
    """A server whose CPU and memory are measured; its first line of output is kept."""

    def __init__(self, started: subprocess.Popen[str]) -> None:
        assert started.stdout is not None
        self.pid = started.pid
        self.line = started.stdout.readline().strip()
        assert self.line, "the server does not start"

    def cpu_seconds(self) -> float:
        """The CPU time that it took so far, in user mode and in the kernel."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK

    def memory_mib(self) -> tuple[float, float]:
        """Its resident memory now, and at its highest."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        known = dict(line.split(":", 1) for line in lines)
        now, highest = (int(known[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
        return now, highest


@contextmanager
def running(arguments: Sequence[str]) -> Iterator[Process]:
    """Run a Python program, and end it."""
    command = [sys.executable, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as started:
        try:
            yield Process(started)
        finally:
            started.terminate()


class Connection:
    """One connection that is kept alive: one request after the other."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str
    ) -> None:
        self._reader = reader
        self._writer = writer
        shown = f"authorization: Bearer {token}\r\n" if token else ""
        self._head = f"host: 127.0.0.1\r\ncontent-type: application/json\r\n{shown}"

    async def call(self, method: str, path: str, body: object) -> tuple[int, Any]:
        """Make a request; return the status, and the answer's JSON."""
        data = json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\n{self._head}content-length: {len(data)}\r\n\r\n"
        self._writer.write(head.encode() + data)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        status = int(lines[0].split()[1])
        length = next((line[15:] for line in lines if line.startswith("content-length:")), "0")
        answer = await self._reader.readexactly(int(length))
        return status, json.loads(answer) if answer else None


@asynccontextmanager
async def connected(port: int, token: str = "") -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Connection(reader, writer, token)
    finally:
        writer.close()


def load_of_machine() -> str:
    """How busy the machine is, which belongs to each number."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
