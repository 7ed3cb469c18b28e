"""Whether an engine that is missing fails a check, or leaves out the tests that need it."""

from __future__ import annotations

import os
from typing import Final

#: The variable by which a check says that every engine must be there.
REQUIRED: Final = "CICD_REQUIRE_ENGINES"


def is_every_engine_required() -> bool:
    """Whether a check said so."""
    return bool(os.environ.get(REQUIRED))
