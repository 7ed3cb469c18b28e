"""Shell jobs that a test runs one by one, each on an agent of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from cicd_core.agent.shell import ShellHandler
from tests.runtime.embedding import agent_of, run_until_idle

if TYPE_CHECKING:
    from cicd_core.model.git import GitContext
    from cicd_core.model.outcome import Outcome
    from tests.runtime.fake_source import FakeSource


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    return tmp_path / "work"


class Shell:
    """Runs payloads, each as a job of its own."""

    def __init__(self, source: FakeSource, tmp_path: Path, work_dir: Path) -> None:
        self.source = source
        self.logs = tmp_path / "logs"
        self.work_dir = work_dir

    async def run(
        self,
        payload: dict[str, Any],
        git: GitContext | None = None,
        *,
        timeout_seconds: float = 60.0,
        **options: Any,
    ) -> Outcome:
        job = self.source.add(payload=payload, git=git, timeout_seconds=timeout_seconds)
        handler = ShellHandler(work_dir=self.work_dir, **options)
        await run_until_idle(agent_of(self.source, handler, log_dir=self.logs))
        assert nothing_is_left(self.work_dir)
        return self.source.outcomes[job]


def text_of(outcome: Outcome) -> str:
    return Path(urlsplit(str(outcome.logs_url)).path).read_text()


def nothing_is_left(work_dir: Path) -> bool:
    return list(work_dir.glob("*")) == []


@pytest.fixture
def shell(source: FakeSource, tmp_path: Path, work_dir: Path) -> Shell:
    return Shell(source, tmp_path, work_dir)
