"""The translation of errors from redis-py and Redis to those of this library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    MaxConnectionsError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)

from cicd_core.errors import (
    CicdError,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
    UnsupportedCapability,
)

if TYPE_CHECKING:
    from collections.abc import Callable

#: Answers that mean that another server may be the right one: a new connection is opened.
_ELSEWHERE: Final = (
    AskError,  # a MovedError is one too
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    ReadOnlyError,
)
#: Errors if a script's user may not run a command of the script: Valkey's, and Redis 7.0's.
_ACL_IN_SCRIPT: Final = ("ACL failure in script", "The user executing the script")
#: The beginnings of errors of a server that cannot run a call now, but may soon.
_LATER: Final = ("BUSY", "NOREPLICAS")


def is_unknown_script(answer: object) -> bool:
    """Whether the server does not know a script (yet, or any more), and so did not run it."""
    return isinstance(answer, NoScriptError)


def points_elsewhere(answer: object) -> bool:
    """Whether an answer means that this is the wrong server, or that it is not ready."""
    return isinstance(answer, _ELSEWHERE)


def closed(where: str) -> StoreUnavailable:
    """Return the error of a call to a store that was closed."""
    return StoreUnavailable(
        f"the store on {where} is closed: open it again; whether the call took effect is unknown"
    )


def broken(where: str, cause: BaseException) -> StoreError:
    """Return the error of a call that met unexpected behaviour of the driver or the server."""
    first = _first_of(cause)
    error = StoreError(
        f"cannot talk to {where} ({_text(first)}): whether the call took effect is "
        f"unknown; check the options, and that a Redis or Valkey server listens there"
    )
    error.__cause__ = first
    return error


def lost(where: str, cause: BaseException) -> StoreUnavailable:
    """Return the error of a call that was sent, but will get no answer."""
    error = StoreUnavailable(
        f"the connection to {where} was lost before it answered ({_text(cause)}): whether the call "
        f"took effect is unknown; repeat it with the same id"
    )
    error.__cause__ = cause
    return error


def unreachable(where: str, cause: BaseException | None, seconds: float) -> StoreUnavailable:
    """Return the error of a call that was never sent."""
    because = f" ({_text(cause)})" if cause else ""
    error = StoreUnavailable(
        f"{where} could not be reached for {seconds:g} s{because}: nothing was written; try again"
    )
    error.__cause__ = cause
    return error


def unheard(where: str, cause: BaseException, *, fails_over: bool) -> BaseException:
    """Return the error of a wait while the server cannot be listened to."""
    error = translated(cause, where, fails_over=fails_over)
    if not isinstance(error, StoreUnavailable):
        return error
    deaf = StoreUnavailable(
        f"cannot listen to {where} ({_text(cause)}): check for work, then wait again"
    )
    deaf.__cause__ = cause
    return deaf


def unconfirmed(
    where: str, confirmed: int | BaseException, wanted: int, seconds: float
) -> StoreUnavailable:
    """Return the error of a write that too few replicas have confirmed.

    ``confirmed`` is the number of replicas that have, or the error that hides it.
    """
    if isinstance(confirmed, BaseException):
        found = f"its replicas did not answer ({_text(confirmed)})"
    else:
        found = f"{confirmed} of {wanted} replicas confirmed it within {seconds:g} s"
    error = StoreUnavailable(
        f"{where} answered, but {found}: a failover may undo the call; check the replicas, and "
        f"repeat the call with the same id"
    )
    error.__cause__ = confirmed if isinstance(confirmed, BaseException) else None
    return error


def translated(cause: BaseException, where: str, *, fails_over: bool = False) -> BaseException:
    """Return the library's error for ``cause``, with ``cause`` as its cause.

    An error of the library, a cancellation, or any other exception that no driver raised is
    returned unchanged. With failover (``fails_over``), a replica's refusal is temporary.
    """
    if isinstance(cause, CicdError) or not isinstance(cause, RedisError | OSError):
        return cause
    error: StoreError
    if isinstance(cause, ReadOnlyError) and fails_over:
        error = _not_now(where, cause)
    elif isinstance(cause, AskError) and not fails_over:  # a MovedError is one too
        error = of_a_cluster(where, _text(cause))
    elif isinstance(cause, tuple(_MEANINGS)):
        error = next(mean for kind, mean in _MEANINGS.items() if isinstance(cause, kind))(
            where, cause
        )
    elif isinstance(cause, ResponseError):
        error = _answered(cause, where)
    else:
        return lost(where, cause)
    error.__cause__ = cause
    return error


def _answered(cause: ResponseError, where: str) -> StoreError:
    says = str(cause)
    if says.startswith("MISCONF"):
        return _cannot_persist(where, cause)
    if any(refusal in says for refusal in _ACL_IN_SCRIPT):
        return _forbidden(where, cause)
    if "access a non local key" in says:
        return _moving(where, cause)
    if says.startswith(_LATER):
        return _not_now(where, cause)
    known = "nothing was written; check the URL and the server's settings"
    if "script:" in says:  # it ended half-way, which no key of this library can cause
        known = (
            "whether any of it took effect is unknown; check the key in this message, then "
            "repeat the call with the same id"
        )
    return StoreError(f"{where} refused the command ({says}): {known}")


def _not_now(where: str, cause: Exception) -> StoreUnavailable:
    return StoreUnavailable(
        f"{where} cannot answer now ({_text(cause)}): nothing was written; try again"
    )


def _moving(where: str, cause: Exception) -> StoreUnavailable:
    return StoreUnavailable(
        f"the namespace's slot is moving away from {where} ({_text(cause)}): nothing was written; "
        f"try again later"
    )


def _full(where: str, cause: Exception) -> StoreFull:
    return StoreFull(
        f"{where} is out of memory ({_text(cause)}): nothing was written; raise its maxmemory, "
        f"or shorten the retention"
    )


def _cannot_persist(where: str, cause: Exception) -> StoreReadOnly:
    return StoreReadOnly(
        f"{where} refuses writes, since it cannot write to its disk ({_text(cause)}): nothing was "
        f"written; check its disk"
    )


def _read_only(where: str, cause: Exception) -> StoreReadOnly:
    return StoreReadOnly(
        f"{where} is a replica and refuses writes ({_text(cause)}): nothing was written; use the "
        f"URL of the primary, or of the sentinels"
    )


def of_a_cluster(where: str, reason: str) -> UnsupportedCapability:
    """Return the error of a URL that names a node of a cluster as a single server."""
    return UnsupportedCapability(
        f"{where} is a node of a cluster ({reason}): use the URL of the cluster, "
        f"redis+cluster://{where}"
    )


def _forbidden(where: str, cause: Exception) -> UnsupportedCapability:
    return UnsupportedCapability(
        f"{where} denies a right that the store needs ({_text(cause)}): nothing was written; give "
        f"its user the rights listed in 'Run on Redis' in the documentation, and repeat the call "
        f"with the same id"
    )


def _wrong_credentials(where: str, cause: Exception) -> UnsupportedCapability:
    return UnsupportedCapability(
        f"{where} refused the credentials ({_text(cause)}): check the user and the password"
    )


def _first_of(cause: BaseException) -> BaseException:
    """Return the first error of a group, at any depth; return any other error unchanged."""
    inner: tuple[BaseException, ...] = getattr(cause, "exceptions", ())
    return _first_of(inner[0]) if inner else cause


def _text(cause: BaseException) -> str:
    return str(cause) or type(cause).__name__


#: In this order: the first class that matches.
_MEANINGS: Final[dict[type[Exception], Callable[[str, Exception], StoreError]]] = {
    OutOfMemoryError: _full,
    ReadOnlyError: _read_only,
    NoPermissionError: _forbidden,
    AuthenticationError: _wrong_credentials,
    AuthorizationError: _wrong_credentials,
    AskError: _not_now,
    BusyLoadingError: _not_now,
    ClusterDownError: _not_now,
    MasterDownError: _not_now,
    TryAgainError: _not_now,
    MaxConnectionsError: _not_now,
}
