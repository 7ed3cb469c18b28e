"""Forms that pages send."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from cicd_core.errors import InvalidInput
from cicd_core.http.server.bodies import BadRequest, read_whole
from cicd_core.http.wire.problems import WRONG_MEDIA_TYPE
from cicd_core.values import frozen

if TYPE_CHECKING:
    from starlette.requests import Request

_URLENCODED: Final = "application/x-www-form-urlencoded"
#: More fields than any form of a page has.
_MOST_FIELDS: Final = 1_100
#: The field of a form by that of the service that it fills in.
_FIELDS: Final = {
    "agent_id": "agent",
    "deployment_id": "deployment",
    "error_message": "reason",
    "job_id": "job",
    "key_id": "key",
    "session_id": "session",
}


@frozen
class Form:
    """The fields of a form, each with all of its values; an empty value counts as missing."""

    fields: tuple[tuple[str, str], ...]

    def text(self, name: str) -> str | None:
        """Return the first value of a field; None: it is missing."""
        return next((value for field, value in self.fields if field == name), None)

    def required(self, name: str) -> str:
        """Return the first value of a field.

        Raises:
            InvalidInput: it is missing.
        """
        value = self.text(name)
        if value is None:
            raise InvalidInput(name, "", "fill it in")
        return value

    def every(self, name: str) -> tuple[str, ...]:
        """Return the distinct values of a field, in their order."""
        return tuple(dict.fromkeys(value for field, value in self.fields if field == name))


async def read_form(request: Request) -> Form:
    """Return the form in a request.

    Raises:
        BadRequest: it is not a form, or arrives too slowly.
        TooLarge: it has more than 1 MiB.
        InvalidInput: it has more fields than any page sends, or is not UTF-8.
    """
    said = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if said != _URLENCODED:
        raise BadRequest(WRONG_MEDIA_TYPE, f"the content type {said!r} is not a form of this page")
    body = await read_whole(request)
    try:
        pairs = parse_qsl(body.decode("ascii"), max_num_fields=_MOST_FIELDS, errors="strict")
    except ValueError:
        raise InvalidInput("body", ..., "send a form of this page") from None
    return Form(tuple(pairs))


def in_words_of_forms(wrong: InvalidInput) -> InvalidInput:
    """Return the error of a service, with the name that its field has in a form."""
    name = _FIELDS.get(wrong.field, wrong.field)
    wrong.args = (name + str(wrong).removeprefix(wrong.field),)
    wrong.field = name
    return wrong
