"""Writes a log to a terminal."""

from __future__ import annotations

import codecs
import io
import sys
from typing import TYPE_CHECKING

from cicd_core.job_logs.limits import cut_line
from cicd_core.printable import printable

if TYPE_CHECKING:
    from pathlib import Path


class Output:
    """Writes one attempt's log to stdout, from its start on."""

    def __init__(self, *, raw: bool) -> None:
        """Write raw bytes, or text with control characters made visible."""
        self._raw = raw
        self._offset = 0
        #: Whether the last line is still incomplete.
        self.in_line = False
        bytes_decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._decoder = io.IncrementalNewlineDecoder(bytes_decoder, translate=True)

    def copy(self, path: Path) -> None:
        """Write the bytes that were added since the last call."""
        from cicd_core.agent.capped_log import read_piece

        while True:
            try:
                piece = read_piece(path, self._offset)
            except FileNotFoundError:  # a part was just joined to the file, or removed
                break
            if not self.take(piece.data, piece.missing):
                break
            self._offset = piece.next_offset

    def take(self, data: bytes, missing: int) -> bool:
        """Write the next bytes, after a line for omitted ones; return whether there were any."""
        if missing:
            self._write(cut_line(missing).encode())
        self._write(data)
        sys.stdout.flush()
        return bool(data)

    def end(self) -> None:
        """Write the incomplete character at the end, if there is one."""
        self._write(b"", final=True)
        sys.stdout.flush()

    def _write(self, data: bytes, *, final: bool = False) -> None:
        self.in_line = not data.endswith(b"\n") if data else self.in_line
        if self._raw:
            sys.stdout.buffer.write(data)
        else:
            sys.stdout.write(printable(self._decoder.decode(data, final=final)))
