"""What the tests need to know of processes, and of files that they write."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from tests.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not buried yet does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def processes_in(folder: Path) -> list[str]:
    """Return the command lines of the processes that work in a folder, or are named after it."""
    found: list[str] = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            where = str((process / "cwd").readlink())
            ended = (process / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            continue
        if not ended and (str(folder) in line or where.startswith(str(folder))):
            found.append(line)
    return found


async def until(come_true: Callable[[], object]) -> None:
    """Wait until something is so that happens outside this process, and so tells nobody."""
    with anyio.fail_after(PATIENCE):
        while not come_true():  # noqa: ASYNC110 - as above
            await anyio.sleep(0.01)


async def number_in(file: Path) -> int:
    """Return the number in a file, when it is there."""
    await until(lambda: file.exists() and file.read_text().endswith("\n"))
    return int(await anyio.Path(file).read_text())
