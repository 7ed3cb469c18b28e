"""How long the way of a job through the code is: Python frames entered and files touched.

One lifecycle is enqueue, claim with start, and complete. The second of two is counted, so that what
is loaded or learned once does not count. Generated code (attrs, cattrs) counts as a file a kind.

    python -m benchmarks.path_length            # memory and SQLite
    python -m benchmarks.path_length --json
    python -m benchmarks.path_length --files    # the frames of each file, too
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from cicd_core import ControlPlane, JobSpec, Outcome

if TYPE_CHECKING:
    from types import FrameType

SRC = str(Path(__file__).parents[1] / "src")
GENERATED = ("<attrs generated", "<cattrs generated")


class Steps:
    """Counts the frames that threads of this process enter."""

    def __init__(self) -> None:
        """Begin with nothing counted."""
        self.files: Counter[str] = Counter()
        self.counts = False

    def see(self, frame: FrameType, event: str, _: object) -> None:
        """Count a call of a function under ``src``, or of generated code."""
        if event != "call" or not self.counts:
            return
        name = frame.f_code.co_filename
        if name.startswith(SRC):
            self.files[name.removeprefix(f"{SRC}/")] += 1
        elif name.startswith(GENERATED):
            self.files[name.partition(" ")[0] + " generated>"] += 1


async def live(plane: ControlPlane) -> None:
    """Take one job from its enqueue to its end."""
    await plane.queue.enqueue(JobSpec(job_type="build", payload={"number": 1}))
    (claimed,) = await plane.queue.claim(agent_id="a1", start=True)
    await plane.queue.complete(claimed, Outcome.success())


async def measure(url: str, steps: Steps) -> dict[str, Any]:
    """Return the frames and the files of one lifecycle."""
    async with ControlPlane.open(url, maintenance=False) as plane:
        await live(plane)
        steps.files.clear()
        steps.counts = True
        await live(plane)
        steps.counts = False
    files = dict(steps.files.most_common())
    return {"frames": sum(files.values()), "files": len(files), "frames_by_file": files}


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--files", action="store_true", help="print the frames of each file")
    asked = parser.parse_args()
    steps = Steps()
    threading.setprofile(steps.see)
    sys.setprofile(steps.see)
    with tempfile.TemporaryDirectory() as folder:
        urls = {"memory": "memory://", "sqlite": f"sqlite:///{folder}/path.db"}
        found = {name: anyio.run(measure, url, steps) for name, url in urls.items()}
    sys.setprofile(None)
    if asked.json:
        print(json.dumps(found))
        return
    for name, each in found.items():
        print(f"{name:8} {each['frames']:5} frames through {each['files']:3} files")
        if asked.files:
            for file, frames in each["frames_by_file"].items():
                print(f"         {frames:5} {file}")


if __name__ == "__main__":
    main()
