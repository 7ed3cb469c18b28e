"""The environment of the peers: their packages want other versions of redis-py than ours."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

#: What is measured; another version is another number.
PINNED = (
    "saq[redis]==0.26.4",
    "huey==3.5.4",
    "bullmq==3.4.4",
    "redis==7.4.1",
    "hiredis==3.5.0",
    "typing_extensions==4.16.0",
)


def peers_python(folder: Path) -> Path:
    """Return the interpreter of the peers, in an environment that is made if it is not there."""
    python = folder / "bin" / "python"
    stamp = folder / "pinned.txt"
    if not stamp.exists() or stamp.read_text() != "\n".join(PINNED):
        print(f"installing the peers into {folder}", file=sys.stderr)
        venv.create(folder, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *PINNED], check=True)
        stamp.write_text("\n".join(PINNED))
    return python


if __name__ == "__main__":
    print(peers_python(Path(sys.argv[1])))
