"""Every error that cicd_core raises, in one tree.

::

    CicdError
    ├── InvalidInput             a field of the request is wrong (also a ValueError)
    │   ├── TooLarge             a body, a payload or a list is over its limit
    │   └── InvalidCursor        a cursor that is damaged, or belongs to another query
    ├── NotFound                 no such job, deployment, agent, pool, … (also a LookupError)
    ├── WaitTimedOut             a job still runs after the time of a wait (also a TimeoutError)
    ├── OperationRejected        well-formed, but not allowed now
    │   ├── IllegalTransition    the state machine has no such edge; lists the legal ones
    │   ├── LeaseLost            the token does not own the job
    │   ├── IdempotencyConflict  the same idempotency key with another body
    │   ├── AlreadyExists        an entity with that id exists
    │   ├── TooManyLanes         a pool has its maximum of lanes
    │   ├── AgentReplaced        another process registered with the agent's id
    │   ├── ChangedMeanwhile     the entity changed after the caller read it
    │   ├── LogOffsetMismatch    bytes for a log do not start at its end
    │   ├── AgentUnavailable     an unhealthy or leaving agent takes no work (``retryable``)
    │   │   └── AgentDeregistered  it has gone for good, and must register again
    │   ├── SessionRejected      the session is unknown, expired or logged out
    │   ├── NotAuthenticated     the caller has no credentials, or unknown ones
    │   └── NotPermitted         the caller is known, but may not do that
    └── StoreError               the store failed (``retryable``, ``recoverable``)
        ├── StoreUnavailable     try again: locked, disconnected, busy
        ├── StoreClosed          it is closed, or belongs to the parent of this forked process
        ├── StoreReplaced        its files were replaced or removed under this process (permanent)
        ├── StoreFull            no space left; nothing was written (``recoverable``)
        ├── StoreReadOnly        the file or the server refuses writes (``recoverable``)
        ├── TooManyConflicts     gave up after repeated conflicts
        ├── CorruptRecord        bytes that do not decode (``recoverable``)
        ├── UnsupportedCapability  this store, or this event loop, cannot do that (permanent)
        ├── UnknownScheme        no store is registered for a URL's scheme (permanent)
        ├── UnrecognizedDatabase  a database of another program (permanent)
        ├── SchemaTooNew         written by a newer version of the library (permanent)
        └── SchemaTooOld         written by a version too old to read (permanent)

``retryable`` means that the same call may succeed in a moment; ``recoverable`` means that it may
succeed after an operator acts. An error that is neither is permanent: waiting does not help.

Each error has its subject as attributes. Its message names the refused value, the reason and the
next step. You can copy it, pickle it and raise it in another process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from cicd_core.redaction import redacted_url, shown_value
from cicd_core.travelling import PLAIN, reduced

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class CicdError(Exception):
    """The root of the tree: catch it to catch every error of the library."""

    #: Whether the same call may succeed if it is repeated, unchanged, in a moment.
    retryable: ClassVar[bool] = False
    #: Whether waiting may help: the cause may be temporary, or an operator may remove it.
    #: A long-lived process, such as an agent, waits and tries again.
    recoverable: ClassVar[bool] = False

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Let copies, and pickles to other processes, keep the message and attributes."""
        return reduced(self)


