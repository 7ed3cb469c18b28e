"""From a fresh clone to a running demo, or to a finished test run, in one command.

    python3 bootstrap.py demo [ARGS ...]    install into .venv, then run `cicd-core demo ARGS ...`
    python3 bootstrap.py test [ARGS ...]    install nox into .venv-dev, then run `nox ARGS ...`:
                                            without ARGS some minutes of every kind of check,
                                            with `--all` the complete check, as CI runs it

Needs Python 3.11 or newer, git, and a package index; uv is used where it works, and not needed.
What it says goes to standard error; its exit code is that of the command that it runs.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
OLDEST = (3, 11)
#: Written into an environment when all is installed: what was installed, so that a change is seen.
STAMP = "bootstrap.stamp"


def say(text: str) -> None:
    """Print one line of what goes on."""
    print(f"bootstrap: {text}", file=sys.stderr, flush=True)


def check_machine() -> None:
    """Exit with a message that helps, if this machine lacks what everything needs."""
    if sys.version_info < OLDEST:
        found = ".".join(map(str, sys.version_info[:3]))
        sys.exit(
            f"bootstrap: this is Python {found}, and Python 3.11 or newer is needed.\n"
            "Install one, then name it: `python3.12 bootstrap.py ...`."
        )
    if shutil.which("git") is None:
        sys.exit(
            "bootstrap: there is no `git` on PATH, and the demo and the tests run real git "
            "repositories.\nInstall git (`apt install git`, `brew install git`), then try again."
        )


def run(*command: str | Path) -> bool:
    """Run a step; say whether it worked."""
    return subprocess.run([str(part) for part in command], check=False).returncode == 0


def python_of(venv: Path) -> Path:
    """The interpreter of an environment."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def create(venv: Path) -> None:
    """Make the environment, unless one that works stands there."""
    if python_of(venv).exists() and run(python_of(venv), "-c", ""):
        return
    say(f"creating {venv}")
    uv = shutil.which("uv")
    # Debian ships venv without ensurepip, on which it then fails; uv needs neither.
    if importlib.util.find_spec("ensurepip") and importlib.util.find_spec("venv"):
        made = run(sys.executable, "-m", "venv", "--clear", venv)
    elif uv:
        made = run(uv, "venv", "--clear", "--python", sys.executable, venv)
    else:
        made = False
    if not made:
        sys.exit(
            "bootstrap: this Python cannot make virtual environments.\n"
            "On Debian and Ubuntu: `apt install python3-venv`. Anywhere: install uv."
        )


def install(venv: Path, *arguments: str) -> bool:
    """Install packages with uv, or with pip where uv is not there or fails."""
    python = python_of(venv)
    uv = shutil.which("uv", path=f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if uv:
        # --refresh asks the index even for what is cached: can uv reach it, as pip may?
        if run(uv, "pip", "install", "--quiet", "--refresh", "--python", python, *arguments):
            return True
        say("uv could not do it, pip tries now")
        if Path(uv).parent == python.parent:  # ours; nox would stumble over it in each session
            run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "uv")
    pip = (python, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check")
    return run(*pip, *arguments)


def ensure(venv: Path, what: str, *arguments: str) -> None:
    """Bring an environment to the state that its stamp names; nothing to do if it is there."""
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes() + repr(arguments).encode())
    stamp = venv / STAMP
    create(venv)
    if stamp.exists() and stamp.read_text() == wanted.hexdigest():
        return
    say(f"installing {what} into {venv}")
    if not install(venv, *arguments):
        sys.exit(
            f"bootstrap: {what} could not be installed; the lines above say why.\n"
            "A package index is needed (`pip config list` shows which one is set)."
        )
    stamp.write_text(wanted.hexdigest())


def become(command: list[str], folder: Path) -> None:
    """Run the last command in this one's place: its signals and its exit code are ours."""
    say("running " + " ".join(command))
    os.chdir(folder)
    if os.name == "posix":
        os.execv(command[0], command)  # noqa: S606 - no shell is wanted
    # Elsewhere execv returns to the shell at once, so wait for the child instead.
    sys.exit(subprocess.run(command, check=False).returncode)


def in_repository(folder: Path) -> bool:
    """Whether git knows this folder as part of a work tree."""
    asked = ["git", "-C", str(folder), "rev-parse", "--is-inside-work-tree"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def demo(arguments: list[str]) -> None:
    """Run the demo on the repository that the caller stands in, or else on this one."""
    venv = ROOT / ".venv"
    ensure(venv, "cicd-core[cli]", "--editable", f"{ROOT}[cli]")
    here = Path.cwd()
    # The child may run in another folder, so what names a folder here must name it there.
    absolute = [str(Path(text).resolve()) if Path(text).is_dir() else text for text in arguments]
    command = str(python_of(venv).with_name("cicd-core"))
    become([command, "demo", *absolute], here if in_repository(here) else ROOT)


def test(arguments: list[str]) -> None:
    """Run nox with the caller's arguments; `--all` stands for every session that must be green."""
    if "--all" in arguments:
        at = arguments.index("--all")
        arguments = [*arguments[:at], "--tags", "all", *arguments[at + 1 :]]
    venv = ROOT / ".venv-dev"
    create(venv)
    if not (venv / STAMP).exists() and shutil.which("uv") is None:
        say("installing uv, which makes the rest faster (it goes on without)")
        install(venv, "uv")
    ensure(venv, "nox", "nox")
    noxfile = str(ROOT / "noxfile.py")
    become([str(python_of(venv)), "-m", "nox", "--noxfile", noxfile, *arguments], ROOT)


def main(arguments: list[str]) -> None:
    """Run one of the two commands."""
    commands = {"demo": demo, "test": test}
    if arguments and arguments[0] in {"-h", "--help"}:
        print(__doc__.strip())
        return
    if not arguments or arguments[0] not in commands:
        print((__doc__ or "").strip(), file=sys.stderr)
        sys.exit(2)
    check_machine()
    os.environ.setdefault("UV_SYSTEM_CERTS", "1")  # trust what pip and git trust here
    commands[arguments[0]](arguments[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
