"""Git's environment, which is small, and its configuration, which no job can change."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from cicd_core.agent.shell.environment import inherited

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cicd_core.agent.shell.checkout.settings import CheckoutSettings

#: Variables that git, and the programs that it starts, inherit from the agent.
_INHERITED: Final = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "TMPDIR",
    "SSH_AUTH_SOCK",
    "GIT_SSH_COMMAND",
    "GIT_SSL_*",
    "SSL_CERT_*",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
)
_FIXED: Final = {
    "LC_ALL": "C",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
}
#: ssh asks no questions, and gives up a host that does not answer.
_SSH: Final = "ssh -o BatchMode=yes -o ConnectTimeout=30"
#: Seconds without a byte per second after which a download is given up.
_STALLED: Final = 60

_FIRST: Final = f"""\
[core]
    sshCommand = {_SSH}
"""
#: The last value counts: an operator's file can't replace these.
_ENFORCED: Final = f"""\
[core]
    hooksPath = /dev/null
    fsmonitor = false
    attributesFile = /dev/null
    excludesFile = /dev/null
    askPass =
    pager = cat
    autocrlf = false
    symlinks = true
    sparseCheckout = false
[gc]
    auto = 0
[maintenance]
    auto = false
[fetch]
    unpackLimit = 1
    recurseSubmodules = false
    writeCommitGraph = false
    fsckObjects = false
[transfer]
    unpackLimit = 1
[submodule]
    recurse = false
[protocol]
    version = 2
[safe]
    directory = *
[http]
    lowSpeedLimit = 1
    lowSpeedTime = {_STALLED}
[advice]
    detachedHead = false
"""
#: As `git lfs install` writes it.
LFS_FILTER: Final = """\
[filter "lfs"]
    clean = git-lfs clean -- %f
    smudge = git-lfs smudge -- %f
    process = git-lfs filter-process
    required = true
"""


def write_configuration(
    file: Path, settings: CheckoutSettings, environ: Mapping[str, str], *, lfs: bool
) -> None:
    """Write the configuration that all git commands of one job read in place of the user's.

    Raises:
        OSError: the file can't be written.
    """
    given = str(settings.git_config or environ.get("GIT_CONFIG_GLOBAL", ""))
    included = f"[include]\n    path = {quoted(given)}\n" if given.startswith("/") else ""
    key = "" if settings.ssh_key is None else _key_section(settings.ssh_key)
    text = _FIRST + included + _ENFORCED + key + (LFS_FILTER if lfs else "")
    file.write_text(text, encoding="utf-8", errors="surrogateescape")


def checkout_environment(
    environ: Mapping[str, str], file: Path, settings: CheckoutSettings
) -> dict[str, str]:
    """Return the complete environment of git commands."""
    kept = inherited(environ, _INHERITED)
    if settings.ssh_key is not None:
        kept.pop("GIT_SSH_COMMAND", None)
    return kept | _FIXED | {"GIT_CONFIG_GLOBAL": str(file)}


def quoted(value: str) -> str:
    """Return a value in the syntax of git's configuration files."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _key_section(key: Path) -> str:
    command = f"{_SSH} -F /dev/null -o IdentitiesOnly=yes -i {shlex.quote(str(key))}"
    return f"[core]\n    sshCommand = {quoted(command)}\n"
