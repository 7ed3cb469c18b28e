"""The store of the examples is a plugin like anybody's: installed, found by its scheme, proven."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.patience import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Sequence

EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "shelf_store"
PYPROJECT: Final = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))

#: Where Linux keeps files in memory.
MEMORY: Final = Path("/dev/shm")
#: A pytest plugin. What matters here is that the machine runs at all; few examples do.
FEW_EXAMPLES: Final = """
from hypothesis import settings
settings.register_profile("few", max_examples=10)
settings.load_profile("few")
"""
#: Why the example leaves tests out: it refuses a damaged journal as a whole, so that no record of
#: an open one can be unreadable. Tests of its own show that.
LEFT_OUT: Final = "this harness damages no record"
#: What a program does with a store that it found by its URL.
A_JOBS_LIFE: Final = """
import sys
import anyio
from cicd_core import ControlPlane, JobSpec

async def main(url):
    async with ControlPlane.open(url) as control_plane:
        queued = await control_plane.queue.enqueue(JobSpec(job_type="build"))
    async with ControlPlane.open(url) as control_plane:
        print((await control_plane.jobs.get(queued.job_id)).status)

anyio.run(main, sys.argv[1])
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the example is for Linux")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages with the example in it, as an installer leaves it there."""
    site, project = tmp_path_factory.mktemp("site"), PYPROJECT["project"]
    for name in PYPROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]:
        shutil.copy(EXAMPLE / name, site)
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
    """Run Python with the example installed, in a folder that knows nothing of this repository."""
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


def test_a_store_that_is_installed_is_opened_by_its_url(site: Path, tmp_path: Path) -> None:
    done = run(["-c", A_JOBS_LIFE, f"shelf:///{tmp_path}"], site, tmp_path)
    assert (done.stdout, done.stderr) == ("queued\n", "")
    assert [path.name for path in tmp_path.iterdir()] == ["records.shelf"]


def test_a_store_that_is_not_installed_is_unknown(tmp_path: Path) -> None:
    done = run(["-c", A_JOBS_LIFE, f"shelf:///{tmp_path}"], tmp_path, tmp_path)
    assert "UnknownScheme: no store is registered for 'shelf://'" in done.stderr


def test_a_third_party_store_passes_the_suite(site: Path, tmp_path: Path) -> None:
    tests = shutil.copy(EXAMPLE / "test_shelf_store.py", tmp_path)
    options = ["-q", "-rs", "-W", "error", "-p", "no:cacheprovider", "-p", "few_examples"]
    options += ["--cicd-histories", "1", "--basetemp", str(tmp_path / "kept")]
    done = run(["-m", "pytest", *options, str(tests)], site, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = re.search(r"^(\d+) passed, (\d+) skipped in ", done.stdout, re.MULTILINE)
    assert summary, f"not all passed, or none was left out:\n{done.stdout}"
    assert int(summary[1]) > 300
    reasons = re.findall(r"^SKIPPED \[(\d+)\] \S+ (.+)$", done.stdout, re.MULTILINE)
    assert {reason for _, reason in reasons} == {LEFT_OUT}, done.stdout
    assert sum(int(number) for number, _ in reasons) == int(summary[2])
