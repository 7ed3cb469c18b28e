"""Takes the pictures of the status page.

    python docs/screens.py

serves a demo, opens its pages in Chromium, and writes ``docs/_static/screens``. The pictures show
other data each time; they are looked at by people, and compared by no test.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

#: The name of a picture, the page, the theme, and the size of the window.
Picture = tuple[str, str, str, tuple[int, int]]
FOLDER: Final = Path(__file__).parent / "_static" / "screens"
PICTURES: Final[tuple[Picture, ...]] = (
    ("overview", "/ui/", "light", (1280, 800)),
    ("overview-narrow", "/ui/", "light", (320, 640)),
    ("job", "job", "dark", (1280, 800)),
    ("queue", "/ui/queue?pool_name=build", "light", (1280, 800)),
    ("dead-letters", "/ui/dead-letters", "dark", (1280, 720)),
    ("deployments", "/ui/deployments", "light", (1280, 800)),
    ("agents", "/ui/agents", "dark", (1280, 720)),
)
_FLAGS: Final = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")


def main() -> None:
    """Take the pictures."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = shutil.which("chromium") or shutil.which("google-chrome")
    command = ("cicd-core", "serve", "--demo", "--port", "0")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None  # noqa: S101 - it is a pipe
            url = server.stdout.readline().strip()
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=path, args=list(_FLAGS))
                for picture in PICTURES:
                    _take(browser, url, picture)
                browser.close()
        finally:
            server.kill()


def _take(browser: Browser, url: str, picture: Picture) -> None:
    name, where, theme, size = picture
    width, height = size
    page = browser.new_page(
        viewport={"width": width, "height": height},
        color_scheme="dark" if theme == "dark" else "light",
        reduced_motion="reduce",
    )
    page.goto(f"{url}{_job_that_waits(page, url) if where == 'job' else where}")
    page.locator("#live-state", has_text=re.compile("^Live$")).wait_for()
    page.screenshot(path=FOLDER / f"{name}.png")
    page.close()


def _job_that_waits(page: Page, url: str) -> str:
    """Return the page of a job that waits."""
    page.goto(f"{url}/ui/queue?pool_name=build")
    link = page.locator("tbody th a").last.get_attribute("href")
    return link or "/ui/jobs"


if __name__ == "__main__":
    main()
