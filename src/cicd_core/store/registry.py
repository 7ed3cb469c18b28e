"""Opens a store by its URL: entry points of the group ``cicd_core.stores``, named by scheme.

A package with its own store declares it in its ``pyproject.toml``::

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
#: Matches texts that cannot be a URL with a password, not even a mistyped one.
_HARMLESS: Final = re.compile(r"[\w./\\ -]*")
#: At most 18 digits: Python refuses to parse a number with thousands of them.
_INTEGER: Final = re.compile(r"-?[0-9]{1,18}")
#: The characters that must be encoded in a password.
_ENCODE: Final = "in a user and a password write / as %2F, ? as %3F, # as %23, @ as %40"

#: The extras with the packages that these schemes need.
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
    """The parsed URL of a store. Its texts for people contain no secrets."""

    #: The URL as given, with its secrets: never log it.
    text: str
    #: The scheme, in lower case.
    scheme: str
    #: The part between ``//`` and the path: a host, a name, credentials; may be empty.
    netloc: str
    #: The path with its first slash, decoded (``%20`` and the like).
    path: str
    #: The options after the question mark, decoded.
    options: Mapping[str, str] = field(factory=dict[str, str])

    @classmethod
    def parse(cls, text: str) -> StoreURL:
        """Parse a URL.

        Raises:
            InvalidInput: it has no scheme, is not a URL, has a fragment, or has an option twice or
                without a value.
        """
        if not isinstance(text, str):  # only its type is shown: it may contain a password
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
        """Refuse unknown options; all stores know ``namespace``.

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
            InvalidInput: it is not a number.
        """
        text = self.options.get(option)
        try:
            return default if text is None else float(text)
        except ValueError:
            raise InvalidInput(option, text, "give a number of seconds") from None

    def integer(self, option: str, default: int, *, least: int, most: int) -> int:
        """Return an option that is a whole number, ``least`` to ``most``.

        Raises:
            InvalidInput: it is not; ``+7``, ``1_000`` and digits of other scripts are refused too.
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

    Usually it is an ``@asynccontextmanager``: it opens the backend when the context is entered,
    and closes it when the context is left, also after an error or a cancellation.

    A factory refuses unknown options of the URL (:meth:`StoreURL.check_options`) and unknown
    keyword arguments, as Python does by itself. Its own settings are further keyword arguments,
    each with a default. A store with its own clock, such as a server's, refuses any ``clock``
    except None. A store that creates something when it is opened, such as a file, has the argument
    ``create``: False refuses a place without data. A store that needs asyncio calls
    :func:`require_asyncio` when the context is entered.

    A factory never reads data in another layout as if it were in the current one. The layout has a
    number, which the data keeps, and the factory checks it before any change. A higher number is
    refused with ``SchemaTooNew``. A lower one is migrated completely, in one step that a crash
    cannot interrupt half-way, or refused with ``SchemaTooOld``. Data that is not the store's is
    refused with ``UnrecognizedDatabase``. An index that is new in ``collections`` must have the
    existing records: the factory fills it, or refuses the data. Each refusal leaves the data
    unchanged.
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
            url: the URL of the store.
            collections: the collections of the store, with their indexes.
            namespace: the set of records to open, separate from all others in the same place; None:
                the default one.
            clock: the time that decides leases and retention, for a store without its own clock.
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

    Each call is checked against the limits and made once. For retries, wrap the store in a
    :class:`~cicd_core.store.retrying.RetryingStore` with more ``attempts``; a control plane does
    that itself.

    Args:
        url: the URL of the store; its scheme selects the kind of store.
        collections: the collections of the store, with their indexes.
        namespace: the set of records to open (a team, a tenant, a test); it takes precedence over
            the URL's ``?namespace=``.
        clock: a clock for a store without its own, for a simulation or a test.
        create: whether the store may create the place of its records, such as a file; False
            refuses a place without data. A store that creates nothing ignores it.
        options: the settings of that store.

    Returns:
        A context manager; the store is open inside its block.

    Raises:
        InvalidInput: the URL is malformed or has an unknown option, the namespace is not a valid
            name, or the collections are malformed.
        UnknownScheme: no store is registered for the scheme; the error names the package to
            install.
        UnsupportedCapability: the store's package cannot be loaded; the error has the reason.
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
    """Refuse any event loop except asyncio's, for a store whose driver needs it.

    Raises:
        UnsupportedCapability: the call comes from outside asyncio, for example from trio.
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
    Limits(kept)  # refuses invalid collections before anything is opened
    return kept


def _is_cut(netloc: str) -> bool:
    """Return whether a host may really be a user and the beginning of a password."""
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
        advice = _how_to_install(entry_point.name) or f"install {package!r} with its dependencies"
        raise UnsupportedCapability(
            f"the store of {entry_point.name}:// cannot be loaded ({missing}); {advice}"
        ) from missing
    return factory


def _how_to_install(scheme: str) -> str:
    extra = _EXTRAS.get(scheme)
    return f"pip install 'cicd-core[{extra}]'" if extra else ""
