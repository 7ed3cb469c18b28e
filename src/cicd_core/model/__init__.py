"""Frozen values: what a job, a deployment, an agent, a pool, a session and an event are.

No behaviour but derived properties. The rules that change them are in :mod:`cicd_core.lifecycle`.
"""
