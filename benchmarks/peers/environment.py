"""The environments of the peers: their packages want other versions of the drivers than ours."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path

#: What is measured; another version is another number.
PINNED = (
    "saq[redis]==0.26.4",
    "huey==3.5.4",
    "bullmq==3.4.4",
    "taskiq==0.12.6",
    "taskiq-redis==1.2.2",
    "litequeue==0.9",
    "apscheduler==4.0.0a6",
    "redis==7.4.1",
    "hiredis==3.5.0",
    "typing_extensions==4.16.0",
)
ON_NODE = {"bullmq": "6.7.0", "ioredis": "6.0.0"}


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


def on_node(script: Path, folder: Path) -> list[str] | None:
    """Return the command that runs a script beside its packages, or None without Node and npm."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    wanted = json.dumps({"private": True, "dependencies": ON_NODE})
    package = folder / "package.json"
    if not package.exists() or package.read_text() != wanted:
        print(f"installing the peers into {folder}", file=sys.stderr)
        package.write_text(wanted)
        subprocess.run(
            [npm, "install", "--silent", "--no-audit", "--ignore-scripts"], cwd=folder, check=True
        )
    # A module finds the packages beside itself.
    return [node, str(shutil.copy(script, folder / script.name))]


if __name__ == "__main__":
    print(peers_python(Path(sys.argv[1])))
