"""The log of a long-running command on stderr: lines for people, or JSON for a collector."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from cicd_core.printable import printable, printable_json


class _People(logging.Formatter):
    """``10:13:59.123 INFO    message``, in UTC."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        text = f"{at:%H:%M:%S}.{at.microsecond // 1000:03d} {record.levelname:<7} "
        text += record.getMessage()
        if record.exc_info is not None:
            text = f"{text}\n{self._traceback(record)}"
        return printable(text)

    def _traceback(self, record: logging.LogRecord) -> str:
        return "" if record.exc_info is None else self.formatException(record.exc_info)


class _Machines(_People):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info is not None:
            entry["traceback"] = self._traceback(record)
        return printable_json(json.dumps(entry, ensure_ascii=False))


def log_to_stderr(*, verbose: bool, quiet: bool, as_json: bool) -> None:
    """Send the library's log to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Machines() if as_json else _People())
    ours = logging.getLogger("cicd_core")
    ours.addHandler(handler)
    ours.propagate = False
    ours.setLevel(logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO)
