"""The checks of this repository; `nox` without arguments runs every one that must be green.

An interpreter that is not on this machine is skipped, and the summary says so. Nothing is
downloaded but packages.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import zipfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.10.14"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"
# By default nox makes a missing interpreter an error where CI is set; here it is a skip everywhere.
nox.options.error_on_missing_interpreters = False
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = [
    "lint",
    "layers",
    "types",
    "tests",
    "coverage",
    "property",
    "doctest",
    "docs",
    "package",
    "redis_cluster",
]
if Path("tests/conformance").is_dir():
    nox.options.sessions.append("conformance")

# pyenv hides the interpreters that are installed but not chosen; the tests want them too.
PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
os.environ["PATH"] += "".join(f"{os.pathsep}{path}" for path in PYENV.glob("versions/3.*/bin"))

PYPROJECT = nox.project.load_toml("pyproject.toml")
#: The interpreter that runs nox: it is there for certain, so the sessions of one version use it.
MAIN = f"{sys.version_info.major}.{sys.version_info.minor}"
PYTHONS = sorted({"3.11", "3.12", "3.13", "3.14", MAIN})
#: Over all cores.
SPREAD = ("-n", "logical", "--dist", "worksteal")
#: The packages without I/O, in which an untested branch has no excuse.
PURE = ("model", "lifecycle", "queueing")
#: What a user without any extra must be able to do, and is told of a store that needs one.
IMPORT_ALL = """
import cicd_core
from cicd_core.store.registry import open_store
for name in cicd_core.__all__:
    getattr(cicd_core, name)
for scheme, extra in (("redis", "redis"), ("dynamodb", "dynamodb")):
    try:
        open_store(scheme + "://")
    except cicd_core.UnsupportedCapability as told:
        assert f"pip install 'cicd-core[{extra}]'" in str(told), told
    else:
        raise AssertionError(scheme)
"""


def group(*names: str) -> list[str]:
    """The requirements of some dependency groups of pyproject.toml."""
    return list(nox.project.dependency_groups(PYPROJECT, *names))


def install(session: nox.Session, *groups: str) -> None:
    """Install the project, as it stands in this folder, with what its tests need."""
    session.install("-e", ".[cli,dynamodb,redis,testing]", *group(*groups))


def source_files() -> set[str]:
    """The files below src/, as a wheel names them."""
    src = Path("src")
    files = (path for path in src.rglob("*") if path.is_file())
    return {str(path.relative_to(src).as_posix()) for path in files if path.suffix != ".pyc"}


def profile(session: nox.Session, default: str) -> None:
    """Choose the Hypothesis profile, unless the caller's environment names one."""
    session.env["HYPOTHESIS_PROFILE"] = os.environ.get("HYPOTHESIS_PROFILE", default)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """All tests but those that kill for long, run a whole Cluster or have a session of their own.

    The interpreter that runs nox tests every server; the others one for each store.
    """
    install(session, "test")
    profile(session, "dev")
    if session.python != MAIN:
        session.env["CICD_TEST_ENGINES"] = "first"
        elsewhere = ["doctest"]
    else:
        elsewhere = ["doctest", "property", "conformance"]  # in sessions of their own
    usual = ["-m", "not crash and not cluster"]
    usual += [f"--ignore=tests/{name}" for name in elsewhere]
    session.run("pytest", *usual, *SPREAD, *session.posargs)


@nox.session(python=MAIN)
def coverage(session: nox.Session) -> None:
    """The pure packages have no branch that their own tests leave out."""
    install(session, "test")
    profile(session, "dev")
    session.env["COVERAGE_FILE"] = str(Path(session.create_tmp(), "coverage"))
    units = [f"tests/unit/{name}" for name in PURE]
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", "-q", *units, "tests/property")
    session.run("coverage", "combine")
    pure = ",".join(f"*/cicd_core/{name}/*" for name in PURE)
    session.run("coverage", "report", "--include", pure, "--fail-under=100")


@nox.session(python=MAIN, name="property")
def property_(session: nox.Session) -> None:
    """The Hypothesis properties, with as many examples as CI can afford."""
    install(session, "test")
    profile(session, "ci")
    session.run("pytest", *SPREAD, *(session.posargs or ["tests/property"]))


@nox.session(python=MAIN)
def conformance(session: nox.Session) -> None:
    """The conformance suite over every store that runs without a server."""
    install(session, "test")
    profile(session, "dev")
    chosen = session.posargs or ["tests/conformance"]
    session.run("pytest", "-m", "not crash", *SPREAD, *chosen)


@nox.session(python=MAIN)
def redis_cluster(session: nox.Session) -> None:
    """The Redis store over several servers on loopback: replicas, Sentinels, a Cluster of six."""
    install(session, "test")
    profile(session, "dev")
    session.run("pytest", "-m", "cluster", *SPREAD, *(session.posargs or ["tests/redis"]))


@nox.session(python=MAIN)
def crash(session: nox.Session) -> None:
    """The tests that kill real processes, and audit what they leave behind."""
    install(session, "test")
    # 5: nothing was collected, so nothing is marked.
    session.run("pytest", "-m", "crash", *session.posargs, success_codes=[0, 5])


