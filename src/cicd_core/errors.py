"""Every error that cicd_core raises, in one tree.

::

    CicdError
    ├── InvalidInput             a field of the request is wrong (also a ValueError)
    │   ├── TooLarge             a body, a payload or a list is over its limit
    │   └── InvalidCursor        a cursor that is damaged, or belongs to another query
    ├── NotFound                 no such job, deployment, agent, pool, … (also a LookupError)
    ├── OperationRejected        well-formed, but not allowed now
    │   ├── IllegalTransition    the state machine has no such edge; says which edges it has
    │   ├── LeaseLost            the token is not the one that owns the job
    │   ├── IdempotencyConflict  the same idempotency key with another body
    │   ├── AlreadyExists        an entity with that id is there
    │   ├── TooManyLanes         a pool has no room for another kind of work
    │   ├── AgentReplaced        another process has registered under the agent's id
    │   ├── AgentUnavailable     an agent that is unhealthy, or goes, takes no work (``retryable``)
    │   └── SessionRejected      unknown, expired or logged out
    └── StoreError               the store could not do its part (``retryable``, ``recoverable``)
        ├── StoreUnavailable     try again: locked, disconnected, busy
        ├── StoreClosed          it was closed, or belongs to the process that this one forked from
        ├── StoreReplaced        its files were replaced or removed under this process (permanent)
        ├── StoreFull            no room left; nothing was written (``recoverable``)
        ├── StoreReadOnly        the file or the server takes no writes (``recoverable``)
        ├── TooManyConflicts     gave up after repeated conflicts
        ├── CorruptRecord        bytes that do not decode (``recoverable``)
        ├── UnsupportedCapability  this store, or this event loop, cannot do that (permanent)
        ├── UnknownScheme        no store is registered for a URL's scheme (permanent)
        ├── UnrecognizedDatabase  a database that is not ours (permanent)
        ├── SchemaTooNew         written by a newer version of the library (permanent)
        └── SchemaTooOld         written by an older version, which this one can't read (permanent)

``retryable`` says that the same call may succeed in a moment; ``recoverable`` that it may after an
operator did something. What is neither is permanent: waiting does not help.

Each error carries what it speaks of as attributes, and its message says what was refused, why,
and what to do instead. It can be copied, pickled and raised in another process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from cicd_core.redaction import redacted_url, shown_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class CicdError(Exception):
    """The root of the tree: catch this to catch everything that the library raises."""

    #: Whether the same call may succeed when it is made again, unchanged, in a moment.
    retryable: ClassVar[bool] = False
    #: Whether waiting may help: what stands in the way may pass by itself or by an operator's hand.
    #: A process that is to live for long, such as an agent, waits and tries again.
    recoverable: ClassVar[bool] = False

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Let it be copied, and travel between processes, with its message and attributes."""
        return reduced(self)


