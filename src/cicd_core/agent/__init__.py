"""The runtime that an agent embeds: claim loop, lease keeper, handlers, drain.

It talks to a small protocol (:mod:`cicd_core.agent.port`), so that an agent does not know on which
side of a wire it lives.
"""
