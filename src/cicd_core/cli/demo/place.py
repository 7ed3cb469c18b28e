"""The folder that a demo works in: what is in it, and what stays of it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from attrs import define

from cicd_core.errors import InvalidInput


@define
class Place:
    """The folder of one demo."""

    root: Path
    #: Whether it stays when the demo has ended; a demo that failed decides that it does.
    kept: bool

    @property
    def url(self) -> str:
        """The URL of the store in it."""
        return f"sqlite:///{quote(str(self.root / 'demo.db'))}"

    @property
    def mirror(self) -> Path:
        """A bare copy of the repository."""
        return self.root / "mirror.git"

    @property
    def work(self) -> Path:
        """Where agents make their checkouts."""
        return self.root / "work"

    @property
    def cache(self) -> Path:
        """Where agents keep the objects that their checkouts share."""
        return self.root / "cache"

    @property
    def marks(self) -> Path:
        """Files by which jobs and the demo tell each other things."""
        return self.root / "marks"

    @property
    def site(self) -> Path:
        """Where deployments go."""
        return self.root / "site"

    @property
    def job_logs(self) -> Path:
        """The jobs' logs."""
        return self.root / "logs" / "jobs"

    @property
    def demo_log(self) -> Path:
        """The log of the demo's own control plane."""
        return self.root / "logs" / "demo.log"

    def agent_log(self, agent_id: str) -> Path:
        """The log of an agent."""
        return self.root / "logs" / f"{agent_id}.log"


@contextmanager
def opened_place(keep: Path | None) -> Generator[Place, None, None]:
    """Make the folder, and remove at the end what nobody needs any more.

    Args:
        keep: the folder to keep, new or empty; None: a temporary one.

    Raises:
        InvalidInput: the folder holds something, or can't be made.
    """
    place = Place(root=_made(keep), kept=keep is not None)
    try:
        for folder in (place.work, place.marks, place.site, place.job_logs):
            folder.mkdir(parents=True)
        yield place
    finally:
        # Checkouts, and what they borrow from, are of no use later.
        for folder in (place.work, place.cache, place.mirror) if place.kept else (place.root,):
            _remove(folder)


def _made(keep: Path | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="cicd-core-demo-")).resolve()
    try:
        keep.mkdir(parents=True, exist_ok=True)
        if any(keep.iterdir()):
            raise InvalidInput("keep", str(keep), "it is not empty; give a new or an empty folder")
    except OSError as refused:
        raise InvalidInput("keep", str(keep), refused.strerror or str(refused)) from None
    return keep.resolve()


def _remove(folder: Path) -> None:
    """Remove a folder; what a dying process adds meanwhile goes at the second look."""
    for _ in range(3):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