@nox.session(python=MAIN)
def redis_crash(session: nox.Session) -> None:
    """A long storm over Redis: a thousand workers are killed, and their servers meanwhile.

    Arguments are those of `python -m tests.redis.storms`: `sentinels --kills 200`, say.
    """
    install(session, "test")
    storm = session.posargs or ["always", "--kills", "1000"]
    session.run("python", "-m", "tests.redis.storms", *storm)


@nox.session(python=MAIN)
def dynamodb_crash(session: nox.Session) -> None:
    """A long storm over DynamoDB: a thousand workers are killed while their requests fail.

    Arguments are those of `python -m tests.dynamodb.storms`: `--engine ministack --kills 200`, say.
    """
    install(session, "test")
    storm = session.posargs or ["--kills", "1000"]
    session.run("python", "-m", "tests.dynamodb.storms", *storm)


@nox.session(python=MAIN)
def histories(session: nox.Session) -> None:
    """Many random concurrent histories of every store, each one checked: it takes long."""
    install(session, "test")
    effort = session.posargs or ["--cicd-histories", "1000"]
    session.run("pytest", "tests/conformance/test_histories.py", "--timeout=0", *effort)


@nox.session(python=MAIN)
def mutation(session: nox.Session) -> None:
    """Small faults, put into lifecycle and queueing one at a time: 95 % must fail a test.

    Each run starts anew, in a copy of the project. Arguments are mutmut's: `--max-children 1`
    leaves the other cores alone, and a pattern of mutants' names tries those alone.
    """
    install(session, "test", "mutation")
    # The same examples, and the same order of the tests: the same score.
    session.env.update({"HYPOTHESIS_PROFILE": "mutation", "PYTHONHASHSEED": "0"})
    copy = Path(session.create_tmp())
    shutil.rmtree(copy)
    for folder in ("src", "tests"):
        shutil.copytree(folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy("pyproject.toml", copy)
    with session.chdir(copy):
        session.run("mutmut", "run", *session.posargs)
        results = str(session.run("mutmut", "results", silent=True))
        session.run("mutmut", "export-cicd-stats", silent=True)
    for line in results.splitlines():
        if not line.endswith(": not checked"):
            session.log(line.strip())
    session.log(f"`mutmut show NAME`, run in {copy}, shows one")
    counts = json.loads((copy / "mutants" / "mutmut-cicd-stats.json").read_text())
    judge(session, counts)


def judge(session: nox.Session, counts: dict[str, int]) -> None:
    """Fail the session if fewer than 95 % of the mutants that were tried were killed."""
    tried = sum(number for outcome, number in counts.items() if outcome != "total")
    # A mutant that never ends is stopped, and so noticed.
    killed = counts["killed"] + counts["timeout"]
    session.log(f"killed {killed} of {tried} mutants that were tried, of {counts['total']}")
    if not tried or killed < 0.95 * tried:
        session.error("fewer than 95 % of the mutants were killed; those above survived")


@nox.session(python=MAIN)
def doctest(session: nox.Session) -> None:
    """Every Python example of README.md, docs/ and the docstrings, run."""
    install(session, "test")
    session.run("pytest", "tests/doctest", *session.posargs)


@nox.session(python=MAIN)
def lint(session: nox.Session) -> None:
    """Ruff: rules and format."""
    session.install(*group("lint"))
    session.run("ruff", "check", *(session.posargs or ["."]))
    session.run("ruff", "format", "--check", *(session.posargs or ["."]))


@nox.session(python=MAIN)
def types(session: nox.Session) -> None:
    """Mypy over the sources, the tests and the scripts; pyright over the sources."""
    install(session, "test", "types")
    session.run("mypy", *session.posargs)
    session.run("mypy", "noxfile.py", "bootstrap.py")
    session.run("pyright")


@nox.session(python=MAIN)
def layers(session: nox.Session) -> None:
    """Import-linter: layers point down only."""
    session.install("-e", ".", *group("layers"))
    session.run("lint-imports", "--no-cache")


@nox.session(python=MAIN)
def docs(session: nox.Session) -> None:
    """The documentation, where each warning is an error."""
    install(session, "docs")
    options = ("-n", "-W", "--keep-going", "-q")
    session.run("sphinx-build", *options, *session.posargs, "docs", "docs/_build/html")
    session.log("open docs/_build/html/index.html")


@nox.session(python=MAIN)
def package(session: nox.Session) -> None:
    """The wheel holds every source file, and imports with the core dependencies alone."""
    session.install("build")
    dist = Path(session.create_tmp())
    shutil.rmtree(dist)
    session.run("python", "-m", "build", "--wheel", "--outdir", str(dist), ".", silent=True)
    (wheel,) = dist.glob("*.whl")
    missing = source_files() - set(zipfile.ZipFile(wheel).namelist())
    if missing:
        session.error(f"the wheel lacks {sorted(missing)}")
    session.install("--target", str(dist / "bare"), str(wheel))
    # -S leaves the session's own packages out, so that only the target folder is seen.
    bare = {"PYTHONPATH": str(dist / "bare")}
    session.run("python", "-S", "-W", "error", "-c", IMPORT_ALL, env=bare)


@nox.session(python=MAIN)
def changelog(session: nox.Session) -> None:
    """What the next section of CHANGELOG.md would say."""
    session.install(*group("changelog"))
    session.run("towncrier", "build", "--draft", "--version", "unreleased", *session.posargs)
