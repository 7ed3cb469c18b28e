"""The sources of a job: exactly the commit that it names, in a private clone.

The way of a checkout: ``sources`` says which repository an address means, ``remote_refs`` which
object a ref names there; ``mirror_cache`` lends a mirror, into which ``mirror`` fetches what is
missing; ``clone`` makes the job's own repository, which borrows the mirror's objects; then
``submodules``, in the same way; and ``links``, when all trees are there. Each git command runs by
``git_commands``, with the environment and the configuration of ``configuration``.
"""

from cicd_core.agent.shell.checkout.checking_out import CheckedOut, CheckoutContext, check_out
from cicd_core.agent.shell.checkout.failures import CheckoutFailed
from cicd_core.agent.shell.checkout.settings import CheckoutSettings

__all__ = ["CheckedOut", "CheckoutContext", "CheckoutFailed", "CheckoutSettings", "check_out"]
