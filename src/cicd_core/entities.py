"""Every kind of entity that a store keeps: a new one is its own module and one line here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from cicd_core.keys.mapping import API_KEY
from cicd_core.persistence import mappings
from cicd_core.persistence.collections import COORDINATION, LANES

if TYPE_CHECKING:
    from cicd_core.persistence.mapping import EntityMapping

#: How each kind of entity is kept, listed, dropped and audited.
MAPPINGS: Final[tuple[EntityMapping[Any], ...]] = (
    mappings.JOB,
    mappings.DEPLOYMENT,
    mappings.AGENT,
    mappings.POOL,
    mappings.SESSION,
    API_KEY,
)

#: What a store is opened with: the collections of the entities, and two that no entity has.
COLLECTIONS: Final = (*(mapping.collection for mapping in MAPPINGS), LANES, COORDINATION)
