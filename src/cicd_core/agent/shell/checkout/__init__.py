"""The sources of a job: exactly the commit that it names, in a private clone.

The steps of a checkout: ``sources`` finds the repository of an address, and ``remote_refs`` the
object of a ref in it. ``mirror_cache`` lends a mirror, and ``mirror`` fetches missing objects into
it. ``clone`` creates the job's own repository, which borrows the mirror's objects. Then come
``submodules``, in the same way, and ``links``, once all trees exist. ``git_commands`` runs each git
command with the environment and the configuration of ``configuration``.
"""

from cicd_core.agent.shell.checkout.checking_out import CheckedOut, CheckoutContext, check_out
from cicd_core.agent.shell.checkout.failures import CheckoutFailed
from cicd_core.agent.shell.checkout.settings import CheckoutSettings

__all__ = ["CheckedOut", "CheckoutContext", "CheckoutFailed", "CheckoutSettings", "check_out"]
