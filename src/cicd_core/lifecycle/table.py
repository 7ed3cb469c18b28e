"""A state machine as data: edges, and the small functions that look them up."""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from typing import TYPE_CHECKING, Generic, TypeVar

from attrs import define

from cicd_core.errors import IllegalTransition
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping
    from enum import StrEnum

State = TypeVar("State", bound="StrEnum")


@frozen
class Edge(Generic[State]):
    """By ``command``, from ``source`` to ``target``; the same state twice is a self-loop."""

    command: str
    source: State
    target: State


@define(frozen=True, slots=False)
class TransitionTable(Generic[State]):
    """Every edge of one entity. All other transitions are illegal."""

    #: The entity's name in an error.
    kind: str
    edges: tuple[Edge[State], ...]
    #: States in which a new entity may begin.
    initial: tuple[State, ...]

    @cached_property
    def _targets(self) -> Mapping[tuple[State, str], frozenset[State]]:
        found: dict[tuple[State, str], set[State]] = defaultdict(set)
        for edge in self.edges:
            found[edge.source, edge.command].add(edge.target)
        return {key: frozenset(targets) for key, targets in found.items()}

    def commands(self, state: State) -> frozenset[str]:
        """Return the commands that are legal in ``state``."""
        return frozenset(command for source, command in self._targets if source is state)

    def targets(self, state: State, command: str) -> frozenset[State]:
        """Return the states that ``command`` may lead to from ``state``; none if it is illegal."""
        return self._targets.get((state, command), frozenset())

    def require(
        self, key: str, state: State, command: str, *, reason: str = ""
    ) -> frozenset[State]:
        """Return the states that ``command`` may lead to.

        Raises:
            IllegalTransition: there is none; the error names the commands that are legal in
                ``state``.
        """
        targets = self._targets.get((state, command))
        if targets is None:
            raise self.refusal(key, state, command, reason=reason)
        return targets

    def refusal(
        self, key: str, state: State, command: str, *, reason: str = ""
    ) -> IllegalTransition:
        """Return the error that refuses ``command`` in ``state``."""
        return IllegalTransition(
            self.kind, key, command, state.value, self.commands(state) - {command}, reason
        )


def edges_of(command: str, *pairs: tuple[State, tuple[State, ...]]) -> tuple[Edge[State], ...]:
    """Return the edges of one command, from (source, targets) pairs."""
    return tuple(Edge(command, source, target) for source, targets in pairs for target in targets)
