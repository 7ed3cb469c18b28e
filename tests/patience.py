"""How long a test waits for what must come."""

from __future__ import annotations

from typing import Final

#: In seconds. Only a test that hangs waits so long: a machine with much to do needs many times what
#: an idle one does. Below the `timeout` of pyproject.toml, so that a test says what did not come.
PATIENCE: Final = 240.0
