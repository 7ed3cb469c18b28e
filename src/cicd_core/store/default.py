"""The store of a caller who names none."""

from __future__ import annotations

import logging
import os
from typing import Final

from cicd_core.redaction import redacted_url

#: The variable that names the store.
STORE_VARIABLE: Final = "CICD_STORE"
#: The store where the variable is not set.
DEFAULT_URL: Final = "sqlite:///cicd.db"

_log = logging.getLogger("cicd_core.store")


def chosen_url() -> str:
    """Return the URL of the store to open, and say in the program's log which it is."""
    named = os.environ.get(STORE_VARIABLE)
    if named:
        _log.info("store: %s, as %s says", redacted_url(named), STORE_VARIABLE)
        return named
    _log.info("store: %s, since no URL was given and %s is not set", DEFAULT_URL, STORE_VARIABLE)
    return DEFAULT_URL
