"""A ready-made handler that runs commands: in a new checkout, under a guard, with a log."""

from cicd_core.agent.shell.checkout import CheckoutSettings
from cicd_core.agent.shell.environment import INHERITED
from cicd_core.agent.shell.handler import ShellHandler

__all__ = ["INHERITED", "CheckoutSettings", "ShellHandler"]
