"""The runtime that an agent embeds: claim loop, lease renewer, handlers, drain.

It depends only on a small protocol (:mod:`cicd_core.agent.protocols`), so an agent runs the same
way next to the store or across a network.
"""

from cicd_core.agent.active_job import StopReason
from cicd_core.agent.agent import Agent
from cicd_core.agent.answers import JobFailed, SetupFailed
from cicd_core.agent.handlers import Handler
from cicd_core.agent.init import leave_process_one
from cicd_core.agent.job_run import JobRun
from cicd_core.agent.protocols import LogSink, WorkSource
from cicd_core.job_logs.limits import LogLimits
from cicd_core.job_logs.masking import LogMasks

__all__ = [
    "Agent",
    "Handler",
    "JobFailed",
    "JobRun",
    "LogLimits",
    "LogMasks",
    "LogSink",
    "SetupFailed",
    "StopReason",
    "WorkSource",
    "leave_process_one",
]
