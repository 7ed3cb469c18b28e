"""A small log storm: what the session `live_logs` does at length."""

from __future__ import annotations

import sys

import pytest

from tests.http.log_storms import Scenario, run


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_a_log_arrives_whole_over_cut_connections_and_a_restart() -> None:
    result = run(Scenario(megabytes=3, line=2, kills=1, cuts=True, seed=3))
    assert (result.is_whole, result.kills) == (True, 1)
    assert result.cuts > 0
