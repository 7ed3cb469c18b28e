"""Passes a command's output to the log: the command never holds the log's file.

So a command can neither fill the disk nor remove its log, and a full or hanging disk does not
decide how the command ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import select
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread

from cicd_core.agent.answers import SetupFailed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from typing import BinaryIO

_log = logging.getLogger("cicd_core.agent")

#: Capacity of the pipe, if the system allows that much.
_PIPE_BYTES: Final = 1024 * 1024
_READ_BYTES: Final = 256 * 1024
#: How long the log may take for the last output of the command, in seconds.
_FLUSH_SECONDS: Final = 10.0


@asynccontextmanager
async def captured(sink: Callable[[bytes], object]) -> AsyncGenerator[BinaryIO]:
    """Return a file for a process to write to; a thread passes its bytes to ``sink``.

    At the exit from the context, the sink has received all bytes written until then. A process
    that continues to write gets SIGPIPE.

    Raises:
        SetupFailed: this machine has no more files or threads.
    """
    try:
        flow = _Flow(sink)
    except (OSError, RuntimeError) as refused:  # RuntimeError: the thread can't start
        raise SetupFailed(f"the output of a command cannot be read: {refused}") from refused
    try:
        with flow.output as output:
            yield output
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(flow.finish)


class _Flow:
    """A pipe, and the thread that empties it."""

    def __init__(self, sink: Callable[[bytes], object]) -> None:
        self._sink = sink
        with contextlib.ExitStack() as opened:
            self._reader, writer = os.pipe()
            opened.callback(os.close, self._reader)
            self.output = opened.enter_context(os.fdopen(writer, "wb", buffering=0))
            self._stopped, self._stop = os.pipe()
            opened.callback(os.close, self._stopped)
            opened.callback(os.close, self._stop)
            with contextlib.suppress(OSError, AttributeError):  # only Linux can do that
                fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            self._thread = threading.Thread(target=self._run, name="cicd-output", daemon=True)
            self._thread.start()
            opened.pop_all()

    def finish(self) -> None:
        """Wait until the thread has read all bytes in the pipe."""
        os.close(self._stop)
        self._thread.join(_FLUSH_SECONDS)
        if self._thread.is_alive():
            _log.warning("the log does not accept the end of a command's output: check the disk")

    def _run(self) -> None:
        try:
            self._read()
        finally:
            os.close(self._reader)
            os.close(self._stopped)

    def _read(self) -> None:
        ready = select.poll()
        ready.register(self._reader, select.POLLIN)
        ready.register(self._stopped, select.POLLIN)
        left = _PIPE_BYTES  # a process outside the group might write without end
        while left > 0:
            found = {descriptor for descriptor, _ in ready.poll()}
            if self._reader not in found:
                return
            data = os.read(self._reader, _READ_BYTES)
            if not data:
                return
            if self._stopped in found:
                left -= len(data)
            self._take(data)

    def _take(self, data: bytes) -> None:
        try:
            self._sink(data)
        except Exception:  # noqa: BLE001 - the command must not wait for ever
            _log.exception("a part of a command's output is lost")
