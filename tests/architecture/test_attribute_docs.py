"""The reference shows what the source says of an attribute, colons included."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.required import skip_without

if TYPE_CHECKING:
    import pytest

skip_without("sphinx", "sphinx is not installed: it makes the reference")

CONF = Path(__file__).parents[2] / "docs/conf.py"


class App:
    """Takes the hooks of the configuration."""

    def connect(self, *_event: Any, **_options: Any) -> None: ...


def test_a_colon_in_the_words_about_an_attribute_begins_no_type(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    conf = runpy.run_path(str(CONF))
    napoleon = conf["napoleon"]
    monkeypatch.setattr(napoleon, "GoogleDocstring", napoleon.GoogleDocstring)
    conf["setup"](App())
    said = ["The jobs that no agent runs, by their types: more agents", "would not help."]
    shown = napoleon.GoogleDocstring(said, napoleon.Config(), None, "attribute", "a.b")
    assert [line for line in shown.lines() if line] == said
