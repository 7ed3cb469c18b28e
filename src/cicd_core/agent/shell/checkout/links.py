"""Checks that no symbolic link leads out of the checkout, or into a repository's own files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from cicd_core.agent.shell.checkout.failures import CheckoutFailed

if TYPE_CHECKING:
    from collections.abc import Iterable


def check_links(root: Path, links: Iterable[Path]) -> None:
    """Check the links of all trees of a checkout, once all trees exist.

    Before that, a link that leads through another tree's link can't be followed.

    Args:
        root: the tree of the job's repository.
        links: the links of its commit and of its submodules.

    Raises:
        CheckoutFailed: a link leads out of the root, or into a ``.git`` below it.
    """
    real = Path(os.path.realpath(root))
    for link in links:
        if not link.is_symlink():  # outside of a sparse checkout
            continue
        target = Path(os.path.realpath(link))
        inside = target.is_relative_to(real)
        if not inside or ".git" in target.relative_to(real).parts:
            name = str(link.relative_to(root))
            raise CheckoutFailed(f"the symbolic link {name!r} points out of the checkout")
