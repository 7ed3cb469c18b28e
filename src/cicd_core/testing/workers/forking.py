"""A child that a worker forks, and that outlives it with copies of all its open files."""

from __future__ import annotations

import os
import select
from typing import Final

#: How often the child checks whether the fork server still exists, in seconds.
_WATCH: Final = 0.1


def fork_child(fork_server: int) -> int:
    """Fork a child that does nothing, and lives as long as the process ``fork_server``.

    It has a copy of every open file, socket and lock of this process, in whatever state its threads
    have them.
    """
    child = os.fork()
    if child:
        return child
    try:
        while _is_there(fork_server):
            select.select([], [], [], _WATCH)
    finally:
        os._exit(0)


def _is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
