"""Templates and assets, all from this package."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined

from cicd_core.http.web import looks

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The assets, and their media types.
ASSETS: Final = {
    "page.css": "text/css",
    "page.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_FILTERS: Final = (
    looks.tone,
    looks.word,
    looks.duration,
    looks.ago,
    looks.clock,
    looks.day,
    looks.stamp,
    looks.short,
    looks.title,
    looks.clipped,
    looks.as_json,
    looks.number,
    looks.percent,
    looks.shell_word,
)
#: The part of a page that the script updates.
CONTENT: Final = "content"


@cache
def asset(name: str) -> bytes:
    """Return the bytes of an asset.

    Raises:
        KeyError: there is none of that name.
    """
    if name not in ASSETS:
        raise KeyError(name)
    return files("cicd_core.http.web").joinpath("assets", name).read_bytes()


@cache
def version_of(name: str) -> str:
    """Return the version of an asset, which is a part of its address in browser caches."""
    return hashlib.blake2b(asset(name), digest_size=6).hexdigest()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("cicd_core.http.web"),
        autoescape=True,  # every text of a page: jobs, agents and people write them
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    # Jinja2 has no types for them, and pyright infers too narrow ones.
    filters: dict[str, Any] = environment.filters
    names: dict[str, Any] = environment.globals
    filters.update({each.__name__: each for each in _FILTERS})
    names.update(version_of=version_of, ui=environment.get_template("parts.html").module)
    return environment


def page(template: str, values: Mapping[str, Any], *, fragment: bool = False) -> bytes:
    """Return a page, or only its part that changes."""
    found = _environment().get_template(template)
    if not fragment:
        return found.render(values).encode()
    return "".join(found.blocks[CONTENT](found.new_context(dict(values)))).encode()
