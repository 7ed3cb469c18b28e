"""``demo``: real work of a real git repository, an agent killed in the middle, and an audit.

The scenes stand in :mod:`cicd_core.cli.demo.recovery` and :mod:`cicd_core.cli.demo.scenarios`, what
plays them in :mod:`cicd_core.cli.demo.scenario`, and what is seen of them on a terminal in
:mod:`cicd_core.cli.demo.live`.
"""
