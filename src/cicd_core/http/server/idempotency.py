"""``Idempotency-Key``: a request that is repeated after its answer was lost makes nothing new.

The header makes what the services already know: a job's idempotency key, and a deployment's id.
The same key with another request is refused. Each caller has keys of its own: two that count their
builds alike neither block each other nor get each other's jobs.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from cicd_core.errors import InvalidInput
from cicd_core.model.checks import check_label

if TYPE_CHECKING:
    from cicd_core.http.server.routing import Call

#: The name of the header.
HEADER: Final = "idempotency-key"
#: How many characters stand for a caller.
_MARK: Final = 16


def key_of(call: Call, given: str | None) -> str | None:
    """Return the key of a request; None: it has none.

    The one in the body is the store's, as in a program: all callers share it. The header's is the
    caller's own.

    Raises:
        InvalidInput: the two differ, or the header is empty.
        TooLarge: the header is too long.
    """
    key = _said(call)
    if key is None:
        return given
    if given is None:
        return check_label(HEADER, _of_caller(call, key))
    if given != key:
        reason = "the body has another idempotency_key: give only one, or the same key"
        raise InvalidInput(HEADER, key, reason)
    return given


def deployment_id_of(call: Call, given: str | None) -> str | None:
    """Return the id of a deployment to be made: the body's, or one that follows from the key.

    Raises:
        InvalidInput: there are both, or the header is empty.
        TooLarge: the header is too long.
    """
    key = _said(call)
    if key is None:
        return given
    if given is not None:
        reason = "a deployment_id makes the request safe to repeat: omit the header"
        raise InvalidInput(HEADER, key, reason)
    whole = _of_caller(call, key).encode("utf-8", "surrogatepass")
    return f"key-{hashlib.sha256(whole).hexdigest()[:32]}"


def _said(call: Call) -> str | None:
    said = call.request.headers.get(HEADER)
    return None if said is None else check_label(HEADER, _unquoted(said))


def _of_caller(call: Call, key: str) -> str:
    """Return a key that no other caller has, with a mark of this one before it."""
    name = call.principal.name.encode("utf-8", "surrogatepass")
    return f"{hashlib.sha256(name).hexdigest()[:_MARK]}/{key}"


def _unquoted(text: str) -> str:
    """Return the key in a header: the draft standard has it in quotes, many senders don't."""
    is_quoted = len(text) > 1 and text[0] == text[-1] == '"'
    return text[1:-1] if is_quoted else text
