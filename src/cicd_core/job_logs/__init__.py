"""Logs of jobs: storing, limiting, masking and rendering them.

A log belongs to one attempt at a job. It is a sequence of bytes that only grows; the offset of a
byte is the number of bytes before it. Bytes that a limit removes still count: offsets never change.
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
