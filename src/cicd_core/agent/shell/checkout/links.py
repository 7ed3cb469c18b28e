"""Symbolic links: none leads out of the checkout, or into a repository's own files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from cicd_core.agent.shell.checkout.failures import CheckoutFailed

if TYPE_CHECKING:
    from collections.abc import Iterable


def check_links(root: Path, links: Iterable[Path]) -> None:
    """Check the links of all trees of a checkout, when all of them are there.

    Before that, a link of one tree that leads through a link of another can't be followed.

    Args:
        root: the tree of the job's repository.
        links: those of its commit, and of those of its submodules.

    Raises:
        CheckoutFailed: one leads out of the root, or into a ``.git`` below it.
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
