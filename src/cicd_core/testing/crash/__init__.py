"""The crash lab: kills processes that use a store, then checks the store.

Workers in separate processes use one store and record each call and its answer. The lab kills them
with SIGKILL at random times and at chosen points inside claims and commits, or stops them until
their leases have expired; one of them has a wall clock that jumps. Then it drains the store, and
audits it against its own log and the workers' journals.

From a shell: ``python -m cicd_core.testing.crash --store sqlite:////var/tmp/lab.db --minutes 5``.
"""

from __future__ import annotations

from cicd_core.testing.crash.lab import run_lab
from cicd_core.testing.crash.plan import LabPlan, Remote
from cicd_core.testing.crash.report import CrashReport

__all__ = ["CrashReport", "LabPlan", "Remote", "run_lab"]
