"""Everything that a store imports stands in one place."""

from __future__ import annotations

import anyio
import pytest

from cicd_core import store
from cicd_core.errors import InvalidInput, UnsupportedCapability
from cicd_core.store import StoreURL, records, require_asyncio


def test_each_name_of_the_package_can_be_imported() -> None:
    assert not [name for name in store.__all__ if getattr(store, name) is None]
    assert set(records.__all__) <= set(store.__all__)


def test_require_asyncio_lets_asyncio_pass_and_refuses_trio() -> None:
    async def ask() -> None:
        require_asyncio("acme")

    anyio.run(ask, backend="asyncio")
    with pytest.raises(UnsupportedCapability, match="acme:// needs asyncio"):
        anyio.run(ask, backend="trio")


def number_in(options: str) -> int:
    return StoreURL.parse(f"acme://{options}").integer("number", 7, least=-5, most=500)


@pytest.mark.parametrize(
    ("options", "number"), [("", 7), ("?number=500", 500), ("?number=-5", -5), ("?number=007", 7)]
)
def test_an_option_that_is_a_whole_number_is_returned(options: str, number: int) -> None:
    assert number_in(options) == number


@pytest.mark.parametrize(
    "text", ["", "x", "1.0", "%2B7", "1_0", " 1", "1%0A", "%D9%A1", "-6", "501", "9" * 5000]
)
def test_an_option_that_is_no_whole_number_in_its_bounds_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="give a whole number from -5 to 500") as refused:
        number_in(f"?number={text}")
    assert refused.value.field == "number"
