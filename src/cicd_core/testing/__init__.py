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

import pytest

# Before their import: pytest then shows what the two sides of a failed assertion were.
for _module in ("conformance", "lockstep", "samples"):
    pytest.register_assert_rewrite(f"cicd_core.testing.{_module}")

from cicd_core.testing.clock import VirtualClock  # noqa: E402 - see above
from cicd_core.testing.conformance import StoreConformance  # noqa: E402 - see above
from cicd_core.testing.harness import Capability, StoreHarness  # noqa: E402 - see above
from cicd_core.testing.machine import store_machine  # noqa: E402 - see above

__all__ = ["Capability", "StoreConformance", "StoreHarness", "VirtualClock", "store_machine"]
