"""Open a log store: a folder, or a URL whose scheme names an entry point.

A package that keeps logs elsewhere, for example in an object store, declares an entry point in its
``pyproject.toml``::

    [project.entry-points."cicd_core.log_stores"]
    acme = "acme_logs:open_acme"

``open_log_store("acme://bucket")`` then calls ``acme_logs.open_acme``, a
:class:`LogStoreFactory`.
"""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import unquote, urlsplit

from cicd_core.errors import InvalidInput, UnknownScheme
from cicd_core.job_logs.file_store import FileLogStore
from cicd_core.job_logs.limits import LogLimits
from cicd_core.model.checks import check_kind

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from contextlib import AbstractAsyncContextManager

    from cicd_core.job_logs.contract import LogStore

#: The group of entry points in which log stores register.
GROUP: Final = "cicd_core.log_stores"
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


class LogStoreFactory(Protocol):
    """The function that an entry point of the group ``cicd_core.log_stores`` names."""

    def __call__(self, url: str, *, limits: LogLimits) -> AbstractAsyncContextManager[LogStore]:
        """Return a context manager that opens the log store.

        Args:
            url: the URL passed to :func:`open_log_store`.
            limits: how much to keep, and for how long.
        """
        ...


def open_log_store(
    place: str, *, limits: LogLimits | None = None
) -> AbstractAsyncContextManager[LogStore]:
    """Open a log store.

    Args:
        place: a folder, or a URL such as ``file:///var/lib/cicd-core/logs``.
        limits: how much to keep, and for how long; the defaults are 64 MiB per log, 10 GiB in
            total, and 14 days.

    Raises:
        InvalidInput: an argument is wrong.
        UnknownScheme: no log store is registered for the URL's scheme.
    """
    check_kind("place", place, str)
    limits = limits or LogLimits()
    check_kind("limits", limits, LogLimits)
    found = _SCHEME.match(place)
    if found is None:
        return _open_folder(Path(place), limits)
    scheme = found[1].lower()
    if scheme == "file":
        return _open_folder(_folder_of(place), limits)
    plugins = {entry_point.name: entry_point for entry_point in entry_points(group=GROUP)}
    if scheme not in plugins:
        raise UnknownScheme(scheme, {"file", *plugins}, "or give a folder")
    factory: LogStoreFactory = plugins[scheme].load()
    return factory(place, limits=limits)


def _folder_of(url: str) -> Path:
    """Return the folder that a URL such as ``file:///var/lib/logs`` names.

    Raises:
        InvalidInput: it names a host, or no folder.
    """
    parts = urlsplit(url)
    if parts.netloc or not parts.path or parts.query or parts.fragment:
        raise InvalidInput("url", url, "write it like file:///var/lib/cicd-core/logs")
    return Path(unquote(parts.path))


@asynccontextmanager
async def _open_folder(folder: Path, limits: LogLimits) -> AsyncGenerator[LogStore]:
    yield FileLogStore(folder, limits)
