"""The audit: a store checked against its own log.

It reads every record and every event, then checks each promise of the library against them: no job
lost, one final verdict per job, fences that only grow, a log without a gap, counters and counts
that agree with the records. It writes nothing, and other processes may work meanwhile.
"""

from __future__ import annotations

from cicd_core.audit.report import (
    PROMISES,
    AuditReport,
    Check,
    CheckResult,
    Promise,
)
from cicd_core.audit.runner import audit

__all__ = ["PROMISES", "AuditReport", "Check", "CheckResult", "Promise", "audit"]
