"""What the tests of the command line share: a store in a file, and two ways to run a command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from cicd_core.entities import COLLECTIONS
from cicd_core.store.registry import open_store
from tests.cli.person import Person

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


async def make(url: str) -> None:
    """Make the file of a store."""
    async with open_store(url, collections=COLLECTIONS):
        pass


@pytest.fixture
def person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Person]:
    """A person in a folder of their own, whose store is a SQLite file there, without a record."""
    monkeypatch.chdir(tmp_path)
    for name in ("CICD_ACTOR", "COLUMNS", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    url = f"sqlite:///{tmp_path}/ci.db"
    anyio.run(make, url)
    monkeypatch.setenv("CICD_STORE", url)
    monkeypatch.setenv("CICD_ACTOR", "ada")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    someone = Person(capsys, monkeypatch)
    yield someone
    someone.leave()
