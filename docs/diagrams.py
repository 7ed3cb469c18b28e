"""Draws the Mermaid diagrams of the pages as SVG files, which the built pages show.

    python docs/diagrams.py

Run it after you change a diagram. It needs npm, which fetches Mermaid, and Chromium; a build of the
pages needs neither. Each fence of a page gets two files below ``docs/diagrams``, one for light
pages and one for dark ones, named by a digest of the fence. A test fails when a file is missing.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

DOCS: Final = Path(__file__).parent
FOLDER: Final = DOCS / "diagrams"
MERMAID: Final = "mermaid@11.17.2"
#: The theme of Mermaid for light and for dark pages, and the colour of the page behind labels.
THEMES: Final = {"light": ("neutral", "#ffffff"), "dark": ("dark", "#131416")}
FENCE: Final = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TITLE: Final = re.compile(r"^\s*accTitle: (.+)$", re.MULTILINE)

_HTML: Final = """\
<!doctype html><meta charset="utf-8"><body><pre id="out"></pre>
<script src="mermaid.min.js"></script>
<script>
(async () => {{
  const result = {{}};
  for (const [name, theme, page, text] of {jobs}) {{
    mermaid.initialize({{startOnLoad: false, theme, deterministicIds: true, htmlLabels: false,
      themeVariables: {{edgeLabelBackground: page, labelBackgroundColor: page}},
      themeCSS: `.edgeLabel rect, .edgeLabel .label rect {{fill: ${{page}}; opacity: 1}}`,
      fontFamily: "sans-serif", flowchart: {{htmlLabels: false}}, state: {{htmlLabels: false}}}});
    result[name] = (await mermaid.render("diagram", text)).svg;
  }}
  document.getElementById("out").textContent = JSON.stringify(result);
}})().catch((error) => {{ document.getElementById("out").textContent = "failed: " + error; }});
</script>
"""


def fences() -> dict[str, str]:
    """Return the text of each diagram of the pages, by its digest."""
    pages = sorted(DOCS.rglob("*.md"))
    found = (text for page in pages for text in FENCE.findall(page.read_text(encoding="utf-8")))
    return {digest_of(text): text for text in found}


def digest_of(text: str) -> str:
    """Return the name under which a diagram is stored: of its text, and of how it is drawn."""
    return hashlib.sha256(f"{MERMAID}{THEMES}{_HTML}{text}".encode()).hexdigest()[:12]


def files() -> dict[str, tuple[str, str, str]]:
    """Return the theme, the page's colour and the text of each file that the pages need."""
    return {
        f"{digest}.{shade}.svg": (*theme, text)
        for digest, text in fences().items()
        for shade, theme in THEMES.items()
    }


def with_pictures(page: str, depth: int = 0) -> str:
    """Return the Markdown of a page with pictures in the place of its diagrams.

    A picture leads to its file, where a small screen can enlarge it.

    Args:
        page: the Markdown.
        depth: in how many folders the page lies.

    Raises:
        KeyError: a diagram has no title (`accTitle`), which the picture needs as its description.
    """

    def pictures(fence: re.Match[str]) -> str:
        title = TITLE.search(fence[1])
        if title is None:
            raise KeyError(f"give the diagram a line accTitle: {fence[1]}")
        digest = digest_of(fence[1])
        return "\n".join(picture(f"{digest}.{shade}.svg", shade, title[1]) for shade in THEMES)

    def picture(name: str, shade: str, title: str) -> str:
        target = f"{'../' * depth}_images/{name}"
        options = f":class: only-{shade}\n:alt: {title}\n:target: {target}"
        return f"```{{image}} /diagrams/{name}\n{options}\n```\n"

    return FENCE.sub(pictures, page)


def drawn(wanted: dict[str, tuple[str, str, str]]) -> dict[str, str]:
    """Return the SVG of each wanted file, drawn by Mermaid in a browser without a window."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run("npm", "pack", "--silent", MERMAID, cwd=folder)
        with tarfile.open(next(folder.glob("mermaid-*.tgz"))) as packed:
            packed.extract("package/dist/mermaid.min.js", folder, filter="data")
        (folder / "package/dist/mermaid.min.js").rename(folder / "mermaid.min.js")
        jobs = json.dumps([[name, *rest] for name, rest in wanted.items()])
        (folder / "page.html").write_text(_HTML.format(jobs=jobs.replace("</", "<\\/")))
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=60000"]
        profile = f"--user-data-dir={folder / 'profile'}"
        page = (folder / "page.html").as_uri()
        dom = run(browser(), *options, profile, "--dump-dom", page, cwd=folder)
    out = html.unescape(dom.partition('<pre id="out">')[2].partition("</pre>")[0])
    if not out.startswith("{"):
        raise SystemExit(f"Mermaid could not draw the diagrams: {out or 'no output'}")
    result: dict[str, str] = json.loads(out)
    return result


def browser() -> str:
    """Return the path of a Chromium."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return path
    raise SystemExit("install Chromium, which draws the diagrams")


def run(*command: str, cwd: Path) -> str:
    """Run a command in a folder, and return its output."""
    return subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    """Draw the missing files, and delete those that no page needs."""
    FOLDER.mkdir(exist_ok=True)
    wanted = files()
    for path in FOLDER.glob("*.svg"):
        if path.name not in wanted:
            path.unlink()
    missing = {name: rest for name, rest in wanted.items() if not (FOLDER / name).exists()}
    for name, svg in drawn(missing).items() if missing else ():
        (FOLDER / name).write_text(f"{svg}\n", encoding="utf-8")
    sys.stdout.write(f"{FOLDER} has {len(wanted)} files, {len(missing)} of them new\n")


if __name__ == "__main__":
    main()
