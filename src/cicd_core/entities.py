"""Every kind of entity that a store keeps: a new kind needs its own module and one line here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cicd_core.keys.mapping import API_KEY
from cicd_core.persistence import mappings
from cicd_core.persistence.collections import COORDINATION, LANES

if TYPE_CHECKING:
    from cicd_core.persistence.mapping import EntityMapping

#: The storage, listing, retention and audit of each kind of entity.
MAPPINGS: Final[tuple[EntityMapping[Any], ...]] = (
    mappings.JOB,
    mappings.DEPLOYMENT,
    mappings.AGENT,
    mappings.POOL,
    mappings.SESSION,
    API_KEY,
)

#: The collections to open a store with: those of the entities, and two others.
COLLECTIONS: Final = (*(mapping.collection for mapping in MAPPINGS), LANES, COORDINATION)
