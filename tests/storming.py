"""What the long storms over servers share: disturbances, and runs that go on later."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TextIO, TypeVar

from cicd_core.testing.seeds import drawn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from random import Random

#: How long servers are left alone between two disturbances, in seconds.
_CALM: Final = (0.1, 0.9)

_T = TypeVar("_T")


class Deck(Generic[_T]):
    """Draws each of several things once before any of them comes again."""

    def __init__(self, *cards: _T) -> None:
        """Begin with all of them."""
        self._cards = cards
        self._left: list[_T] = []

    def draw(self, random: Random) -> _T:
        """Return the next one."""
        if not self._left:
            self._left = [*self._cards]
            random.shuffle(self._left)
        return self._left.pop()


class Disturbed(Protocol):
    """Servers that can be disturbed."""

    def disturb(self, random: Random) -> object:
        """Disturb them once; all is as before when this returns."""
        ...


class Disturber(threading.Thread):
    """Disturbs the servers of a scene, one after the other, until it is to stop."""

    def __init__(self, scene: Disturbed, seed: int, calm: tuple[float, float] = _CALM) -> None:
        """Draw the pauses (s) from a seed, between the two bounds of ``calm``."""
        super().__init__(daemon=True)
        self._scene = scene
        self._calm = calm
        self._random = drawn(seed, "servers")
        self._stopped = threading.Event()
        self.times = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        """Go on until :meth:`stop`; all is as before then."""
        try:
            while not self._stopped.wait(self._random.uniform(*self._calm)):
                self._scene.disturb(self._random)
                self.times += 1
        except BaseException as failure:  # noqa: BLE001 - it is told where the storm ends
            self.failure = failure

    def stop(self) -> None:
        """Let the servers be, all of them up."""
        self._stopped.set()
        if self.ident is not None:
            self.join()
        if self.failure is not None:
            raise self.failure


class Results:
    """The figures of the storms that were run, a line of JSON each, so that a run can go on."""

    def __init__(self, path: Path | None, *names: str) -> None:
        """Read those that a file holds; without one they are kept for this run alone.

        Args:
            path: of the file.
            names: of what tells one storm from the others, besides its seed.
        """
        self._path = path
        self._names = (*names, "seed")
        text = path.read_text("utf-8") if path is not None and path.exists() else ""
        self._found: dict[tuple[object, ...], dict[str, Any]] = {}
        for line in text.splitlines():
            words = json.loads(line)
            self._found[tuple(words[name] for name in self._names)] = words

    def of(self, *values: object) -> dict[str, Any] | None:
        """Return what the storm of these values found, the seed last; None: it was not run."""
        return self._found.get(values)

    def of_seeds(
        self, seeds: Iterable[int], storm: Callable[[int], dict[str, Any]]
    ) -> list[dict[str, Any]]:
        """Return what the storms of these seeds found; those that were not run are run now."""
        return [self.of(seed) or self.add(seed, found=storm(seed)) for seed in seeds]

    def add(self, *values: object, found: dict[str, Any]) -> dict[str, Any]:
        """Keep what a storm found."""
        words = {**dict(zip(self._names, values, strict=True)), **found}
        self._found[values] = words
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(words) + "\n")
        return words


def python_path() -> str:
    """Return the ``PYTHONPATH`` by which other processes find these tests too."""
    root = str(Path(__file__).parents[1])
    return os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])


def say(stream: TextIO, text: str) -> None:
    """Write a line, at once."""
    stream.write(f"{text}\n")
    stream.flush()
