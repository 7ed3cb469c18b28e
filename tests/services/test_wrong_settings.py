"""What opens a store, a control plane or an agent refuses a wrong type by its name, too."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest

from cicd_core import CicdError, ControlPlane, InvalidInput, open_store
from cicd_core.agent import Agent
from cicd_core.entities import COLLECTIONS
from tests.wrong_values import WRONG

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

pytestmark = pytest.mark.anyio

#: What opens something, by the name of the argument that is wrong.
OPENING: dict[str, Callable[[Any], AbstractAsyncContextManager[object]]] = {
    "url": lambda value: open_store(value, collections=COLLECTIONS),
    "collections": lambda value: open_store("memory://", collections=value),
    "namespace": lambda value: open_store("memory://", namespace=value, collections=COLLECTIONS),
    "log_retention": lambda value: open_store(
        "memory://", log_retention=value, collections=COLLECTIONS
    ),
    "settings": lambda value: ControlPlane.open("memory://", settings=value),
}
AGENT = [name for name in inspect.signature(Agent).parameters if name != "source"]


def refusal(name: str, value: object, refused: CicdError) -> list[str]:
    wrong = isinstance(refused, InvalidInput) and name.rstrip("s") not in refused.field
    return [f"{value!r:.40}: names {refused}"] if wrong else []


@pytest.mark.parametrize("name", OPENING)
async def test_argument_of_a_wrong_type_opens_nothing(name: str) -> None:
    wrong: list[str] = []
    for value in WRONG:
        try:
            async with OPENING[name](value):
                pass
        except CicdError as refused:
            wrong += refusal(name, value, refused)
        except Exception as error:  # noqa: BLE001 - each kind is a fault
            wrong.append(f"{value!r:.40}: {type(error).__name__}: {error}")
    assert wrong == []


@pytest.mark.parametrize("name", AGENT)
async def test_argument_of_a_wrong_type_makes_no_agent(name: str, plane: ControlPlane) -> None:
    wrong: list[str] = []
    for value in WRONG:
        given: dict[str, Any] = {name: value}
        try:
            Agent(plane, **given)
        except CicdError as refused:
            wrong += refusal(name, value, refused)
        except Exception as error:  # noqa: BLE001 - each kind is a fault
            wrong.append(f"{value!r:.40}: {type(error).__name__}: {error}")
    assert wrong == []


def test_url_of_a_wrong_type_is_not_shown() -> None:
    url: Any = b"redis://user:secret@host/0"
    with pytest.raises(InvalidInput) as refused:
        open_store(url, collections=COLLECTIONS)
    assert "secret" not in str(refused.value)


async def test_control_plane_over_no_store_says_what_to_pass() -> None:
    opening = open_store("memory://", collections=COLLECTIONS)
    for value in (None, "memory://", opening, *WRONG):
        with pytest.raises(InvalidInput, match=r"^store: .*ControlPlane\.open\(url\)"):
            ControlPlane(value)
