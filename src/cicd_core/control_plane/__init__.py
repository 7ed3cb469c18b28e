"""The services: each loads, decides and commits, and does nothing else.

The rules are in :mod:`cicd_core.lifecycle`, the storage is in :mod:`cicd_core.store`.
"""