class InvalidInput(CicdError, ValueError):
    """A field of the request is wrong; nothing was written."""

    def __init__(self, field: str, value: object, reason: str) -> None:
        """Name the field, show the value (shortened), and say which value is expected.

        Credentials of URLs are removed from a text. ``...`` stands for a value that is missing, or
        that must not be shown.
        """
        shown = "" if value is ... else f"{shown_value(value)} was refused: "
        super().__init__(f"{field}: {shown}{reason}")
        self.field = field
        #: In a copy, and in another process: the text from the message, unless it is plain.
        self.value = redacted_url(value) if isinstance(value, str) else value
        self.reason = reason

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Replace a value that may not pickle: a caller may give any object."""
        make, arguments, state = reduced(self)
        if type(self.value) not in PLAIN:
            state = {**state, "value": shown_value(self.value)}
        return make, arguments, state


class TooLarge(InvalidInput):
    """A value is over its limit of bytes or items."""

    def __init__(self, field: str, size: int, limit: int, unit: str = "bytes") -> None:
        """Give the size and the limit."""
        super().__init__(field, size, f"{size} {unit} is over the limit of {limit} {unit}")
        self.size = size
        self.limit = limit


class InvalidCursor(InvalidInput):
    """A cursor that is damaged, of a wrong type, or belongs to another query."""

    def __init__(self, cursor: object, reason: str) -> None:
        """Describe the fault of the cursor."""
        super().__init__("cursor", cursor, f"{reason}; start again without a cursor")


class NotFound(CicdError, LookupError):
    """The entity does not exist: it was never created, has expired or was deleted."""

    def __init__(self, kind: str, key: str) -> None:
        """Name the kind of entity and the requested key."""
        end = "been deleted" if kind == "pool" else "expired"  # a pool has no retention
        super().__init__(f"{kind} {key!r} not found; check the id (it may have {end})")
        self.kind, self.key = kind, key


class WaitTimedOut(CicdError, TimeoutError):
    """A job did not end within the time of a wait; it still runs."""

    def __init__(self, job_id: str, state: str, seconds: float) -> None:
        """Name the job, its state at the last look, and the time that has passed."""
        super().__init__(
            f"job {job_id!r} is still {state} after {seconds:g} s; wait again, or call "
            f"jobs.why() to see the cause"
        )
        self.job_id = job_id
        self.state = state
        self.seconds = seconds


class OperationRejected(CicdError):
    """The request is well-formed, but not allowed now; nothing was written."""


class IllegalTransition(OperationRejected):
    """The state machine has no edge for that command from that state."""

    def __init__(  # noqa: PLR0917 - positional, as exceptions are pickled
        self,
        kind: str,
        key: str,
        command: str,
        state: str,
        legal: Iterable[str],
        reason: str = "",
    ) -> None:
        """Name the state, the command, and the legal commands."""
        self.kind = kind
        self.key = key
        self.command = command
        self.state = state
        self.legal = tuple(sorted(legal))
        choices = ", ".join(self.legal) or "none, since the state is final"
        because = f" ({reason})" if reason else ""
        super().__init__(
            f"{kind} {key!r} is {state}: {command!r} is not legal in that state{because}; "
            f"legal from {state}: {choices}"
        )


class LeaseLost(OperationRejected):
    """The lease token does not own the job now.

    Stop the work, clean up, and drop the result: another agent may be running the job.
    """

    def __init__(self, job_id: str, fence: int, reason: str) -> None:
        """Name the job and the fencing token, and say why it is no longer valid."""
        super().__init__(
            f"job {job_id!r}: the lease with fence {fence} is not valid: {reason}; "
            f"stop the work and drop its result; the queue has already handled the job"
        )
        self.job_id = job_id
        self.fence = fence
        self.reason = reason


class IdempotencyConflict(OperationRejected):
    """The idempotency key was used before, with another body."""

    def __init__(self, key: str, job_id: str) -> None:
        """Name the key and the job that it created the first time."""
        super().__init__(
            f"idempotency key {key!r} already created job {job_id!r} from another body; "
            f"send the same body again, or choose a new key"
        )
        self.key, self.job_id = key, job_id


class AlreadyExists(OperationRejected):
    """An entity with that id exists already."""

    def __init__(self, kind: str, key: str, advice: str = "choose another id") -> None:
        """Name the kind and the key, and give advice."""
        super().__init__(f"{kind} {key!r} exists already; {advice}")
        self.kind, self.key = kind, key


class TooManyLanes(OperationRejected):
    """A pool has its maximum of lanes (job type and labels)."""

    def __init__(self, pool_name: str, limit: int) -> None:
        """Name the pool and the limit."""
        super().__init__(
            f"pool {pool_name!r} has {limit} lanes, the maximum; use fewer distinct "
            f"combinations of job type and labels, or another pool"
        )
        self.pool_name, self.limit = pool_name, limit


class AgentReplaced(OperationRejected):
    """Another process has registered with the agent's id: this one must stop."""

    def __init__(self, agent_id: str, incarnation: str) -> None:
        """Name the agent, and the incarnation that was replaced."""
        super().__init__(
            f"agent {agent_id!r}: another process has registered with this id after incarnation "
            f"{incarnation!r}; stop this one, or give it another id"
        )
        self.agent_id, self.incarnation = agent_id, incarnation


class AgentUnavailable(OperationRejected):
    """The agent is unhealthy, draining or gone: it takes no work until that changes."""

    retryable = True
    recoverable = True
    remedy: ClassVar[str] = "claim again when its heartbeats show that it has recovered"

    def __init__(self, agent_id: str, status: str, reason: str | None) -> None:
        """Name the agent, its status, and the reason."""
        because = f" ({reason})" if reason else ""
        super().__init__(
            f"agent {agent_id!r} is {status}{because} and takes no work; {self.remedy}"
        )
        self.agent_id = agent_id
        self.status = status
        self.reason = reason


