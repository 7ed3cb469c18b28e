"""The store of a caller who names none."""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING

import pytest

from cicd_core import ControlPlane, StoreOptions
from cicd_core.store.default import chosen_url
from cicd_core.store.memory import open_memory
from cicd_core.store.sqlite import open_sqlite
from cicd_core_dynamodb import open_dynamodb
from cicd_core_redis import open_redis

if TYPE_CHECKING:
    from pathlib import Path


def test_the_variable_names_the_store(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CICD_STORE", "redis://user:hidden@host/0")
    with caplog.at_level(logging.INFO, "cicd_core.store"):
        assert chosen_url() == "redis://user:hidden@host/0"
    assert "CICD_STORE" in caplog.text
    assert "redis://" in caplog.text
    assert "hidden" not in caplog.text


@pytest.mark.parametrize("value", [None, ""])
def test_without_it_the_store_is_a_file_in_the_current_folder(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, value: str | None
) -> None:
    monkeypatch.delenv("CICD_STORE", raising=False)
    if value is not None:
        monkeypatch.setenv("CICD_STORE", value)
    with caplog.at_level(logging.INFO, "cicd_core.store"):
        assert chosen_url() == "sqlite:///cicd.db"
    assert "sqlite:///cicd.db" in caplog.text


@pytest.mark.anyio
@pytest.mark.asyncio_only
async def test_a_control_plane_without_a_url_is_opened_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CICD_STORE", raising=False)
    async with ControlPlane.open(maintenance=False):
        assert (tmp_path / "cicd.db").exists()
    monkeypatch.setenv("CICD_STORE", f"sqlite:///{tmp_path}/other.db")
    async with ControlPlane.open(maintenance=False):
        assert (tmp_path / "other.db").exists()


@pytest.mark.parametrize("factory", [open_memory, open_sqlite, open_redis, open_dynamodb])
def test_the_type_of_the_options_names_every_option_of_our_stores(factory: object) -> None:
    assert callable(factory)
    given = set(inspect.signature(factory).parameters) - {"url", "collections"}
    assert given <= StoreOptions.__annotations__.keys()


def test_the_options_are_those_of_some_store() -> None:
    factories = (open_memory, open_sqlite, open_redis, open_dynamodb)
    known = {name for each in factories for name in inspect.signature(each).parameters}
    assert StoreOptions.__annotations__.keys() <= known
