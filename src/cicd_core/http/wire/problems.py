"""Errors as problem documents (RFC 9457), and back: one class, one type, one status.

The ``type`` of a problem is stable: programs may rely on it. The attributes of an error (the field,
the legal alternatives, …) are further members, with the same names.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, cast

from cicd_core import errors
from cicd_core.errors import CicdError, InvalidInput
from cicd_core.job_logs.contract import LogOffsetMismatch
from cicd_core.model.principal import NotAuthenticated, NotPermitted
from cicd_core.redaction import shown_value
from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The media type of a problem document.
PROBLEM_JSON: Final = "application/problem+json"
#: The prefix of each ``type``.
PREFIX: Final = "urn:cicd-core:problem:"
#: Seconds after which a call that failed temporarily may be repeated.
RETRY_AFTER_SECONDS: Final = 1
#: The members that every problem has.
_STANDARD: Final = frozenset({"type", "title", "status", "detail", "instance"})


@frozen
class ProblemKind:
    """A kind of problem: the end of its ``type``, its status, and its title for people."""

    slug: str
    status: HTTPStatus
    title: str

    @property
    def uri(self) -> str:
        """The stable name of the kind: the ``type`` of its problems."""
        return f"{PREFIX}{self.slug}"


_H: Final = HTTPStatus

#: The kind of problem of each error of the library.
KINDS: Final[Mapping[type[CicdError], ProblemKind]] = {
    CicdError: ProblemKind("refused", _H.CONFLICT, "The request was refused"),
    errors.InvalidInput: ProblemKind(
        "invalid-input", _H.UNPROCESSABLE_ENTITY, "A field of the request is invalid"
    ),
    errors.TooLarge: ProblemKind(
        "too-large", _H.REQUEST_ENTITY_TOO_LARGE, "A value is over its limit"
    ),
    errors.InvalidCursor: ProblemKind(
        "invalid-cursor", _H.UNPROCESSABLE_ENTITY, "The cursor is damaged or of another query"
    ),
    errors.NotFound: ProblemKind("not-found", _H.NOT_FOUND, "The entity does not exist"),
    errors.WaitTimedOut: ProblemKind("wait-timed-out", _H.GATEWAY_TIMEOUT, "The wait timed out"),
    errors.OperationRejected: ProblemKind(
        "operation-rejected", _H.CONFLICT, "The request is not allowed now"
    ),
    errors.IllegalTransition: ProblemKind(
        "illegal-transition", _H.CONFLICT, "The state does not allow that command"
    ),
    errors.LeaseLost: ProblemKind("lease-lost", _H.CONFLICT, "The token does not own the job"),
    errors.IdempotencyConflict: ProblemKind(
        "idempotency-conflict", _H.UNPROCESSABLE_ENTITY, "The key was used with another body"
    ),
    errors.AlreadyExists: ProblemKind("already-exists", _H.CONFLICT, "The entity exists already"),
    errors.TooManyLanes: ProblemKind("too-many-lanes", _H.CONFLICT, "The pool has too many lanes"),
    errors.AgentReplaced: ProblemKind(
        "agent-replaced", _H.CONFLICT, "Another process registered with the agent's id"
    ),
    errors.ChangedMeanwhile: ProblemKind(
        "changed-meanwhile", _H.PRECONDITION_FAILED, "The entity has changed since it was read"
    ),
    LogOffsetMismatch: ProblemKind(
        "log-offset-mismatch",
        _H.REQUESTED_RANGE_NOT_SATISFIABLE,
        "The bytes do not start at the end of the log",
    ),
    errors.AgentUnavailable: ProblemKind(
        "agent-unavailable", _H.CONFLICT, "The agent takes no work now"
    ),
    errors.AgentDeregistered: ProblemKind(
        "agent-deregistered", _H.GONE, "The agent is deregistered, and must register again"
    ),
    errors.SessionRejected: ProblemKind(
        "session-rejected", _H.UNAUTHORIZED, "The session is unknown, expired or logged out"
    ),
    NotAuthenticated: ProblemKind("not-authenticated", _H.UNAUTHORIZED, "The caller is unknown"),
    NotPermitted: ProblemKind("not-permitted", _H.FORBIDDEN, "The caller may not do that"),
    errors.StoreError: ProblemKind("store-error", _H.SERVICE_UNAVAILABLE, "The store failed"),
    errors.StoreUnavailable: ProblemKind(
        "store-unavailable", _H.SERVICE_UNAVAILABLE, "The store did not answer"
    ),
    errors.StoreClosed: ProblemKind(
        "store-closed", _H.SERVICE_UNAVAILABLE, "The server is stopping"
    ),
    errors.StoreReplaced: ProblemKind(
        "store-replaced", _H.INTERNAL_SERVER_ERROR, "The store's files were replaced"
    ),
    errors.StoreFull: ProblemKind(
        "store-full", _H.INSUFFICIENT_STORAGE, "The store has no space left"
    ),
    errors.StoreReadOnly: ProblemKind(
        "store-read-only", _H.SERVICE_UNAVAILABLE, "The store refuses writes"
    ),
    errors.TooManyConflicts: ProblemKind(
        "too-many-conflicts", _H.SERVICE_UNAVAILABLE, "Other writers were always first"
    ),
    errors.CorruptRecord: ProblemKind(
        "corrupt-record", _H.INTERNAL_SERVER_ERROR, "A record does not decode"
    ),
    errors.UnsupportedCapability: ProblemKind(
        "unsupported-capability", _H.NOT_IMPLEMENTED, "The server cannot do that"
    ),
    errors.UnknownScheme: ProblemKind(
        "unknown-scheme", _H.INTERNAL_SERVER_ERROR, "No store is registered for that URL"
    ),
    errors.UnrecognizedDatabase: ProblemKind(
        "unrecognized-database", _H.INTERNAL_SERVER_ERROR, "The database belongs to another program"
    ),
    errors.SchemaTooNew: ProblemKind(
        "schema-too-new", _H.INTERNAL_SERVER_ERROR, "The data is newer than the server"
    ),
    errors.SchemaTooOld: ProblemKind(
        "schema-too-old", _H.INTERNAL_SERVER_ERROR, "The data is older than the server can read"
    ),
}

#: Problems of the request itself, which never reaches a service.
MALFORMED_BODY: Final = ProblemKind("malformed-body", _H.BAD_REQUEST, "The body is not valid JSON")
WRONG_MEDIA_TYPE: Final = ProblemKind(
    "wrong-media-type", _H.UNSUPPORTED_MEDIA_TYPE, "The body must be JSON"
)
TOO_SLOW: Final = ProblemKind("too-slow", _H.REQUEST_TIMEOUT, "The body did not arrive in time")
NO_ROUTE: Final = ProblemKind("no-such-route", _H.NOT_FOUND, "The route does not exist")
WRONG_METHOD: Final = ProblemKind(
    "method-not-allowed", _H.METHOD_NOT_ALLOWED, "The route does not have that method"
)
TOO_MANY: Final = ProblemKind("too-many-requests", _H.TOO_MANY_REQUESTS, "Too many requests wait")
RANGE_NOT_SATISFIABLE: Final = ProblemKind(
    "range-not-satisfiable", _H.REQUESTED_RANGE_NOT_SATISFIABLE, "There is nothing in that range"
)
WRONG_RANGE: Final = ProblemKind(
    "wrong-content-range", _H.BAD_REQUEST, "The header Content-Range does not fit the body"
)
INTERNAL: Final = ProblemKind(
    "internal-error", _H.INTERNAL_SERVER_ERROR, "The server failed; its log has the cause"
)

_BY_TYPE: Final = {kind.uri: error for error, kind in KINDS.items()}


def kind_of(error: CicdError) -> ProblemKind:
    """Return the kind of an error; a foreign class has the kind of its base class."""
    return next(KINDS[each] for each in type(error).__mro__ if each in KINDS)


def problem(
    kind: ProblemKind, detail: str, members: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return a problem document."""
    return {
        **(members or {}),
        "type": kind.uri,
        "title": kind.title,
        "status": int(kind.status),
        "detail": detail,
    }


