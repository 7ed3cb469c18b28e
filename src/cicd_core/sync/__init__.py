"""The control plane for synchronous callers: Flask, Django, scripts, threads.

It has the same services with the same signatures; each call waits for its answer. An event loop in
a separate thread does the work, so any number of threads may call concurrently.
"""

from __future__ import annotations

from cicd_core.sync.plane import ControlPlane

__all__ = ["ControlPlane"]
