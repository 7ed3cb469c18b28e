"""The writers' lock: one at a time, whoever dies or removes its file."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from cicd_core.store.sqlite.failures import Locked
from cicd_core.store.sqlite.file_lock import WritersLock
from tests.unit.store.sqlite.files import names

if TYPE_CHECKING:
    from pathlib import Path


def test_a_second_one_gets_it_only_when_the_first_has_given_it_back(path: Path) -> None:
    first, second = WritersLock(path, 0), WritersLock(path, 0)
    with first.held(), pytest.raises(Locked), second.held():
        pass
    with second.held():
        pass
    first.close()
    second.close()


def test_who_waits_gets_it_when_it_is_given_back(path: Path) -> None:
    first, second = WritersLock(path, 0), WritersLock(path, 60)
    order: list[str] = []

    def wait() -> None:
        with second.held():
            order.append("second")

    waiter = threading.Thread(target=wait)
    with first.held():
        waiter.start()
        order.append("first")
    waiter.join()
    assert order == ["first", "second"]
    first.close()
    second.close()


def test_a_lock_is_given_back_by_an_error(path: Path) -> None:
    first, second = WritersLock(path, 0), WritersLock(path, 0)
    with pytest.raises(KeyError), first.held():
        raise KeyError
    with second.held():
        pass
    first.close()
    second.close()


def test_who_held_a_file_that_was_removed_shares_the_new_one_with_the_others(path: Path) -> None:
    first, second, third = WritersLock(path, 0), WritersLock(path, 0), WritersLock(path, 0)
    with second.held():
        pass  # it has the file open
    with first.held():
        first.remove()
    assert names(path.parent) == []
    with third.held():
        assert names(path.parent) == ["store.db-lock"]
        with pytest.raises(Locked), second.held():
            pass
    with second.held(), pytest.raises(Locked), third.held():
        pass
    for lock in (first, second, third):
        lock.close()


def test_who_waits_for_a_file_that_is_removed_locks_out_those_who_come_later(path: Path) -> None:
    first, second, third = WritersLock(path, 0), WritersLock(path, 60), WritersLock(path, 0)
    refused: list[str] = []

    def wait() -> None:
        with second.held():
            try:
                with third.held():
                    pass
            except Locked:
                refused.append("third")

    waiter = threading.Thread(target=wait)
    with first.held():
        waiter.start()
        first.remove()
    waiter.join()
    assert refused == ["third"]
    for lock in (first, second, third):
        lock.close()


def test_the_lock_of_a_process_that_dies_is_free(path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from cicd_core.store.sqlite.file_lock import WritersLock\n"
        "with WritersLock(Path(sys.argv[1]), 0).held():\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    died = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert died.returncode != 0
    lock = WritersLock(path, 0)
    with lock.held():
        pass
    lock.close()


def test_a_lock_that_was_closed_may_be_used_again(path: Path) -> None:
    lock = WritersLock(path, 0)
    lock.close()
    with lock.held():
        pass
    lock.close()
