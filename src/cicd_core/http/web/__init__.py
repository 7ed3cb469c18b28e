"""The status page: what runs, what waits and why, and what an operator may do about it.

Pages are made on the server. A view reads services of the control plane and returns values, a
template shows them, an action calls one command; no rule lives here. Needs the extra ``web``.
"""
