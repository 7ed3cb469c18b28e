"""The state machines: one table per entity (data), and pure functions that decide.

Each function takes the value, the command's own arguments and ``now``, and returns a
:class:`~cicd_core.lifecycle.decision.Decision`: the new value, the events and the counter
increments. Nothing here does I/O, reads a clock or draws randomness (I1).
"""
