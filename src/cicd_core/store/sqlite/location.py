"""The location and options of a database, from its URL."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from attrs import Factory, field

from cicd_core.errors import InvalidInput
from cicd_core.model.checks import NEVER_A_PATH, check_seconds
from cicd_core.store.sqlite.failures import translated
from cicd_core.store.sqlite.files import beside
from cicd_core.values import frozen

if TYPE_CHECKING:
    from cicd_core.store.registry import StoreURL

#: ``full``: an acknowledged commit survives a power cut. ``normal``: it survives the end of the
#: process, but a power cut may lose the last commits, each of them as a whole.
Synchronous = Literal["full", "normal"]

#: The options of a URL, besides ``namespace``.
OPTIONS: Final = ("busy_timeout", "create", "log_retention", "synchronous")
#: How long to wait for other processes by default, in seconds.
BUSY_TIMEOUT: Final = 5.0
#: How long the log is kept by default, in seconds: 30 days.
LOG_RETENTION: Final = 30 * 86400.0
#: SQLite takes the timeout as an int of milliseconds; no caller waits longer than a day.
_LONGEST_TIMEOUT: Final = 86400.0
#: The longest suffix of a file that SQLite makes beside a database, and the longest path that it
#: opens, in bytes (``MAX_PATHNAME`` of its ``os_unix.c``, without the terminating zero).
_LONGEST_SUFFIX: Final = "journal"
_LONGEST_PATH: Final = 512
_EXAMPLE: Final = "write sqlite:///ci.db for a file here, or sqlite:////var/lib/ci.db"


@frozen(kw_only=True)
class Location:
    """A database file and how it is kept."""

    path: Path
    #: The path as given: a symbolic link in it may point elsewhere later.
    name: Path = field(default=Factory(lambda self: self.path, takes_self=True))
    #: Whether to create the file if it does not exist.
    create: bool = True
    #: The set of records in it; empty: the default one.
    namespace: str = ""
    synchronous: Synchronous = "full"
    #: How long to wait for other processes, in seconds.
    busy_timeout: float = BUSY_TIMEOUT
    #: How long an event stays in the log, in seconds.
    log_retention: float = LOG_RETENTION


def locate(
    url: StoreURL,
    *,
    namespace: str | None,
    create: bool | None = None,
    synchronous: Synchronous | None,
    busy_timeout: float | None,
    log_retention: float | None,
) -> Location:
    """Return the location that a URL names; an argument takes precedence over the URL's option.

    Raises:
        InvalidInput: the URL has a host or no file, an option is unknown or wrong, the folder
            of the file does not exist, or no database can have that path.
    """
    url.check_options(OPTIONS)
    if synchronous is None:
        synchronous = _synchronous(url.options.get("synchronous", "full"))
    if busy_timeout is None:
        busy_timeout = url.seconds("busy_timeout", BUSY_TIMEOUT)
    if log_retention is None:
        log_retention = url.seconds("log_retention", LOG_RETENTION)
    return Location(
        path=_path(url),
        name=Path(url.path.removeprefix("/")).absolute(),
        create=url.boolean("create", default=True) if create is None else create,
        namespace=namespace or "",
        synchronous=_synchronous(synchronous),
        busy_timeout=check_seconds("busy_timeout", busy_timeout, most=_LONGEST_TIMEOUT),
        log_retention=check_seconds("log_retention", log_retention),
    )


def _path(url: StoreURL) -> Path:
    name = url.path.removeprefix("/")
    if url.netloc or not name or "\0" in name:
        raise InvalidInput("url", str(url), f"it has no file name; {_EXAMPLE}")
    if name.startswith(":memory:"):
        raise InvalidInput("url", str(url), "for a store in memory, use memory://")
    # Absolute, so that the process may change its folder later, and without symbolic links, as
    # SQLite names the files beside it, so that all processes use the same files.
    try:
        path = Path(name).resolve(strict=False)
        _check_files(url, path)
    except (OSError, RuntimeError) as refused:  # RuntimeError: a loop of links, before Python 3.13
        if isinstance(refused, RuntimeError) or refused.errno in NEVER_A_PATH:
            raise InvalidInput("url", str(url), f"choose another path: {refused}") from refused
        # a folder of the path that this user may not read
        raise translated(refused, Path(name), BUSY_TIMEOUT) from refused
    return path


def _check_files(url: StoreURL, path: Path) -> None:
    """Check that a path can be that of a database.

    Raises:
        InvalidInput: it is a folder or a device, its folder does not exist, or its name leaves no
            room for the files beside it.
        OSError: a folder of the path cannot be read, or the path is too long.
    """
    has_folder = path.parent.is_dir()
    if path.is_dir():
        raise InvalidInput("url", str(url), f"{str(path)!r} is a folder; {_EXAMPLE}")
    if not has_folder:
        raise InvalidInput("url", str(url), f"there is no folder {str(path.parent)!r}; create it")
    longest = beside(path, _LONGEST_SUFFIX)
    # `stat` raises an error for a loop of links, and for a name that is too long for the file
    # system; `exists` does not, in all versions of Python.
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(path.stat().st_mode):
            raise InvalidInput("url", str(url), f"{str(path)!r} is not a regular file; {_EXAMPLE}")
    with suppress(FileNotFoundError):
        longest.stat()
    if len(os.fsencode(longest)) > _LONGEST_PATH:
        reason = f"SQLite allows {_LONGEST_PATH} bytes for the path of {longest.name!r}; shorten it"
        raise InvalidInput("url", str(url), reason)


def _synchronous(text: str) -> Synchronous:
    if text == "full":
        return "full"
    if text == "normal":
        return "normal"
    raise InvalidInput("synchronous", text, "give full or normal")
