"""The needed parts of Terraform's language, in the layout of ``terraform fmt``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from cicd_core.values import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@frozen
class Expression:
    """An expression that is written unchanged, such as ``var.prefix``."""

    text: str


@frozen
class Attribute:
    """A name and its value."""

    name: str
    value: object


@frozen
class Block:
    """A block, such as ``resource "aws_dynamodb_table" "jobs" { … }``."""

    kind: str
    labels: tuple[str, ...]
    body: Sequence[Attribute | Block | None]


def rendered(parts: Iterable[Attribute | Block | None], depth: int = 0) -> str:
    """Return attributes and blocks as text; None is an empty line."""
    lines: list[str] = []
    run: list[Attribute] = []
    for part in parts:
        if isinstance(part, Attribute) and "\n" not in _value(part.value, depth):
            run.append(part)
            continue
        lines += _aligned(run, depth)
        run = []
        if part is None:
            lines.append("")
        elif isinstance(part, Attribute):
            lines.append(f"{_pad(depth)}{part.name} = {_value(part.value, depth)}")
        else:
            lines += _block(part, depth)
    return "\n".join([*lines, *_aligned(run, depth)])


def _block(block: Block, depth: int) -> list[str]:
    head = " ".join([block.kind, *(json.dumps(label) for label in block.labels)])
    body = rendered(block.body, depth + 1)
    return [f"{_pad(depth)}{head} {{", *([body] if body else []), f"{_pad(depth)}}}"]


def _aligned(run: Sequence[Attribute], depth: int) -> list[str]:
    width = max((len(item.name) for item in run), default=0)
    return [f"{_pad(depth)}{item.name.ljust(width)} = {_value(item.value, depth)}" for item in run]


def _value(value: object, depth: int) -> str:
    if isinstance(value, Expression):
        return value.text
    if isinstance(value, dict):
        pairs = cast("dict[str, object]", value).items()
        inner = rendered([Attribute(name, item) for name, item in pairs], depth + 1)
        return f"{{\n{inner}\n{_pad(depth)}}}"
    if isinstance(value, list | tuple):
        members = [_value(item, depth + 1) for item in cast("Sequence[object]", value)]
        inline = f"[{', '.join(members)}]"
        if len(inline) <= _ROOM:
            return inline
        inner = "".join(f"{_pad(depth + 1)}{member},\n" for member in members)
        return f"[\n{inner}{_pad(depth)}]"
    return json.dumps(value)


def _pad(depth: int) -> str:
    return "  " * depth


#: The most characters of a list on one line.
_ROOM = 80
