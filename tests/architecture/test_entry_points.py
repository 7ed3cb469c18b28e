"""The names that the distribution registers lead to something."""

from __future__ import annotations

import inspect
from importlib.metadata import EntryPoint, distribution

import pytest

from cicd_core.store.registry import GROUP

REGISTERED = list(distribution("cicd-core").entry_points)
REDIS = {"redis", "redis+cluster", "redis+sentinel", "rediss", "unix"}
STORES = {"dynamodb", "memory", "sqlite", *REDIS}


def name_of(entry_point: EntryPoint) -> str:
    return f"{entry_point.group}-{entry_point.name}"


def test_every_store_is_registered_under_its_scheme() -> None:
    assert {each.name for each in REGISTERED if each.group == GROUP} == STORES


@pytest.mark.parametrize("entry_point", REGISTERED, ids=name_of)
def test_every_entry_point_can_be_called_or_is_a_plugin(entry_point: EntryPoint) -> None:
    loaded = entry_point.load()
    assert callable(loaded) or (entry_point.group == "pytest11" and inspect.ismodule(loaded))
