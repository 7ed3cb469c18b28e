"""Opening a store by its URL: entry points of the group ``cicd_core.stores``, named by scheme.

A package that brings a store of its own says in its ``pyproject.toml``::

    [project.entry-points."cicd_core.stores"]
    acme = "acme_store:open_acme"

and ``open_store("acme://…")`` then calls ``acme_store.open_acme``, a :class:`BackendFactory`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from contextlib import asynccontextmanager
from importlib.metadata import entry_points
from inspect import signature
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from attrs import field

from cicd_core.errors import InvalidInput, UnknownScheme, UnsupportedCapability
from cicd_core.model.checks import check_integer, check_kind, check_name
from cicd_core.redaction import HIDDEN, redacted_url
from cicd_core.store.limits import Limits
from cicd_core.store.records import Collection
from cicd_core.store.retrying import RetryingStore
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping
    from contextlib import AbstractAsyncContextManager
    from importlib.metadata import EntryPoint

    from cicd_core.clock import Clock
    from cicd_core.store.contract import Store


#: The group of entry points in which stores register.
GROUP: Final = "cicd_core.stores"

_EXAMPLE: Final = "write it like sqlite:///ci.db or memory://"
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=://)")
#: Whether a text can't be a URL with a password in it, be it mistyped.
_HARMLESS: Final = re.compile(r"[\w./\\ -]*")
#: At most 18 digits: Python refuses to make numbers of texts with thousands of them.
_INTEGER: Final = re.compile(r"-?[0-9]{1,18}")
#: What a password must not have in it as it is.
_ENCODE: Final = "in a user and a password write / as %2F, ? as %3F, # as %23, @ as %40"

#: What brings the schemes that this distribution knows of, and which need more packages.
_EXTRAS: Final = {
    "redis": "redis",
    "rediss": "redis",
    "unix": "redis",
    "redis+sentinel": "redis",
    "redis+cluster": "redis",
    "dynamodb": "dynamodb",
}


@frozen(repr=False)
class StoreURL:
    """The URL of a store, taken apart. Shown, it keeps its secrets to itself."""

    #: As it was given, with its secrets: never log it.
    text: str
    #: In lower case.
    scheme: str
    #: What stands between ``//`` and the path: a host, a name, credentials; or nothing.
    netloc: str
    #: With its first slash, and with ``%20`` and the like decoded.
    path: str
    #: What stands behind the question mark, decoded.
    options: Mapping[str, str] = field(factory=dict[str, str])

    @classmethod
    def parse(cls, text: str) -> StoreURL:
        """Take a URL apart.

        Raises:
            InvalidInput: it has no scheme, is no URL, has a fragment, or an option stands in it
                twice or without a value.
        """
        if not isinstance(text, str):  # shown by its type alone: it may hold a password
            raise InvalidInput("url", type(text).__name__, f"give a string; {_EXAMPLE}")
        scheme = _SCHEME.match(text)
        if scheme is None:
            harmless = text if _HARMLESS.fullmatch(text) else HIDDEN
            raise InvalidInput("url", harmless, f"it has no scheme; {_EXAMPLE}")
        hidden = f"{scheme[0]}://{HIDDEN}"
        try:
            parts = urlsplit(text)
        except ValueError:  # its message may quote a password
            raise InvalidInput("url", hidden, f"it is not a URL; {_EXAMPLE}") from None
        if parts.fragment:
            reason = f"a store URL has no fragment; write # as %23; {_ENCODE}"
            raise InvalidInput("url", hidden, reason)
        is_unclear = "@" in parts.netloc or _is_cut(parts.netloc)
        if is_unclear and "@" in f"{parts.path}{parts.query}":
            raise InvalidInput("url", hidden, f"it is ambiguous; {_ENCODE}")
        return cls(
            text=text,
            scheme=parts.scheme,
            netloc=parts.netloc,
            path=unquote(parts.path),
            options=_options(hidden, parts.query),
        )

    def check_options(self, known: Iterable[str]) -> None:
        """Refuse what the store does not know; ``namespace`` is known to all of them.

        Raises:
            InvalidInput: an option is not in ``known``.
        """
        names = {"namespace", *known}
        for name in self.options:
            if name not in names:
                reason = f"the options of {self.scheme}:// are {', '.join(sorted(names))}"
                raise InvalidInput("url", name, reason)

    def seconds(self, option: str, default: float) -> float:
        """Return an option that is a number of seconds.

        Raises:
            InvalidInput: it is no number.
        """
        text = self.options.get(option)
        try:
            return default if text is None else float(text)
        except ValueError:
            raise InvalidInput(option, text, "give a number of seconds") from None

    def integer(self, option: str, default: int, *, least: int, most: int) -> int:
        """Return an option that is a whole number, ``least`` to ``most``.

        Raises:
            InvalidInput: it is anything else; ``+7``, ``1_000`` and digits of other scripts too.
        """
        text = self.options.get(option)
        if text is None:
            return default
        number = int(text) if _INTEGER.fullmatch(text) else None
        if number is None:
            raise InvalidInput(option, text, f"give a whole number from {least} to {most}")
        return check_integer(option, number, least=least, most=most)

    def boolean(self, option: str, *, default: bool) -> bool:
        """Return an option that is true or false.

        Raises:
            InvalidInput: it is neither.
        """
        text = self.options.get(option)
        if text not in {None, "true", "false"}:
            raise InvalidInput(option, text, "give true or false")
        return default if text is None else text == "true"

    def __str__(self) -> str:
        return redacted_url(self.text)

    def __repr__(self) -> str:
        return f"StoreURL({str(self)!r})"


class BackendFactory(Protocol):
    """The function that an entry point of the group ``cicd_core.stores`` names: it opens a backend.

    Usually an ``@asynccontextmanager``, so that it opens nothing before the answer is entered,
    and closes it when the answer is left, by an error or a cancellation too.

    A factory refuses what it does not know: options of the URL (:meth:`StoreURL.check_options`),
    and keywords, as Python does by itself. Settings of its own are further keywords, each with a
    default. A store that has a clock of its own, a server's say, refuses any ``clock`` but None.
    One that makes something by being opened, such as a file, takes ``create``: False refuses a
    place where there is nothing yet.
    One that needs asyncio asks :func:`require_asyncio` when it is entered.

    What was written before, in another layout of the store's own, is never read as if it were of
    this one. The layout has a number, which the data keeps, and a factory looks at it before it
    changes anything. A higher one is refused with ``SchemaTooNew``. A lower one is brought up to
    date as a whole, in one step that a crash can't cut in half, or refused with ``SchemaTooOld``.
    What is no data of the store's at all is refused with ``UnrecognizedDatabase``. An index that is
    new in ``collections`` finds the records that were there before it: the factory fills it, or
    refuses the data. Each of these leaves the data as it is.
    """

    def __call__(
        self,
        url: StoreURL,
        *,
        collections: tuple[Collection, ...],
        namespace: str | None,
        clock: Clock | None,
    ) -> AbstractAsyncContextManager[Store]:
        """Return a context manager that opens the store's backend.

        Args:
            url: where the store is.
            collections: what the store keeps, and the indexes that it needs.
            namespace: the set of records to open, apart from all others in the same place; None
                is the one that nobody named.
            clock: the time that decides leases and retention, for a store that has none.
        """
        ...


def open_store(
    url: str,
    *,
    collections: Iterable[Collection],
    namespace: str | None = None,
    clock: Clock | None = None,
    create: bool = True,
    **options: Any,
) -> AbstractAsyncContextManager[RetryingStore]:
    """Open the store that a URL names, such as ``memory://`` or ``sqlite:///ci.db``.

    Each call is checked against the limits and made once. For more tries put a
    :class:`~cicd_core.store.retrying.RetryingStore` with more ``attempts`` over it; a control
    plane does that itself.

    Args:
        url: its scheme chooses the store.
        collections: what the store keeps, and its indexes.
        namespace: the set of records to open (a team, a tenant, a test); it takes precedence over
            the URL's ``?namespace=``.
        clock: a clock for a store that has none of its own, for a simulation or a test.
        create: whether the store may make what it keeps its records in, such as a file; False
            refuses a place where there is nothing yet. A store that makes nothing ignores it.
        options: the settings of that store.

    Returns:
        A context manager; the store is open inside of it.

    Raises:
        InvalidInput: the URL is malformed, has an unknown option, the namespace is no name, or the
            collections are malformed.
        UnknownScheme: no store is registered for the scheme; the error says what to install.
        UnsupportedCapability: the store's package cannot be loaded; the error says why.
    """
    parsed = StoreURL.parse(url)
    kept = _checked_collections(collections)
    factory = _load(_find(parsed.scheme))
    if namespace is None:
        namespace = parsed.options.get("namespace")
    if namespace is not None:
        check_name("namespace", namespace)
    if not create and "create" in signature(factory).parameters:
        options["create"] = False
    return _opened(factory(parsed, collections=kept, namespace=namespace, clock=clock, **options))


@asynccontextmanager
async def _opened(
    opening: AbstractAsyncContextManager[Store],
) -> AsyncGenerator[RetryingStore]:
    async with opening as backend:
        yield RetryingStore(backend)


def require_asyncio(scheme: str) -> None:
    """Refuse any event loop but asyncio's, for a store whose driver needs it.

    Raises:
        UnsupportedCapability: it is called outside of asyncio, from trio say.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError as other_loop:
        raise UnsupportedCapability(
            f"{scheme}:// needs asyncio, since its driver does: run it with anyio.run(…, "
            'backend="asyncio"), or use memory://, which works on trio too'
        ) from other_loop


