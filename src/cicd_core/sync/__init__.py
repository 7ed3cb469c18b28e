"""The control plane for synchronous callers: Flask, Django, scripts, threads.

The same services with the same signatures; each call waits for its answer. An event loop in a
thread of its own does the work, so that any number of threads may call at once.
"""

from __future__ import annotations

from cicd_core.sync.plane import ControlPlane

__all__ = ["ControlPlane"]