class InvalidInput(CicdError, ValueError):
    """A field of the request is wrong; nothing was written."""

    def __init__(self, field: str, value: object, reason: str) -> None:
        """Name the field, show the value (shortened), and say what is expected instead.

        A text loses the credentials of URLs in it.
        """
        super().__init__(f"{field}: {shown_value(value)} was refused: {reason}")
        self.field = field
        #: In a copy, and in another process, its text as the message has it, unless it is plain.
        self.value = redacted_url(value) if isinstance(value, str) else value
        self.reason = reason

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Travel without a value that may not be able to: it is anything that a caller gave."""
        make, arguments, state = reduced(self)
        if type(self.value) not in _PLAIN:
            state = {**state, "value": shown_value(self.value)}
        return make, arguments, state


class TooLarge(InvalidInput):
    """Something is over its limit of bytes or items."""

    def __init__(self, field: str, size: int, limit: int, unit: str = "bytes") -> None:
        """Say how large it is and how large it may be."""
        super().__init__(field, size, f"{size} {unit} is over the limit of {limit} {unit}")
        self.size = size
        self.limit = limit


class InvalidCursor(InvalidInput):
    """A cursor that is damaged, of a wrong type, or was given by another query."""

    def __init__(self, cursor: object, reason: str) -> None:
        """Say what is wrong with it."""
        super().__init__("cursor", cursor, f"{reason}; start again without a cursor")


class NotFound(CicdError, LookupError):
    """There is no such entity, or its retention has ended."""

    def __init__(self, kind: str, key: str) -> None:
        """Name the kind of entity and the key that was asked for."""
        super().__init__(f"no {kind} {key!r}: it never existed, or its retention has ended")
        self.kind = kind
        self.key = key


class OperationRejected(CicdError):
    """The request is well-formed, but is not allowed now; nothing was written."""


class IllegalTransition(OperationRejected):
    """The state machine has no edge for that command from that state."""

    def __init__(  # noqa: PLR0917 - positional, as exceptions are pickled
        self,
        kind: str,
        key: str,
        command: str,
        state: str,
        legal: Iterable[str],
        why: str = "",
    ) -> None:
        """Say from where, by which command, and which commands are legal there."""
        self.kind = kind
        self.key = key
        self.command = command
        self.state = state
        self.legal = tuple(sorted(legal))
        choices = ", ".join(self.legal) or "none: that state is final"
        because = f" ({why})" if why else ""
        super().__init__(
            f"{kind} {key!r} is {state}: {command!r} is not legal there{because}; "
            f"legal from {state}: {choices}"
        )


class LeaseLost(OperationRejected):
    """The token presented is not the one that owns the job now.

    Stop the work, clean up, and forget the job: another owner may be running it.
    """

    def __init__(self, job_id: str, fence: int, reason: str) -> None:
        """Name the job and the fence that was presented, and say why it no longer holds."""
        super().__init__(
            f"job {job_id!r}: the lease with fence {fence} does not hold: {reason}; "
            f"stop the work and drop its result, the queue has already taken care of the job"
        )
        self.job_id = job_id
        self.fence = fence
        self.reason = reason


class IdempotencyConflict(OperationRejected):
    """An idempotency key was used before, with another body."""

    def __init__(self, key: str, job_id: str) -> None:
        """Name the key and the job that it made the first time."""
        super().__init__(
            f"idempotency key {key!r} already made job {job_id!r} from another body; "
            f"send the same body again, or choose a new key"
        )
        self.key = key
        self.job_id = job_id


class AlreadyExists(OperationRejected):
    """An entity with that id is there already."""

    def __init__(self, kind: str, key: str) -> None:
        """Name the kind and the key."""
        super().__init__(f"{kind} {key!r} exists already; choose another id, or update that one")
        self.kind = kind
        self.key = key


class TooManyLanes(OperationRejected):
    """A pool has as many lanes (job type and labels) as one may have."""

    def __init__(self, pool_name: str, limit: int) -> None:
        """Name the pool and the limit."""
        super().__init__(
            f"pool {pool_name!r} has {limit} lanes, the most that one may have; use fewer distinct "
            f"combinations of job type and labels, or another pool"
        )
        self.pool_name = pool_name
        self.limit = limit


class AgentReplaced(OperationRejected):
    """Another process has registered under the agent's id since: this one must stop."""

    def __init__(self, agent_id: str, incarnation: str) -> None:
        """Name the agent, and the incarnation that was replaced."""
        super().__init__(
            f"agent {agent_id!r}: another process has registered under this id since incarnation "
            f"{incarnation!r}; stop this one, or give it an id of its own"
        )
        self.agent_id = agent_id
        self.incarnation = incarnation


class AgentUnavailable(OperationRejected):
    """The agent is unhealthy, drains or has gone: it takes no work as long as that lasts."""

    retryable = True
    recoverable = True

    def __init__(self, agent_id: str, status: str, reason: str | None) -> None:
        """Name the agent, say how it is, and why."""
        because = f" ({reason})" if reason else ""
        super().__init__(
            f"agent {agent_id!r} is {status}{because} and takes no work; claim again when its "
            f"heartbeats have made it better, or register it anew if it was to go"
        )
        self.agent_id = agent_id
        self.status = status
        self.reason = reason


class SessionRejected(OperationRejected):
    """The session's token is unknown, expired or logged out."""

    def __init__(self, reason: str) -> None:
        """Say why, without a word about the token itself."""
        super().__init__(f"the session was rejected: {reason}; log in again")
        self.reason = reason


class StoreError(CicdError):
    """The store could not do its part; what it says of itself is taken to pass until named here."""

    retryable = True
    recoverable = True


