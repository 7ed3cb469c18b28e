"""Records calls: each one before it is made, and again with its answer.

The histories record the verbs of a store (:mod:`cicd_core.testing.histories`), the crash lab the
methods of the services (:mod:`cicd_core.testing.crash`). Both are operations (``operation.py``). A
recorder notes them (``recorder.py``), one line each (``journal.py``).
"""
