"""Worker processes on one store: each records its calls, and may kill itself at a chosen point.

An order (``orders.py``) names the store, the journal, the task, and the point of the kill. A worker
(``worker.py``) carries it out, in a new process, or in a fork of a process that has loaded all
modules (``fork_server.py``). The tasks are those of the crash lab and of the histories.
"""
