"""What proves a store: the conformance suite, the lockstep machine, and a clock to move by hand.

To prove a store of your own, give one fixture::

    class TestAcmeStore(StoreConformance):
        @pytest.fixture
        def harness(self, tmp_path: Path) -> StoreHarness:
            return AcmeHarness(tmp_path)


    TestAcmeInLockstep = store_machine(AcmeHarness).TestCase

Needs the extra ``testing``.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from cicd_core.testing.clock import VirtualClock
    from cicd_core.testing.conformance import StoreConformance
    from cicd_core.testing.conformance.histories import HistoryConformance
    from cicd_core.testing.harness import Capability, StoreHarness
    from cicd_core.testing.machine import store_machine

__all__ = [
    "Capability",
    "HistoryConformance",
    "StoreConformance",
    "StoreHarness",
    "VirtualClock",
    "store_machine",
]

#: Where the names are. They are imported when they are asked for: pytest loads the plugin in this
#: package also for those who never test a store, and who may lack what the suite needs.
_PLACES: Final = {
    "Capability": "harness",
    "HistoryConformance": "conformance.histories",
    "StoreConformance": "conformance",
    "StoreHarness": "harness",
    "VirtualClock": "clock",
    "store_machine": "machine",
}

# Before their import: pytest then shows what the two sides of a failed assertion were.
if "pytest" in sys.modules:
    for _module in ("conformance", "lockstep", "samples"):
        sys.modules["pytest"].register_assert_rewrite(f"cicd_core.testing.{_module}")


def __getattr__(name: str) -> Any:
    """Import one of the names above."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
