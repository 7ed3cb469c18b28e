"""The audit: a store checked against its own log.

Every record is read, and every event; then each promise of the library is checked by what they
say: nothing lost, one final verdict a job, fences that only grow, a log without a gap, counters
and counts that agree with the records. Nothing is written, and others may work meanwhile.
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
