"""Lets errors be copied, pickled, and raised in other processes."""

from __future__ import annotations

from typing import Any, Final

#: The types whose values are the same in every process.
PLAIN: Final = frozenset({type(None), bool, int, float, str, bytes})


def reduced(error: BaseException) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """Return how pickle and copy restore an error: from its message, without its constructor.

    It is for classes whose constructor builds the message from several arguments.
    """
    return _again, (type(error), error.args), dict(vars(error))


def _again(kind: type[BaseException], arguments: tuple[Any, ...]) -> BaseException:
    error = kind.__new__(kind, *arguments)
    error.args = arguments  # an OSError sets them only in its constructor
    return error
