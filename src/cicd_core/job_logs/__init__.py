"""Logs of jobs: where they are kept, what of them is kept, and how they are shown.

A log belongs to one attempt at a job and is a row of bytes; a place in it is the number of the
bytes before it. It only grows. What a limit leaves out keeps its places: no byte ever moves.
"""

from __future__ import annotations

from cicd_core.job_logs.contract import LogId, LogState, LogStore
from cicd_core.job_logs.file_store import FileLogStore
from cicd_core.job_logs.limits import LogLimits
from cicd_core.job_logs.opening import open_log_store
from cicd_core.job_logs.pieces import LogPiece

__all__ = [
    "FileLogStore",
    "LogId",
    "LogLimits",
    "LogPiece",
    "LogState",
    "LogStore",
    "open_log_store",
]
