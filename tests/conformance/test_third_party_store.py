"""The store of the examples is a plugin like anybody's: installed, found by its scheme, proven."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.conformance.installing import installed, run

EXAMPLE: Final = Path(__file__).parents[2] / "examples" / "shelf_store"

#: Why the example leaves tests out. It refuses a damaged journal as a whole, so that no record of
#: an open one can be unreadable; tests of its own show that. And its waits poll the file.
LEFT_OUT: Final = {
    "this harness cannot damage a record",
    "this store does not promise wake-ups by a push",
}
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
    """A folder of packages with the example in it."""
    return installed(EXAMPLE, tmp_path_factory.mktemp("site"))


def test_a_store_that_is_installed_is_opened_by_its_url(site: Path, tmp_path: Path) -> None:
    done = run(["-c", A_JOBS_LIFE, f"shelf:///{tmp_path}"], site, tmp_path)
    assert (done.stdout, done.stderr) == ("queued\n", "")
    assert [path.name for path in tmp_path.iterdir()] == ["records.shelf"]


def test_a_store_that_is_not_installed_is_unknown(tmp_path: Path) -> None:
    done = run(["-c", A_JOBS_LIFE, f"shelf:///{tmp_path}"], tmp_path, tmp_path)
    assert "UnknownScheme: no store is registered for 'shelf://'" in done.stderr


@pytest.mark.thorough
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
    assert {reason for _, reason in reasons} == LEFT_OUT, done.stdout
    assert sum(int(number) for number, _ in reasons) == int(summary[2])
