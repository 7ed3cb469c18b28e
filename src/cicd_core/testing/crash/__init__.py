"""The crash lab: kill the processes that use a store, then check what they left behind.

Workers in processes of their own hammer one store and write down what they were told. They are
killed by SIGKILL at random instants and at chosen points inside claims and commits, stopped past
their leases, and one of them sees a wall clock that jumps. Then the store is drained, and audited
against its own log and against the workers' words. For SQLite there is also
:mod:`cicd_core.testing.crash.power_loss`.

From a shell: ``python -m cicd_core.testing.crash --store sqlite:////var/tmp/lab.db --minutes 5``.
"""

from __future__ import annotations

from cicd_core.testing.crash.lab import run_lab
from cicd_core.testing.crash.plan import LabPlan
from cicd_core.testing.crash.report import CrashReport

__all__ = ["CrashReport", "LabPlan", "run_lab"]
