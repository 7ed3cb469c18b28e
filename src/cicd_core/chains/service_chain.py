"""The base of all chains: links in a row, from a dictionary to a dictionary."""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from cicd_core.chains import running
from cicd_core.chains.links import ERROR, ServiceLink, failure_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cicd_core.chains.links import Plane
    from cicd_core.chains.running import Context, Link

Request = TypeVar("Request", bound="Mapping[str, object]")


def goes_on(ctx: Context) -> bool:
    """Return whether nothing has failed: the condition between the links of a chain."""
    return failure_of(ctx) is None


class ServiceChain(ABC, Generic[Request]):
    """Links in a row. Its ``run`` returns a dictionary: ``{"error": text}`` after a failure."""

    #: The required keys of the request.
    needs: ClassVar[tuple[str, ...]] = ()

    def __init__(self, control_plane: Plane, engine: Any = running) -> None:
        """Combine the links.

        Args:
            control_plane: a ``ControlPlane``, or a ``RemoteControlPlane``.
            engine: the runner of the links: the module ``codeuchain``, or any object with a
                ``Chain`` and a ``State`` (or ``Context``); the library's own by default.
        """
        self._state = getattr(engine, "State", None) or engine.Context
        self.chain = engine.Chain()
        links = self.links(control_plane)
        self._found = {link.once for link in links if isinstance(link, ServiceLink)}
        for link in links:
            self.chain.add_link(link, type(link).__name__)
        for source, target in pairwise(links):
            self.chain.connect(type(source).__name__, type(target).__name__, goes_on)

    @abstractmethod
    def links(self, control_plane: Plane) -> Sequence[Link]:
        """Return the links, in their order."""

    @abstractmethod
    def answer(self, ctx: Context) -> dict[str, Any]:
        """Return the answer of a successful request."""

    async def run(self, request: Request) -> dict[str, Any]:
        """Run the request, and return the answer, or ``{"error": text}``.

        Results of links are not part of a request: a reused answer runs again.
        """
        for key in self.needs:
            if request.get(key) is None:
                return {ERROR: f"{key} is required; give it in the dictionary"}
        asked = {key: value for key, value in request.items() if key not in self._found}
        ctx = await self.chain.run(self._state(asked))
        failure = failure_of(ctx)
        return self.answer(ctx) if failure is None else {ERROR: failure}
