"""The verbs of the store contract, for tests that must leave none out."""

from __future__ import annotations

from typing import Final

from cicd_core.store.contract import Store

#: By name, ``sibling`` too; ``collections`` and ``lifetime`` are attributes.
VERBS: Final = [name for name, member in vars(Store).items() if callable(member) and name[0] != "_"]