def _checked_collections(collections: Iterable[Collection]) -> tuple[Collection, ...]:
    if not isinstance(collections, Iterable):
        raise InvalidInput("collections", collections, "give a list of Collection")
    kept = tuple(collections)
    for position, item in enumerate(kept):
        check_kind(f"collections[{position}]", item, Collection)
    Limits(kept)  # refuses what no store can keep, before anything is opened
    return kept


def _is_cut(netloc: str) -> bool:
    """Return whether a host may be a user, and the beginning of a password behind it."""
    _, colon, port = netloc.rpartition(":")
    return bool(colon) and "@" not in netloc and not port.isdecimal()


def _options(hidden: str, query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        reason = f"its options are not of the form ?name=value&name=value; {_ENCODE}"
        raise InvalidInput("url", hidden, reason) from None
    options = dict(pairs)
    if len(options) < len(pairs):
        raise InvalidInput("url", hidden, "an option appears twice")
    return options


def _find(scheme: str) -> EntryPoint:
    registered = entry_points(group=GROUP)
    # One distribution can be found twice, installed and in the source tree.
    found = {item.value: item for item in registered if item.name == scheme}
    if not found:
        raise UnknownScheme(scheme, {item.name for item in registered}, _how_to_install(scheme))
    if len(found) > 1:
        raise UnsupportedCapability(
            f"{scheme}:// is registered by {' and by '.join(sorted(found))}: it is unclear which "
            f"store is meant; uninstall all but one of their packages"
        )
    return next(iter(found.values()))


def _load(entry_point: EntryPoint) -> Callable[..., AbstractAsyncContextManager[Store]]:
    try:
        factory: Callable[..., AbstractAsyncContextManager[Store]] = entry_point.load()
    except (ImportError, AttributeError) as missing:
        package = entry_point.dist.name if entry_point.dist else entry_point.module
        advice = _how_to_install(entry_point.name) or f"install {package!r} with all that it needs"
        raise UnsupportedCapability(
            f"the store of {entry_point.name}:// cannot be loaded ({missing}); {advice}"
        ) from missing
    return factory


def _how_to_install(scheme: str) -> str:
    extra = _EXTRAS.get(scheme)
    return f"pip install 'cicd-core[{extra}]'" if extra else ""
