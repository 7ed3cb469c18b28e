"""What the documents show of a terminal is what a new user sees in one."""

from __future__ import annotations

import ast
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cicd_core.cli.demo.state import Scene
from cicd_core.cli.screen import Screen
from cicd_core.cli.tables import jobs_table

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[2]
#: Decisions keep the words of their time.
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if "decisions" not in path.parts),
]
CONSOLE = re.compile(r"^```(?:console|sh|dockerfile)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def samples() -> list[tuple[str, str]]:
    """Return each line of a block that shows a terminal, with the name of its page."""
    return [
        (path.relative_to(ROOT).as_posix(), line)
        for path in PAGES
        for block in CONSOLE.findall(path.read_text(encoding="utf-8"))
        for line in block.splitlines()
    ]


def test_a_shown_list_of_jobs_has_the_columns_of_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shown = jobs_table(Screen(datetime.now(UTC)), [])
    headers = {page: line.split() for page, line in samples() if line.startswith("JOB ")}
    assert {"README.md", "docs/tutorial/first-job.md"} <= headers.keys()
    columns = [str(column.header) for column in shown.columns]
    assert [page for page, found in headers.items() if found != columns] == []


def test_an_installation_names_the_clone_because_no_index_has_the_package() -> None:
    installs = [(page, line) for page, line in samples() if "pip install" in line]
    assert installs
    assert [each for each in installs if re.search(r"install\b.*[ ']cicd-core\b", each[1])] == []


def texts_of_the_demo() -> list[re.Pattern[str]]:
    """Return a pattern of each text in the sources of the demo: any value fits a placeholder."""
    sources = sorted((ROOT / "src/cicd_core/cli/demo").glob("*.py"))
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sources]
    texts = [pattern_of(node) for tree in trees for node in ast.walk(tree)]
    return [re.compile(text) for text in texts if len(re.findall(r"[a-z]+", text)) > 2]


def pattern_of(node: ast.AST) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return re.escape(text)
        case ast.JoinedStr(values=parts):
            return "".join(pattern_of(part) or ".+" for part in parts)
        case _:
            return ""


def test_the_readme_shows_the_demo_in_the_words_of_its_scenes() -> None:
    texts = texts_of_the_demo()
    shown = [line for page, line in samples() if page == "README.md"]
    scenes = [line.strip().removeprefix("✓").strip() for line in shown if line.startswith(" ✓")]
    assert len(scenes) == len(Scene)
    said = [line for line in shown if re.match(r" +\d+\.\d  kill -9 ", line)]
    assert said
    told = [re.split(r"  +", line)[-1] for line in [*scenes, *said]]
    assert [text for text in told if not any(each.fullmatch(text) for each in texts)] == []
