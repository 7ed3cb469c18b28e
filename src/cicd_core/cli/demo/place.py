"""The folder of a demo: its contents, and the files that stay."""

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
    """The folder of a demo."""

    root: Path
    #: Whether it stays after the demo; after a failure it does.
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
        """Folder for the agents' checkouts."""
        return self.root / "work"

    @property
    def cache(self) -> Path:
        """Folder for the objects that checkouts share."""
        return self.root / "cache"

    @property
    def marks(self) -> Path:
        """Marker files, for signals between jobs and the demo."""
        return self.root / "marks"

    @property
    def site(self) -> Path:
        """Folder for deployments."""
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
    """Create the folder, and remove the unneeded files at the end.

    Args:
        keep: the folder to keep, new or empty; None: a temporary one.

    Raises:
        InvalidInput: the folder is not empty, or cannot be created.
    """
    place = Place(root=_made(keep), kept=keep is not None)
    try:
        for folder in (place.work, place.marks, place.site, place.job_logs):
            folder.mkdir(parents=True)
        yield place
    finally:
        # Checkouts and their shared objects are not needed later.
        for folder in (place.work, place.cache, place.mirror) if place.kept else (place.root,):
            _remove(folder)


def _made(keep: Path | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="cicd-core-demo-")).resolve()
    try:
        keep.mkdir(parents=True, exist_ok=True)
        if any(keep.iterdir()):
            raise InvalidInput("keep", str(keep), "it is not empty; give a new or empty folder")
    except OSError as refused:
        raise InvalidInput("keep", str(keep), refused.strerror or str(refused)) from None
    return keep.resolve()


def _remove(folder: Path) -> None:
    """Remove a folder, and in a second pass the files that an ending process adds meanwhile."""
    for _ in range(3):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
