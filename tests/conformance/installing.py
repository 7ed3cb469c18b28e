"""Packages of stores as an installer leaves them, and Python with one of them installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Where Linux keeps files in memory.
MEMORY: Final = Path("/dev/shm")
#: A pytest plugin. What matters here is that the machine runs at all; few examples do.
FEW_EXAMPLES: Final = """
from hypothesis import settings
settings.register_profile("few", max_examples=10)
settings.load_profile("few")
"""


def installed(source: Path, site: Path) -> Path:
    """Put a package into a folder of packages, with the plugin ``few_examples`` beside it."""
    pyproject = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))
    project = pyproject["project"]
    for name in pyproject["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]:
        shutil.copy(source / name, site)
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (info / "METADATA").write_text(metadata, encoding="utf-8")
    (info / "entry_points.txt").write_text(entry_points(project["entry-points"]), encoding="utf-8")
    (site / "few_examples.py").write_text(FEW_EXAMPLES, encoding="utf-8")
    return site


def entry_points(groups: dict[str, dict[str, str]]) -> str:
    """The file in which an installer writes down what a package registers."""
    lines: list[str] = []
    for group, names in groups.items():
        lines += [f"[{group}]", *(f"{name} = {place}" for name, place in names.items())]
    return "\n".join(lines)


def run(arguments: Sequence[str], site: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Python with a package installed, in a folder that knows nothing of this repository."""
    variables = {"PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1"}
    if os.access(MEMORY, os.W_OK):  # thousands of syncs, on a disk that others use too, take long
        variables["TMPDIR"] = str(MEMORY)
    return subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | variables,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
