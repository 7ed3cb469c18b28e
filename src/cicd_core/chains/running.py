"""Contexts, and a runner of links that evaluates the conditions between them.

Both have the methods of codeuchain's ``Context`` and ``Chain``, so either runs the links.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self


class Context(Protocol):
    """The input and output of links: codeuchain's ``Context``, its ``State``, or :class:`State`."""

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value, or the default."""
        ...

    def insert(self, key: str, value: Any) -> Self:
        """Return a context with this value added."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Return a copy of all values."""
        ...


class Link(Protocol):
    """An operation: it takes and returns a context."""

    async def call(self, ctx: Any) -> Any:
        """Run it, or return the same context if it does not apply."""
        ...


class Middleware(Protocol):
    """Sees each link before and after its call, and an error with the link that raised it."""

    async def before(self, link: Link | None, ctx: Any) -> None:
        """See a context before a link, and before the first one (``None``)."""
        ...

    async def after(self, link: Link | None, ctx: Any) -> None:
        """See a context after a link, and after the last one (``None``)."""
        ...

    async def on_error(self, link: Link | None, error: Exception, ctx: Any) -> None:
        """See an error, and the input of the link that raised it."""
        ...


class State:
    """An immutable context: values by name; ``insert`` returns a new one."""

    def __init__(self, data: Mapping[str, Any] | None = None) -> None:
        """Start with these values."""
        self._data = dict(data or {})

    def get(self, key: str, default: Any = None) -> Any:
        """Return a value, or the default."""
        return self._data.get(key, default)

    def insert(self, key: str, value: Any) -> State:
        """Return a context with this value added."""
        return State({**self._data, key: value})

    def to_dict(self) -> dict[str, Any]:
        """Return a copy of all values."""
        return dict(self._data)


class Chain:
    """Links in the order in which they were added.

    A link without incoming connections always runs. Otherwise, one of its connections must come
    from a link that ran, and have a true condition.
    """

    def __init__(self) -> None:
        """Start without links."""
        self._links: dict[str, Link] = {}
        self._connections: list[tuple[str, str, Callable[[Any], bool]]] = []
        self._middleware: list[Middleware] = []

    def add_link(self, link: Link, name: str | None = None) -> None:
        """Add a link; its name is that of its class by default.

        Raises:
            ValueError: a link has that name already.
        """
        name = name or type(link).__name__
        if name in self._links:
            raise ValueError(f"name: a link {name!r} exists already; choose another name")
        self._links[name] = link

    def connect(self, source: str, target: str, condition: Callable[[Any], bool]) -> None:
        """Run the target only after the source, and if the condition is true for the context."""
        self._connections.append((source, target, condition))

    def use_middleware(self, middleware: Middleware) -> None:
        """Add a middleware, which sees each context."""
        self._middleware.append(middleware)

    async def run(self, initial_ctx: Any) -> Any:
        """Run the links one after another, and return the last context.

        Raises:
            ValueError: a connection names an unknown link; no link ran.
            Exception: an error of a link or a condition, after each middleware has seen it.
        """
        self._check_connections()
        ctx, called, link = initial_ctx, set[str](), None
        try:
            await self._each("before", None, ctx)
            for name, link in self._links.items():
                if self._leads_to(name, called, ctx):
                    await self._each("before", link, ctx)
                    ctx = await link.call(ctx)
                    called.add(name)
                    await self._each("after", link, ctx)
            await self._each("after", None, ctx)
        except Exception as error:
            await self._each("on_error", link, error, ctx)
            raise
        return ctx

    def _check_connections(self) -> None:
        for source, target, _ in self._connections:
            for field, name in (("source", source), ("target", target)):
                if name not in self._links:
                    names = ", ".join(map(repr, self._links)) or "none"
                    raise ValueError(f"{field}: there is no link {name!r}; the links are {names}")

    def _leads_to(self, name: str, called: set[str], ctx: Any) -> bool:
        ways = [(source, holds) for source, target, holds in self._connections if target == name]
        return not ways or any(source in called and holds(ctx) for source, holds in ways)

    async def _each(self, event: str, *seen: Any) -> None:
        for middleware in self._middleware:
            await getattr(middleware, event)(*seen)