def problem_of(error: CicdError) -> dict[str, Any]:
    """Return the problem document of an error, with the error's attributes."""
    said = {name: value for name, value in vars(error).items() if name not in _STANDARD}
    if isinstance(error, InvalidInput):
        said["value"] = _plain(error.value)
    # `status` is that of the problem; the status of an agent has another name.
    if "status" in vars(error):
        said["agent_status"] = str(vars(error)["status"])
    return problem(kind_of(error), str(error), said)


def error_of(document: object) -> CicdError | None:
    """Return the error of a problem document; None: its kind is unknown."""
    if not isinstance(document, dict):
        return None
    said = dict(cast("dict[str, Any]", document))
    kind = _BY_TYPE.get(str(said.get("type")))
    if kind is None:
        return None
    detail = str(said.get("detail", ""))
    error = kind.__new__(kind, detail)
    error.args = (detail,)  # an OSError takes them only in its constructor
    if "agent_status" in said:
        error.__dict__["status"] = said.pop("agent_status")
    members = {name: value for name, value in said.items() if name not in _STANDARD}
    vars(error).update({name: _as_in_errors(each) for name, each in members.items()})
    return error


def _as_in_errors(member: Any) -> Any:
    """Return a member as errors have it: with tuples in place of lists."""
    items = cast("list[Any]", member)
    return tuple(items) if isinstance(member, list) else member


def _plain(value: object) -> Any:
    """Return a value as JSON: values of other types become texts."""
    if value is ...:
        return None
    if value is None or isinstance(value, bool | int | str):
        return value if not isinstance(value, int) or abs(value) < 2**53 else shown_value(value)
    return shown_value(value)
