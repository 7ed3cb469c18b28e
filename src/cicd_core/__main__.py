"""``python -m cicd_core``: the same as ``cicd-core``."""

from __future__ import annotations

from cicd_core.cli.main import main

if __name__ == "__main__":
    main()
