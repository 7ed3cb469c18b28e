"""Tests for stores: the conformance suite, the lockstep machine, and a manual clock.

To test your own store, provide one fixture::

    class TestAcmeStore(StoreConformance):
        @pytest.fixture
        def harness(self, tmp_path: Path) -> StoreHarness:
            return AcmeHarness(tmp_path)


    TestAcmeInLockstep = store_machine(AcmeHarness).TestCase

Needs the extra ``testing``.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from cicd_core.lazily import exports as _exports

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

#: The module of each name. pytest loads the plugin in this package also for users who never test a
#: store, and who may lack the dependencies of the suite.
_HOMES: Final = {
    "Capability": "cicd_core.testing.harness",
    "HistoryConformance": "cicd_core.testing.conformance.histories",
    "StoreConformance": "cicd_core.testing.conformance",
    "StoreHarness": "cicd_core.testing.harness",
    "VirtualClock": "cicd_core.testing.clock",
    "store_machine": "cicd_core.testing.machine",
}

if not TYPE_CHECKING:
    __getattr__, __dir__ = _exports(__name__, _HOMES)

# Before their import: pytest then shows both sides of a failed assertion.
if "pytest" in sys.modules:
    for _module in ("conformance", "lockstep", "samples"):
        sys.modules["pytest"].register_assert_rewrite(f"cicd_core.testing.{_module}")
