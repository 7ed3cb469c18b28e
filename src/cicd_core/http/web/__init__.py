"""The status page: running jobs, waiting jobs and the reasons, and the actions of operators.

The server creates the pages. A view reads services of the control plane and returns values, a
template shows them, and an action calls one command; no rule is here. Needs the extra ``web``.
"""