class AgentDeregistered(AgentUnavailable):
    """The agent is gone: it was deregistered, or went silent while it was draining."""

    retryable = False
    remedy = "register it again, or stop its process"


class ChangedMeanwhile(OperationRejected):
    """The entity has changed since the caller read it."""

    def __init__(self, kind: str, key: str) -> None:
        """Name the kind of entity and its key."""
        super().__init__(
            f"{kind} {key!r} was changed since you read it; read it again, then change it"
        )
        self.kind, self.key = kind, key


class SessionRejected(OperationRejected):
    """The session's token is unknown, expired or logged out."""

    def __init__(self, reason: str) -> None:
        """Give the reason; the message never contains the token."""
        super().__init__(f"the session was rejected: {reason}; log in again")
        self.reason = reason


class StoreError(CicdError):
    """The store failed. An error without a class of its own counts as temporary."""

    retryable = True
    recoverable = True

    def __init_subclass__(cls, *, permanent: bool = False) -> None:
        """Mark a class as permanent: waiting never helps."""
        if permanent:
            cls.retryable = cls.recoverable = False


class StoreUnavailable(StoreError):
    """The store did not answer, or is busy; whether the call took effect may be unknown."""


class StoreClosed(StoreError, permanent=True):
    """The store is closed, or was opened by the parent process of this forked process.

    Open a new store; this one stays closed.
    """


class StoreReplaced(StoreError, permanent=True):
    """A file of the store was replaced or removed while it was open, such as by a restore.

    The process must end: it would continue with files that no other process sees.
    """

    def __init__(self, store: str, file: str) -> None:
        """Name the store, and the file that was replaced or removed."""
        super().__init__(
            f"{file!r} was replaced or removed while this process had the store on {store!r} open: "
            f"other processes do not see its writes; stop all processes that use "
            f"the store, restore the files, and start the processes again"
        )
        self.store = store
        self.file = file


class StoreFull(StoreError):
    """There is no space left for the write; nothing was written."""

    retryable = False


class StoreReadOnly(StoreError):
    """The file or the server refuses writes."""

    retryable = False


class TooManyConflicts(StoreError):
    """Other writers were always first; the service gave up after a bounded number of attempts."""

    def __init__(self, keys: Sequence[str], attempts: int) -> None:
        """Name the conflicting records and the number of attempts."""
        super().__init__(
            f"gave up after {attempts} conflicts on {', '.join(keys)}: other writers were always "
            f"first; nothing was written, try again"
        )
        self.keys = tuple(keys)
        self.attempts = attempts


class CorruptRecord(StoreError):
    """The bytes of a record do not decode; they were not changed."""

    retryable = False

    def __init__(self, collection: str, key: str, reason: str) -> None:
        """Name the record, and the part that does not decode."""
        super().__init__(
            f"record {key!r} of {collection!r} does not decode: {reason}; it was left untouched, "
            f"restore it from a backup or delete it"
        )
        self.collection = collection
        self.key = key
        self.reason = reason


class UnsupportedCapability(StoreError, permanent=True):
    """This store, or the event loop it runs on, cannot do that."""


class UnknownScheme(StoreError, permanent=True):
    """No store is registered for the scheme of a URL."""

    def __init__(self, scheme: str, known: Iterable[str], install: str = "") -> None:
        """Name the scheme, the registered ones, and the package to install."""
        self.scheme = scheme
        self.known = tuple(sorted(known))
        hint = f"; {install}" if install else ""
        super().__init__(
            f"no store is registered for {scheme + '://'!r}; the registered ones are "
            f"{', '.join(name + '://' for name in self.known)}{hint}"
        )


class UnrecognizedDatabase(StoreError, permanent=True):
    """The database belongs to another program and was not changed."""


class SchemaTooNew(StoreError, permanent=True):
    """A newer version of the library wrote the data; it was not changed."""

    def __init__(self, what: str, found: int, supported: int) -> None:
        """Give the version of the data and the newest that this library reads."""
        super().__init__(
            f"{what} has schema version {found}, this library reads up to {supported}; "
            f"upgrade cicd-core, nothing was changed"
        )
        self.found = found
        self.supported = supported


class SchemaTooOld(StoreError, permanent=True):
    """The data has a layout that this library can no longer read; it was not changed."""

    def __init__(self, what: str, found: int, oldest: int) -> None:
        """Give the version of the data and the oldest that this library reads."""
        super().__init__(
            f"{what} has schema version {found}, this library reads {oldest} and newer; use the "
            f"version of cicd-core that wrote it, or start with an empty store; nothing was changed"
        )
        self.found = found
        self.oldest = oldest
