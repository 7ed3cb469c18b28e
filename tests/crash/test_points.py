"""A worker ends exactly at its kill point, and leaves behind what that point says."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import cattrs
import pytest

from cicd_core.persistence.codec import JOB
from cicd_core.testing.crash.plan import TASK, LabTask
from cicd_core.testing.recording.journal import read
from cicd_core.testing.recording.service_calls import Ending, answer_to
from cicd_core.testing.workers.kill_points import KILLED, Fuse
from cicd_core.testing.workers.orders import KillPoint, Point, WorkerOrder
from tests.patience import PATIENCE

if TYPE_CHECKING:
    from cicd_core.testing.recording.service_calls import ServiceOperation

# The second job's lane is there already: its first commit is the job itself.
ENQUEUE = """
import random, sys
import anyio
from cicd_core import COLLECTIONS, ControlPlane, JobSpec, open_store
from cicd_core.testing.workers.kill_points import arm_process, pointed
from cicd_core.testing.workers.orders import KillPoint, Point

point = Point(sys.argv[2])
kill_point = KillPoint(point=point, verb="commit", countdown=1)

async def main():
    async with open_store(f"sqlite:///{sys.argv[1]}", collections=COLLECTIONS) as store:
        await ControlPlane(store).queue.enqueue(JobSpec(job_type="build", payload={"number": 1}))
    arm_process(kill_point)
    async with open_store(f"sqlite:///{sys.argv[1]}", collections=COLLECTIONS) as store:
        plane = ControlPlane(pointed(store, kill_point, random.Random(0)))
        await plane.queue.enqueue(JobSpec(job_type="build", payload={"number": 2}))

anyio.run(main)
"""


def run_worker(folder: Path, point: Point, verb: str) -> tuple[int, list[ServiceOperation]]:
    order = WorkerOrder(
        name="lab-0.0",
        seed=4,
        store=f"sqlite:///{folder / 'lab.db'}",
        journal=str(folder / "journal.jsonl"),
        task=TASK,
        details=cattrs.unstructure(LabTask(agent_id="lab-0", inherited=None, tasks=1, jumps=True)),
        kill_point=KillPoint(point=point, verb=verb, countdown=5),
    )
    command = [sys.executable, "-m", "cicd_core.testing.workers.worker", order.to_json()]
    done = subprocess.run(command, check=False, timeout=PATIENCE)
    return done.returncode, list(read(Path(order.journal)))


@pytest.mark.thorough
@pytest.mark.parametrize("point", [Point.BEGIN, Point.COMMITTED, Point.WRITE, Point.DURING])
def test_a_worker_kills_itself_at_the_point_and_the_file_stays_whole(
    point: Point, tmp_path: Path
) -> None:
    code, calls = run_worker(tmp_path, point, "commit")
    assert code == KILLED
    assert calls
    assert any(answer_to(call).ending is Ending.UNKNOWN for call in calls)
    with closing(sqlite3.connect(tmp_path / "lab.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.crash
@pytest.mark.parametrize("verb", ["claim", "commit", "renew"])
@pytest.mark.parametrize("point", list(Point))
def test_every_point_is_reached_in_every_verb(point: Point, verb: str, tmp_path: Path) -> None:
    code, _ = run_worker(tmp_path, point, verb)
    assert code == KILLED


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("point", "kept"),
    [
        (Point.ASKED, False),
        (Point.BEGIN, False),
        (Point.STATEMENT, False),
        (Point.COMMIT, False),
        (Point.WRITE, False),
        (Point.COMMITTED, True),
        (Point.ANSWERED, True),
    ],
)
def test_what_was_not_committed_is_gone_and_what_was_is_there(
    point: Point, kept: bool, tmp_path: Path
) -> None:
    path = tmp_path / "lab.db"
    done = subprocess.run(
        [sys.executable, "-c", ENQUEUE, str(path), point], check=False, timeout=60
    )
    assert done.returncode == KILLED
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT key, body FROM c_jobs").fetchall()
    found = sorted(JOB.decode(*row).value.payload["number"] for row in rows)
    assert found == ([1, 2] if kept else [1])


def test_a_fuse_burns_down_by_the_passings_of_its_own_point_and_verb() -> None:
    ended: list[bool] = []
    kill_point = KillPoint(point=Point.COMMIT, verb="claim", countdown=2)
    fuse = Fuse(kill_point, end=lambda: ended.append(True))
    fuse.pass_by(Point.BEGIN, "claim")
    fuse.pass_by(Point.COMMIT, "renew")
    fuse.pass_by(Point.COMMIT, "renew", "claim")
    assert ended == []
    fuse.pass_by(Point.COMMIT, "claim")
    assert ended == [True]
