"""The oracle of jobs: compares the answers to callers with the log of the store.

The crash lab gives it the journals of killed workers at the end, the simulation each call of its
agents at once. ``answers.py`` has the answers by job, ``logged.py`` the events by job,
``ownership.py`` and ``losses.py`` the rules, and ``oracle.py`` applies them.
"""
