"""Instants in query strings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cicd_core.model.instants import require_aware

if TYPE_CHECKING:
    from datetime import datetime


def moment(field: str, instant: datetime | None) -> str | None:
    """Return an instant as a text for a query string.

    Raises:
        InvalidInput: it has no time zone.
    """
    aware = require_aware(field, instant)
    return None if aware is None else aware.isoformat()
