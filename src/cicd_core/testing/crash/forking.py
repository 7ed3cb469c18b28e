"""A child that a worker forks, and that outlives it with copies of all that it had open."""

from __future__ import annotations

import os
import select
from typing import Final

#: How often the child looks whether the fork server is still there, in seconds.
_WATCH: Final = 0.1


def fork_child(fork_server: int) -> int:
    """Fork a child that does nothing, and lives as long as the process ``fork_server``.

    It has a copy of every file, socket and lock that this process has open, in the middle of
    whatever its threads do with them.
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
