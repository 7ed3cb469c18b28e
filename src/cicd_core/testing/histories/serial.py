"""Checks that one order fits every record's versions, the log and real time: O(n log n).

Even if each record is linearizable by itself, some clients might see a commit of several records
before others do. One order of all commits, claims and reads excludes that, if each record's
versions grow in it, the log has the commits in that order, and no operation comes before one that
returned before its call. The stamps give the order of pairs; this module searches them for a cycle.

The contract requires less (a store is linearizable for each record): this is for stores that
promise one order.
"""

from __future__ import annotations

from collections import defaultdict
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import define, field

from cicd_core.store.records import Claim, Commit, Delete, Record
from cicd_core.testing.histories.oracle import Refuted
from cicd_core.testing.histories.queue_view import by_versions
from cicd_core.testing.recording.operation import FOREVER, UNKNOWN
from cicd_core.testing.recording.store_calls import Get, StoreOperation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from cicd_core.store.records import LogEntry, Subject
    from cicd_core.testing.recording.store_calls import History


#: A version of a record, and 1 if the record of that version was deleted.
_Stamp: TypeAlias = tuple[int, int]
#: A collection, and a claim's id.
_ClaimName: TypeAlias = tuple[str, str]
#: An event's collection, key, version and ordinal.
_EventId: TypeAlias = tuple[str, str, int, int]


@define(eq=False)
class _Node:
    """An event at one time; without an operation, its caller is unknown."""

    operation: StoreOperation | None = None
    invoked: int = 0
    ends: int = FOREVER
    before: list[_Node] = field(factory=list["_Node"])
    after: list[_Node] = field(factory=list["_Node"])
    #: The number of nodes in ``before`` without a place yet.
    blocked_by: int = 0
    placed: bool = False

    def called_by(self, operation: StoreOperation) -> None:
        """Add a call that may have had this effect: it happened before the first return."""
        first = self.operation is None
        self.invoked = operation.invoked if first else min(self.invoked, operation.invoked)
        self.ends = min(self.ends, operation.ends)
        self.operation = self.operation or operation

    def precedes(self, other: _Node) -> None:
        """Require that this node comes before another one."""
        self.after.append(other)
        other.before.append(self)
        other.blocked_by += 1


def check_serial(
    history: History, log: Sequence[LogEntry] | None = None
) -> Refuted[StoreOperation] | None:
    """Search for one order of all writes and reads.

    A claim is split by record, since it promises each record by itself. The checks of each record
    cover reads that found nothing and refused commits.

    Args:
        history: the operations of all clients.
        log: the whole log, if it has commits in the order in which they happened.

    Returns:
        None if there is an order; otherwise a chain of operations that contradicts itself.
    """
    graph = _Graph()
    for operation in history.operations:
        graph.add(operation)
    graph.add_commits()
    graph.add_lost_claims()
    graph.order_versions()
    if log is not None:
        graph.order_events(log)
    return _contradiction(graph.nodes)


