"""A simulation of the whole control plane: days of traffic, thousands of agents, one seed.

The real services run on the memory store, with a simulated clock; agents crash, stall, lose replies
and repeat calls. Every step is checked against the promises of the library, and at the end the
store is audited.
"""

from __future__ import annotations

from cicd_core.testing.simulation.plan import SimulationPlan
from cicd_core.testing.simulation.report import SimulationReport, Violation
from cicd_core.testing.simulation.running import simulate

__all__ = ["SimulationPlan", "SimulationReport", "Violation", "simulate"]
