"""Records concurrent histories of a store, and checks that some order explains them.

``recorder.py`` records the requests and answers of clients (``operation.py``, ``journal.py``), with
:mod:`cicd_core.testing.recording`. ``workload.py`` runs clients that compete for the same records,
in this process or in several (``processes.py``). The checkers:

- ``wing_gong.py``: an exact search, for one record at a time (``model.py``, ``record_view.py``);
- ``oracle.py``: a replay in the order of the versions from the store; ``serial.py`` combines the
  orders of all records and of the log;
- ``log_check.py``: the log and its counters, event by event;
- ``queue_monitor.py``: whole queues, only by their answers (``queue_view.py``).

``checking.py`` runs all of them.
"""

from __future__ import annotations

from cicd_core.testing.histories.checking import Finding, assert_explained, check_history
from cicd_core.testing.histories.workload import Recording, record
from cicd_core.testing.histories.workload_client import Workload
from cicd_core.testing.recording.journal import load, save
from cicd_core.testing.recording.operation import UNKNOWN, Operation
from cicd_core.testing.recording.recording_store import Recorder, RecordingStore
from cicd_core.testing.recording.store_calls import Get, History

__all__ = [
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
