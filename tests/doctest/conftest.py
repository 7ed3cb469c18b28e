"""Finds the examples of the documentation, and gives each document a folder to run them in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of the examples, so that `sqlite:///ci.db` leaves nothing behind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CICD_STORE", raising=False)
    return tmp_path
