"""How long a store may be used, and by which process."""

from __future__ import annotations

import os

from cicd_core.errors import StoreClosed


class Lifetime:
    """From the opening of a store to its close, in the process that opened it.

    A forked child has a copy of the store without the threads and tasks that serve it, on
    connections that are the parent's: what it sent there would end up between the parent's calls.
    """

    def __init__(self, store: str) -> None:
        """Begin now, in this process; ``store`` names the store in errors."""
        self._store = store
        self._process = os.getpid()
        self._ended = False

    def check(self) -> None:
        """Refuse a call that the store can't take.

        Raises:
            StoreClosed: the store was closed, or another process opened it.
        """
        if self._ended:
            raise StoreClosed(f"{self._store} is closed: open it again; this call wrote nothing")
        if os.getpid() != self._process:
            raise StoreClosed(
                f"{self._store} was opened by process {self._process}, of which this process "
                f"{os.getpid()} is a fork: open a new store after the fork; this call "
                f"wrote nothing"
            )

    def end(self) -> bool:
        """End it; whether there is something to close.

        There is nothing the second time, and in a forked child, where it is the parent's.
        """
        is_first = not self._ended and os.getpid() == self._process
        self._ended = True
        return is_first
