"""A simulation of the whole control plane: days of traffic, thousands of agents, one seed.

The real services run over the memory store, on a clock that is moved by hand; agents crash,
stall, lose replies and repeat themselves. After every step what happened is checked against the
promises of the library, and at the end the store is audited.
"""

from __future__ import annotations

from cicd_core.testing.simulation.plan import SimulationPlan
from cicd_core.testing.simulation.report import SimulationReport, Violation
from cicd_core.testing.simulation.running import simulate

__all__ = ["SimulationPlan", "SimulationReport", "Violation", "simulate"]