class StoreUnavailable(StoreError):
    """The store did not answer, or is busy: whether the call took effect may be unknown."""


class StoreClosed(StoreError):
    """The store was closed, or was opened by another process, of which this one is a fork.

    Open a store of your own; this one stays closed.
    """

    retryable = False
    recoverable = False


class StoreReplaced(StoreError):
    """A file of the store was replaced or removed under this process: by a restore, say.

    The process must end: it would go on with files that no other process sees.
    """

    retryable = False
    recoverable = False

    def __init__(self, store: str, file: str) -> None:
        """Name the store, and the file that is another one now or gone."""
        super().__init__(
            f"{file!r} was replaced or removed while this process had the store on {store!r} open: "
            f"other processes do not see what this one writes since; stop all processes that use "
            f"it, put the files in order, and start them again"
        )
        self.store = store
        self.file = file


class StoreFull(StoreError):
    """There is no room left for the write; nothing of it was kept."""

    retryable = False


class StoreReadOnly(StoreError):
    """The file or the server takes no writes."""

    retryable = False


class TooManyConflicts(StoreError):
    """Other writers were always first; the service gave up after a bounded number of attempts."""

    def __init__(self, keys: Sequence[str], attempts: int) -> None:
        """Name the records that conflicted and how often it was tried."""
        super().__init__(
            f"gave up after {attempts} conflicts on {', '.join(keys)}: other writers were always "
            f"first; nothing was written, try again"
        )
        self.keys = tuple(keys)
        self.attempts = attempts


class CorruptRecord(StoreError):
    """The bytes of a record do not decode; they were left as they are."""

    retryable = False

    def __init__(self, collection: str, key: str, reason: str) -> None:
        """Name the record and say what did not decode."""
        super().__init__(
            f"record {key!r} of {collection!r} does not decode: {reason}; it was left untouched, "
            f"restore it from a backup or delete it"
        )
        self.collection = collection
        self.key = key
        self.reason = reason


class UnsupportedCapability(StoreError):
    """This store, or the event loop it runs on, cannot do that."""

    retryable = False
    recoverable = False


class UnknownScheme(StoreError):
    """No store is registered for the scheme of a URL."""

    retryable = False
    recoverable = False

    def __init__(self, scheme: str, known: Iterable[str], install: str = "") -> None:
        """Name the scheme, those that are known, and what to install."""
        self.scheme = scheme
        self.known = tuple(sorted(known))
        hint = f"; {install}" if install else ""
        super().__init__(
            f"no store is registered for {scheme + '://'!r}; known: "
            f"{', '.join(name + '://' for name in self.known)}{hint}"
        )


class UnrecognizedDatabase(StoreError):
    """The database is not one of ours, and was left as it is."""

    retryable = False
    recoverable = False


class SchemaTooNew(StoreError):
    """The data was written by a newer version of the library, and was left as it is."""

    retryable = False
    recoverable = False

    def __init__(self, what: str, found: int, supported: int) -> None:
        """Say which version was found and which one this library reads."""
        super().__init__(
            f"{what} has schema version {found}, this library reads up to {supported}; "
            f"upgrade cicd-core, nothing was changed"
        )
        self.found = found
        self.supported = supported


class SchemaTooOld(StoreError):
    """The data was written in a layout that this library can't read any more; it was left so."""

    retryable = False
    recoverable = False

    def __init__(self, what: str, found: int, oldest: int) -> None:
        """Say which version was found, and which is the oldest that this library reads."""
        super().__init__(
            f"{what} has schema version {found}, this library reads {oldest} and newer; use the "
            f"version of cicd-core that wrote it, or start with an empty store; nothing was changed"
        )
        self.found = found
        self.oldest = oldest


def reduced(error: BaseException) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """Return how pickle and copy make an error again: by its message, not by its constructor.

    For classes whose constructor makes the message of several arguments.
    """
    return _again, (type(error), error.args), dict(vars(error))


def _again(kind: type[BaseException], arguments: tuple[Any, ...]) -> BaseException:
    return kind.__new__(kind, *arguments)


#: What is the same in every process.
_PLAIN = frozenset({type(None), bool, int, float, str, bytes})
