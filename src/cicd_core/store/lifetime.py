"""The time during which a store may be used, and the process that may use it."""

from __future__ import annotations

import os

from cicd_core.errors import StoreClosed


class Lifetime:
    """From the opening of a store to its close, in the process that opened it.

    A forked child has a copy of the store without its threads and tasks, on the parent's
    connections: data that the child sends would mix with the parent's calls.
    """

    def __init__(self, store: str) -> None:
        """Begin now, in this process; ``store`` names the store in errors."""
        self._store = store
        self._process = os.getpid()
        self._ended = False

    def check(self) -> None:
        """Refuse a call if the store cannot be used.

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
        """End the lifetime; return whether the store must be closed.

        It need not be closed the second time, or in a forked child, since it is the parent's.
        """
        is_first = not self._ended and os.getpid() == self._process
        self._ended = True
        return is_first
