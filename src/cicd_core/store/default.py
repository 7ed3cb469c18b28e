"""The default store, if the caller names none."""

from __future__ import annotations

import logging
import os
from typing import Final

from cicd_core.redaction import redacted_url

#: The environment variable that names the store.
STORE_VARIABLE: Final = "CICD_STORE"
#: The store if the variable is not set.
DEFAULT_URL: Final = "sqlite:///cicd.db"

_log = logging.getLogger("cicd_core.store")


def chosen_url() -> str:
    """Return the URL of the store to open, and log it."""
    named = os.environ.get(STORE_VARIABLE)
    if named:
        _log.info("store: %s, from %s", redacted_url(named), STORE_VARIABLE)
        return named
    _log.info("store: %s, since no URL was given and %s is not set", DEFAULT_URL, STORE_VARIABLE)
    return DEFAULT_URL
