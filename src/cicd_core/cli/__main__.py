"""``python -m cicd_core.cli``."""

from __future__ import annotations

from cicd_core.cli.main import main

if __name__ == "__main__":
    main()
