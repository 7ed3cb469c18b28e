"""Whether an engine that is missing fails a check, or leaves out the tests that need it."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Final

import pytest

#: The variable by which a check says that every engine must be there.
REQUIRED: Final = "CICD_REQUIRE_ENGINES"


def is_every_engine_required() -> bool:
    """Whether a check said so."""
    return bool(os.environ.get(REQUIRED))


def skip_without(module: str, reason: str) -> None:
    """Leave out a file of tests if a module is missing; where a check needs all, fail instead."""
    if is_every_engine_required():
        import_module(module)
    else:
        pytest.importorskip(module, reason=reason)
