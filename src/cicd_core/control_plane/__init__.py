"""The services: load, decide, commit, and nothing else.

Rules live in :mod:`cicd_core.lifecycle`, bytes in :mod:`cicd_core.store`.
"""
