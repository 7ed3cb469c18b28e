"""What a forked child inherits: no lock, and nothing that it would finalize."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from cicd_core.store.sqlite.file_lock import WritersLock

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")

#: Locks, forks a child that lives until its input ends, and dies with the lock in hand.
DIE_AS_A_PARENT: Final = """
import multiprocessing, os, signal, sys
from pathlib import Path
from cicd_core.store.sqlite.file_lock import WritersLock

INPUT = os.dup(0)  # multiprocessing closes the first one

def live():
    sys.stdout.write(f"{os.getpid()}\\n")
    sys.stdout.flush()
    os.read(INPUT, 1)


with WritersLock(Path(sys.argv[1]), 0).held():
    if sys.argv[2] == "fork":
        if os.fork() == 0:
            live()
            os._exit(0)
    else:
        multiprocessing.get_context("fork").Process(target=live).start()
    signal.pause()
"""
#: Forks with an object that prints when it ends; the child drops it, and ends as programs do.
DROP_IN_A_CHILD: Final = """
import os, sys
from cicd_core.forks import never_end_in_a_child

class Connection:
    def close(self):
        os.write(1, b"closed\\n")

    def __del__(self):
        os.write(1, b"ended\\n")

connection = Connection()
never_end_in_a_child(connection)
if process := os.fork():
    os.waitpid(process, 0)
    os.write(1, b"parent\\n")
del connection
"""

#: Forks while an id is drawn, as another thread may, and draws one in the child.
DRAW_IN_A_CHILD: Final = """
import os, random, signal
from cicd_core.ids import IdSource

source = IdSource()
last = source.sortable(1000)
bits = random.SystemRandom.getrandbits

def fork(self, number):
    random.SystemRandom.getrandbits = bits
    if os.fork() == 0:
        signal.alarm(20)
        os.write(1, (source.sortable(1000) + "\\n").encode())
        os._exit(0)
    os.wait()
    return bits(self, number)

random.SystemRandom.getrandbits = fork
os.write(1, (source.sortable(1000) + "\\n").encode())
"""


@pytest.mark.parametrize("by", ["fork", "multiprocessing"])
def test_lock_of_a_dead_parent_is_free_while_its_forked_child_lives(
    tmp_path: Path, by: str
) -> None:
    path = tmp_path / "store.db"
    command = [sys.executable, "-c", DIE_AS_A_PARENT, str(path), by]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
        parent.wait()
        os.kill(child, 0)  # it is there
        lock = WritersLock(path, 0)
        with lock.held():
            pass
        lock.close()


def test_forked_child_never_finalizes_a_connection_of_its_parent() -> None:
    command = [sys.executable, "-c", DROP_IN_A_CHILD]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    assert done.stdout == "parent\nended\n"


def test_a_child_draws_ids_of_its_own_also_if_a_thread_of_its_parent_drew_one() -> None:
    command = [sys.executable, "-c", DRAW_IN_A_CHILD]
    drawn = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert len({*drawn}) == 2
