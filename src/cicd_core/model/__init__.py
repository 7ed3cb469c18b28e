"""Frozen values: jobs, deployments, agents, pools, sessions and events.

They have derived properties only. The rules that change them are in :mod:`cicd_core.lifecycle`.
"""
