"""``python -m cicd_core.testing.simulation``: the same as ``cicd_core.testing.simulate``."""

from __future__ import annotations

import sys

from cicd_core.testing.simulation.command import main

if __name__ == "__main__":
    sys.exit(main())
