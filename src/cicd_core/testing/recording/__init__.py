"""Calls written down: before each one is made, and again with its answer when that is there.

The histories record the verbs of a store (:mod:`cicd_core.testing.histories`), the crash lab the
methods of the services (:mod:`cicd_core.testing.crash`). Both are operations (``operation.py``),
noted by a recorder (``recorder.py``), a line each (``journal.py``).
"""
