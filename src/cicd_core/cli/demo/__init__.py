"""``demo``: real jobs on a git repository, a killed agent, and an audit.

The scenes are in :mod:`cicd_core.cli.demo.recovery` and :mod:`cicd_core.cli.demo.scenarios`, their
runner in :mod:`cicd_core.cli.demo.scenario`, and the view on a terminal in
:mod:`cicd_core.cli.demo.live`.
"""
