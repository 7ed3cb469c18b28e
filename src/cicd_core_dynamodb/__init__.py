"""The DynamoDB store of cicd_core: for now its entry point alone, which says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from cicd_core.errors import UnsupportedCapability

if TYPE_CHECKING:
    from cicd_core.store.registry import StoreFactory, StoreURL

__all__ = ["open_dynamodb"]


def open_dynamodb(url: StoreURL, **_options: Any) -> NoReturn:
    """Refuse ``url``, and name the stores that this release has.

    Raises:
        UnsupportedCapability: always, in this release.
    """
    raise UnsupportedCapability(
        f"{url.scheme}:// was refused: the DynamoDB store is not part of this release yet; "
        f"use sqlite:// (durable, on one machine) or memory:// (in one process)"
    )


if TYPE_CHECKING:
    _factory: StoreFactory = open_dynamodb
