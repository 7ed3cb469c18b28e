"""Concurrent histories of a store, and whether some order of the operations explains them.

``recorder.py`` writes down what clients ask and what they are answered (``operation.py``,
``journal.py``), by :mod:`cicd_core.testing.recording`; ``workload.py`` makes clients that get in
each other's way, in this process or in several (``processes.py``). The checkers:

- ``wing_gong.py``: an exact search, for one record at a time (``model.py``, ``record_view.py``);
- ``oracle.py``: a replay in the order of the versions that the store gave; ``serial.py`` fits the
  orders of all records and of the log together;
- ``log_check.py``: the log and its counters, event by event;
- ``queue_monitor.py``: whole queues, from their answers alone (``queue_view.py``).

``checking.py`` runs all of them.
"""

from __future__ import annotations

from cicd_core.testing.histories.checking import Finding, assert_explained, check_history
from cicd_core.testing.histories.config import Workload
from cicd_core.testing.histories.journal import FORMAT, load, save
from cicd_core.testing.histories.operation import Get, History
from cicd_core.testing.histories.recorder import Recorder, RecordingStore
from cicd_core.testing.histories.workload import Recording, record
from cicd_core.testing.recording.operation import UNKNOWN, Operation

__all__ = [
    "FORMAT",
    "UNKNOWN",
    "Finding",
    "Get",
    "History",
    "Operation",
    "Recorder",
    "Recording",
    "RecordingStore",
    "Workload",
    "assert_explained",
    "check_history",
    "load",
    "record",
    "save",
]
