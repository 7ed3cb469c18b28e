"""The command line: what a person or a script asks of a store of jobs, and an agent to start.

Needs the extra ``cli``. Heavy imports stand inside the functions that need them, so that
``--help`` and completion stay quick.
"""
