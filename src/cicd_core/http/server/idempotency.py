"""``Idempotency-Key``: a request repeated after a lost answer creates nothing new.

The header sets a job's idempotency key, or a deployment's id. The same key with another request is
refused. Each caller has keys of its own: two callers with the same build numbers neither block each
other nor get each other's jobs.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from cicd_core.errors import InvalidInput
from cicd_core.model.checks import check_label

if TYPE_CHECKING:
    from starlette.requests import Request

    from cicd_core.http.server.routing import Call

#: The name of the header.
HEADER: Final = "idempotency-key"
#: Number of characters that identify a caller.
_MARK: Final = 16


def key_of(call: Call, given: str | None) -> str | None:
    """Return the key of a request; None: it has none.

    A key in the body is shared by all callers, as in a program. A key in the header belongs to the
    caller.

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
    """Return the id of a new deployment: from the body, or derived from the key in the header.

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


def require_no_key(request: Request) -> None:
    """Check that a request has no key if its route creates something and does not support keys.

    Raises:
        InvalidInput: it has one; its caller would repeat it and create a duplicate.
    """
    if HEADER in request.headers:
        raise InvalidInput(HEADER, ..., "this route does not take the header: omit it")


def _said(call: Call) -> str | None:
    said = call.request.headers.get(HEADER)
    return None if said is None else check_label(HEADER, _unquoted(said))


def _of_caller(call: Call, key: str) -> str:
    """Return a key that no other caller has: it starts with a mark of this one."""
    name = call.principal.name.encode("utf-8", "surrogatepass")
    return f"{hashlib.sha256(name).hexdigest()[:_MARK]}/{key}"


def _unquoted(text: str) -> str:
    """Return the key in a header: the draft standard puts it into quotes, many clients don't."""
    is_quoted = len(text) > 1 and text[0] == text[-1] == '"'
    return text[1:-1] if is_quoted else text
