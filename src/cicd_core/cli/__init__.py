"""The command line: commands on a store of jobs for people and scripts, and an agent.

It needs the extra ``cli``. Heavy imports are inside the functions that need them, so
``--help`` and completion stay fast.
"""
