"""Records calls: each one before it is made, and again with its answer.

The histories record the verbs of a store (``store_calls.py``), the crash lab and the simulation the
methods of the services (``service_calls.py``). Both are operations (``operation.py``). A recorder
notes them (``recorder.py``, ``recording_store.py``), one line each (``journal.py``).
"""
