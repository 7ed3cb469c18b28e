"""Namespaces for tests: process 1, a user without a name, a root that can't be written."""

from __future__ import annotations

import functools
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.required import is_every_engine_required

#: A program that is process 1 of a namespace, as in a container.
FIRST: Final = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child")
WITH_PROC: Final = (*FIRST, "--mount-proc")
#: A user that no file names.
NAMELESS: Final = ("unshare", "--user", "--map-user=54321", "--map-group=54321")


@functools.cache
def _may_make_namespaces() -> bool:
    try:
        made = subprocess.run([*WITH_PROC, *NAMELESS, "true"], capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return made.returncode == 0


def need_namespaces() -> None:
    """Leave the test out where the system lets nobody make namespaces, unless a check needs all."""
    if not _may_make_namespaces():
        if is_every_engine_required():
            pytest.fail("this system makes no namespaces for its users (unshare)")
        pytest.skip("this system makes no namespaces for its users (unshare)")


def read_only_but(folder: Path) -> list[str]:
    """Return what begins a command in a root that can't be written, but for one folder."""
    mounts = f"mount --bind {folder} {folder} && mount -o remount,bind,ro /"
    return [
        *("unshare", "--user", "--map-root-user", "--mount", "sh", "-c"),
        f'{mounts} && cd {folder} && exec "$@"',
        "sh",
    ]


def children(pid: int) -> list[int]:
    """Return the processes that have that one for their parent."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]