class _Graph:
    def __init__(self) -> None:
        self.nodes: list[_Node] = []
        #: The calls of each commit, by its id.
        self._commits: dict[str, list[StoreOperation]] = defaultdict(list)
        #: The calls of each claim with an unknown outcome, and the grants of its other calls.
        self._lost: dict[_ClaimName, list[StoreOperation]] = defaultdict(list)
        self._grants: dict[_ClaimName, list[_Node]] = defaultdict(list)
        self._writers: dict[Subject, dict[_Stamp, _Node]] = defaultdict(dict)
        self._readers: dict[Subject, dict[_Stamp, list[_Node]]] = defaultdict(dict)
        self._events: dict[_EventId, _Node] = {}

    def add(self, operation: StoreOperation) -> None:
        argument, result = operation.argument, operation.result
        match argument:
            case Commit():
                self._commits[argument.commit_id].append(operation)
            case Get() if isinstance(result, Record):
                self._read((argument.collection, argument.key), result.version, operation)
            case Claim() if result is UNKNOWN:
                self._lost[argument.collection, argument.claim_id].append(operation)
            case Claim() if isinstance(result, tuple):
                for record in result:
                    subject = (argument.collection, record.key)
                    self._add_grant(operation, subject, record)
            case _:
                pass

    def add_commits(self) -> None:
        """Add every applied commit, even if the call that applied it is unknown."""
        for calls in self._commits.values():
            for _, applied in by_versions(calls):
                node = self._written(applied[0])
                for call in calls:
                    if call in applied or call.result is UNKNOWN:
                        node.called_by(call)

    def add_lost_claims(self) -> None:
        """Add the grants that repetitions answered to the calls with an unknown outcome."""
        for claim, nodes in self._grants.items():
            for node in nodes:
                for call in self._lost.get(claim, ()):
                    node.called_by(call)

    def order_versions(self) -> None:
        """Order the versions of each record."""
        for subject in {**self._writers, **self._readers}:
            writers, readers = self._writers[subject], self._readers[subject]
            last: list[_Node] = []
            for stamp in sorted({*writers, *readers}):
                context = writers.get(stamp) or self._node(None)
                for node in last:
                    node.precedes(context)
                seen_by = readers.get(stamp, [])
                for node in seen_by:
                    context.precedes(node)
                last = [context, *seen_by]

    def order_events(self, log: Iterable[LogEntry]) -> None:
        """Order commits by their events."""
        last: _Node | None = None
        seen: set[int] = set()
        for entry in log:
            node = self._events.get((entry.collection, entry.key, entry.version, entry.ordinal))
            if node is not None and id(node) not in seen:
                seen.add(id(node))
                if last is not None:
                    last.precedes(node)
                last = node

    def _written(self, operation: StoreOperation) -> _Node:
        node = self._node(operation)
        commit: Any = operation.argument
        result: Any = operation.result
        for subject, version in result.versions.items():
            self._writers[subject][version, 0] = node
        for write in commit.writes:
            if isinstance(write, Delete):
                self._writers[write.collection, write.key][write.expected, 1] = node
        for event in commit.events:
            version = event.version or result.versions.get((event.collection, event.key), 0)
            self._events[event.collection, event.key, version, event.ordinal] = node
        return node

    def _add_grant(self, operation: StoreOperation, subject: Subject, record: Record) -> None:
        if record.grant is None:  # its holder wrote it, and repeated the claim
            self._read(subject, record.version, operation)
            return
        writers = self._writers[subject]
        if (record.version, 0) not in writers:
            writers[record.version, 0] = self._node(operation)
        claim: Any = operation.argument
        self._grants[claim.collection, claim.claim_id].append(writers[record.version, 0])
        writers[record.version, 0].called_by(operation)

    def _read(self, subject: Subject, version: int, operation: StoreOperation) -> None:
        node = self._node(operation)
        self._readers[subject].setdefault((version, 0), []).append(node)

    def _node(self, operation: StoreOperation | None) -> _Node:
        node = _Node()
        if operation is not None:
            node.called_by(operation)
        self.nodes.append(node)
        return node


def _contradiction(nodes: Sequence[_Node]) -> Refuted[StoreOperation] | None:
    """Give every node a place; if no node can have the next one, return the reason."""
    ready = [(node.invoked, number) for number, node in enumerate(nodes) if not node.blocked_by]
    returns = [(node.ends, number) for number, node in enumerate(nodes)]
    numbers = {id(node): number for number, node in enumerate(nodes)}
    heapify(ready)
    heapify(returns)
    while returns:
        ends, number = returns[0]
        if nodes[number].placed:
            heappop(returns)
            continue
        if not ready or ready[0][0] > ends:
            return _explained(nodes[number])
        placed = nodes[heappop(ready)[1]]
        placed.placed = True
        for node in placed.after:
            node.blocked_by -= 1
            if not node.blocked_by:
                heappush(ready, (node.invoked, numbers[id(node)]))
    return None


def _explained(last: _Node) -> Refuted[StoreOperation]:
    """Walk back from a node without a place, to the nodes that it waits for."""
    chain = [last]
    seen = {id(last)}
    for node in _back_from(last):
        chain.append(node)
        if id(node) in seen:
            reason = "each was stamped before the next one, and the last one before the first"
            break
        seen.add(id(node))
    else:
        reason = (
            "each was stamped before the next one, but the last one had returned before the first "
            "one was called"
        )
    operations = (node.operation for node in reversed(chain))
    return Refuted(reason, tuple(operation for operation in operations if operation is not None))


def _back_from(node: _Node) -> Iterator[_Node]:
    while node.blocked_by:
        node = next(item for item in node.before if not item.placed)
        yield node
