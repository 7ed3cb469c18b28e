"""The checks of this repository, each a session.

Without arguments those run that say within minutes whether a change is right; the sessions with the
tag `all` are the complete check, which CI runs. An interpreter that is not on this machine is
skipped, and the summary says so. Nothing is downloaded but packages and engines for the tests.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import nox

if TYPE_CHECKING:
    from collections.abc import Iterator

nox.needs_version = ">=2025.10.14"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"
# By default nox makes a missing interpreter an error where CI is set; here it is a skip everywhere.
nox.options.error_on_missing_interpreters = False
nox.options.reuse_existing_virtualenvs = True

# pyenv hides the interpreters that are installed but not chosen; the tests want them too.
PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
os.environ["PATH"] += "".join(f"{os.pathsep}{path}" for path in PYENV.glob("versions/3.*/bin"))

# The tests start Python by the hundred: compile what it imports once, beside the tree.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
os.environ.setdefault("PYTHONPYCACHEPREFIX", str(Path(".nox", "bytecode").resolve()))

PYPROJECT = nox.project.load_toml("pyproject.toml")
#: The interpreter that runs nox: it is there for certain, so most sessions use it.
MAIN = f"{sys.version_info.major}.{sys.version_info.minor}"
OLDEST = "3.11"
#: The other ones, the newest first.
OTHERS = [each for each in ("3.14", "3.13", "3.12", "3.11") if each != MAIN]
INSTALLED = [each for each in OTHERS if shutil.which(f"python{each}")]
#: The environment of all sessions that run on the main interpreter: see `environment`.
SHARED = Path(".nox", "environment").resolve()
#: More than there are cores: half of the time, a test waits for a process, a server or a clock.
SPREAD = ("-n", str(3 * (os.cpu_count() or 1)), "--dist", "worksteal")
#: The marks of the tests that the short run takes.
SHORT = "not crash and not cluster and not thorough"
#: The extras that the tests cover.
EXTRAS = ("chains", "cli", "dynamodb", "http", "lambda", "redis", "testing", "web")
#: Which tests can depend on the interpreter, and on the versions of the dependencies.
CHOSEN = PYPROJECT["tool"]["cicd-core"]["tests"]
APART, INTERPRETED, BETWEEN = CHOSEN["apart"], CHOSEN["interpreted"], CHOSEN["between"]
DEPENDENT = CHOSEN["dependent"]
#: The packages without I/O, in which an untested branch has no excuse.
PURE = ("model", "lifecycle", "queueing")
#: Where the documentation is built, and how: each warning is an error.
DOCS = "docs/_build"
WARNINGS = ("-n", "-W", "--keep-going", "-q")
#: What a user without any extra must be able to do, and is told of a store that needs one.
IMPORT_ALL = """
import cicd_core
from cicd_core.entities import COLLECTIONS
from cicd_core.store.registry import open_store
for name in cicd_core.__all__:
    getattr(cicd_core, name)
for scheme, extra in (("redis", "redis"), ("dynamodb", "dynamodb")):
    try:
        open_store(scheme + "://", collections=COLLECTIONS)
    except cicd_core.UnsupportedCapability as told:
        assert f"pip install 'cicd-core[{extra}]'" in str(told), told
    else:
        raise AssertionError(scheme)
"""


nox.options.sessions = [
    "lint",
    "layers",
    "types",
    "tests",
    *(f"newest-{version}" for version in INSTALLED[:1]),
    "package",
]


#: What the session `live_logs` runs, one after the other.
LOG_STORMS = [
    ["--megabytes", "200"],
    ["--megabytes", "600", "--rate", "10"],
    ["--megabytes", "30", "--line", "10", "--kills", "3", "--cuts", "--seed", "7"],
]


def group(*names: str) -> list[str]:
    """The requirements of some dependency groups of pyproject.toml."""
    return list(nox.project.dependency_groups(PYPROJECT, *names))


def install(session: nox.Session, *requirements: str) -> None:
    """Install the project, as it stands in this folder, and more; not again if it is there."""
    wanted = ["-e", f".[{','.join(EXTRAS)}]", *requirements]
    found = hashlib.sha256(Path("pyproject.toml").read_bytes() + repr(wanted).encode())
    stamp = Path(session.virtualenv.location, "installed.stamp")
    if stamp.exists() and stamp.read_text() == found.hexdigest():
        session.log("all is installed")
        return
    session.install(*wanted)
    stamp.write_text(found.hexdigest())


def program(name: str) -> str:
    """The path of a program of the shared environment."""
    return str(SHARED / ("Scripts" if os.name == "nt" else "bin") / name)


def run(session: nox.Session, name: str, *arguments: str) -> None:
    """Run a program of the shared environment."""
    path = program(name)
    session.env["PATH"] = f"{Path(path).parent}{os.pathsep}{os.environ['PATH']}"
    session.run(path, *arguments, external=True)


def scratch(session: nox.Session) -> Path:
    """An empty folder for the files of a session.

    It is not nox's `create_tmp`, which makes it the temporary folder of all programs too: tests
    would then work inside this repository, where git takes each of their folders for a part of it.
    """
    folder = Path(".nox", "scratch", session.name).resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def profile(session: nox.Session, default: str) -> None:
    """Choose the Hypothesis profile, unless the caller's environment names one."""
    session.env["HYPOTHESIS_PROFILE"] = os.environ.get("HYPOTHESIS_PROFILE", default)


def check(session: nox.Session, *arguments: str, examples: str = "dev") -> None:
    """Run tests in the shared environment, over all cores."""
    profile(session, examples)
    run(session, "pytest", *SPREAD, *arguments)


def source_files() -> set[str]:
    """The files below src/, as a wheel names them."""
    src = Path("src")
    files = (path for path in src.rglob("*") if path.is_file())
    return {str(path.relative_to(src).as_posix()) for path in files if path.suffix != ".pyc"}


@nox.session(python=MAIN)
def environment(session: nox.Session) -> None:
    """The environment of all sessions that run on the main interpreter: made once."""
    install(session, *group("test", "lint", "types", "layers", "docs", "mutation"))


# ---------------------------------------------------------------------------------------- tests


@nox.session(venv_backend="none", requires=["environment"], tags=["all"])
def tests(session: nox.Session) -> None:
    """Tests of every kind, on the main interpreter."""
    check(session, "-m", SHORT, *session.posargs)


@nox.session(venv_backend="none", requires=["environment"], tags=["all"])
def thorough(session: nox.Session) -> None:
    """The same tests over further engines, what runs several servers, and what takes long."""
    chosen = "(cluster or thorough) and not crash"
    check(session, "-m", chosen, *session.posargs)


def check_apart(session: nox.Session, *chosen: str) -> None:
    """Run the chosen tests, or those of the arguments, in the session's own environment."""
    install(session, *group("test"))
    profile(session, "dev")
    session.run("pytest", "-m", SHORT, *SPREAD, *(session.posargs or chosen))


@nox.session(python=OTHERS, tags=["all"])
def interpreters(session: nox.Session) -> None:
    """What can depend on the interpreter, on each other one."""
    # One between the oldest and the newest differs where threads and pickling do.
    is_between = session.python not in {OLDEST, *INSTALLED[:1]}
    check_apart(session, *APART, *(BETWEEN if is_between else INTERPRETED))


@nox.session(python=INSTALLED[:1] or MAIN)
def newest(session: nox.Session) -> None:
    """What depends on the interpreter most, on the newest other one."""
    check_apart(session, *APART, *BETWEEN)


@nox.session(python=OLDEST, tags=["all"])
def lowest(session: nox.Session) -> None:
    """What can depend on the dependencies, with the oldest versions that pyproject.toml allows.

    All other sessions have the newest ones.
    """
    constraints = scratch(session) / "lowest.txt"
    constraints.write_text("".join(f"{each}\n" for each in lowest_versions()))
    install(session, *group("test"), "-c", str(constraints))
    profile(session, "dev")
    session.run("cicd-core", "--help", silent=True)
    chosen = session.posargs or [*APART, *INTERPRETED, *DEPENDENT]
    session.run("pytest", "-m", SHORT, *SPREAD, *chosen)


def lowest_versions() -> Iterator[str]:
    """Each direct dependency at the oldest version that pyproject.toml allows.

    A constraint does what uv's `--resolution lowest-direct` does, and pip knows it too.
    """
    project = PYPROJECT["project"]
    extras = [each for extra in EXTRAS for each in project["optional-dependencies"][extra]]
    for requirement in (*project["dependencies"], *extras, *group("test")):
        bound = re.match(r"([\w-]+)(\[[\w,]+\])?>=([\w.]+)", requirement)
        if bound:
            yield f"{bound[1]}=={bound[3]}"


@nox.session(venv_backend="none", requires=["environment"], tags=["all"])
def coverage(session: nox.Session) -> None:
    """The pure packages have no branch that their own tests leave out."""
    profile(session, "dev")
    session.env["COVERAGE_FILE"] = str(scratch(session) / "coverage")
    units = [f"tests/unit/{name}" for name in PURE]
    run(session, "coverage", "erase")
    run(session, "coverage", "run", "-m", "pytest", "-q", *SPREAD, *units, "tests/property")
    run(session, "coverage", "combine")
    pure = ",".join(f"*/cicd_core/{name}/*" for name in PURE)
    run(session, "coverage", "report", "--include", pure, "--fail-under=100")


@nox.session(venv_backend="none", requires=["environment"], name="property", tags=["all"])
def property_(session: nox.Session) -> None:
    """The Hypothesis properties, with as many examples as CI can afford."""
    check(session, *(session.posargs or ["tests/property"]), examples="ci")


# ---------------------------------------------------------------------------- long evidence


@nox.session(venv_backend="none", requires=["environment"])
def crash(session: nox.Session) -> None:
    """The tests that kill real processes, and audit what they leave behind."""
    run(session, "pytest", "-m", "crash", *session.posargs)


@nox.session(venv_backend="none", requires=["environment"])
def redis_crash(session: nox.Session) -> None:
    """A long storm over Redis: a thousand workers are killed, and their servers meanwhile.

    Arguments are those of `python -m tests.redis.storms`: `sentinels --kills 200`, say, or
    `settings --kills 500 --parts 5 --results settings.jsonl`, which goes on where it was stopped.
    """
    storm = session.posargs or ["always", "--kills", "1000"]
    run(session, "python", "-m", "tests.redis.storms", *storm)


@nox.session(venv_backend="none", requires=["environment"])
def dynamodb_crash(session: nox.Session) -> None:
    """Long storms over DynamoDB: 500 workers are killed while their requests fail.

    Arguments are those of `python -m tests.dynamodb.storms`: `--engine ministack --kills 200`, say.
    With `--results FILE` a run that was ended is taken up again where it was.
    """
    storm = session.posargs or ["--kills", "100", "--parts", "5", "--seed", "1"]
    run(session, "python", "-m", "tests.dynamodb.storms", *storm)


@nox.session(venv_backend="none", requires=["environment"])
def http_crash(session: nox.Session) -> None:
    """Long storms over HTTP: workers are killed, the network is cut, the server is restarted.

    With `agents` as the first argument, the storm is of agents that run shell jobs. The rest are
    arguments of `python -m tests.http.storms` or `tests.http.agent_storms`, such as
    `agents --parts 6 --results agents.jsonl`; with a file of results, a run goes on where it was.
    """
    storm = session.posargs or ["--parts", "12", "--disturbances", "300"]
    module = "tests.http.storms"
    if storm[0] == "agents":
        module, storm = "tests.http.agent_storms", storm[1:]
    run(session, "python", "-m", module, *storm)


@nox.session(venv_backend="none", requires=["environment"])
def live_logs(session: nox.Session) -> None:
    """Long logs from an agent to a server: 200 MB, 10 MB/s for a minute, cuts and restarts.

    Arguments are those of `python -m tests.http.log_storms`: `--megabytes 40 --kills 5`, say.
    """
    storms = [session.posargs] if session.posargs else LOG_STORMS
    for storm in storms:
        run(session, "python", "-m", "tests.http.log_storms", *storm)


@nox.session(venv_backend="none", requires=["environment"])
def peers(session: nox.Session) -> None:
    """Jobs a second and CPU a job of other queues and of ours: half an hour on an idle machine.

    Arguments are those of `python -m benchmarks.peers`: `--kinds sqlite --runs 1`, say.
    """
    run(session, "python", "-m", "benchmarks.peers", *session.posargs)


@nox.session(venv_backend="none", requires=["environment"])
def checkouts(session: nox.Session) -> None:
    """A thousand checkouts on two agents of 16 slots, and 200 agents that are killed at theirs.

    Arguments are those of `python -m tests.runtime.checkout_storms`: `--jobs 100 --kills 20`, say.
    """
    run(session, "python", "-m", "tests.runtime.checkout_storms", *session.posargs)


@nox.session(python=MAIN)
def api(session: nox.Session) -> None:
    """Requests made up from the API's description, 100 an operation, and walks over its links.

    No answer may be a 5xx, or differ from the description. Arguments are those of `schemathesis
    run`: `--seed 7 --max-examples 1000`, say.
    """
    install(session, *group("test", "fuzz"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    python = str(Path(session.bin, "python"))
    with subprocess.Popen([python, "-m", "tests.http.fuzzed_server", port]) as server:
        try:
            session.run(
                "schemathesis",
                "run",
                f"http://127.0.0.1:{port}/api/openapi.json",
                "--wait-for-schema=30",
                "--header=Authorization: Bearer fuzz",
                # A value may be out of bounds that the description does not tell: it is refused.
                "--exclude-checks=positive_data_acceptance",
                # The server is one that stops: see there.
                "--exclude-path=/health/ready",
                "--continue-on-failure",
                *(session.posargs or ["--max-examples", "100"]),
            )
        finally:
            server.terminate()


@nox.session(venv_backend="none", requires=["environment"])
def histories(session: nox.Session) -> None:
    """Many random concurrent histories of every store, each one checked: it takes long."""
    effort = session.posargs or ["--cicd-histories", "1000"]
    run(session, "pytest", "tests/conformance/test_histories.py", "--timeout=0", *effort)


@nox.session(python=MAIN)
def mutation(session: nox.Session) -> None:
    """Small faults, put into lifecycle and queueing one at a time: 95 % must fail a test.

    Each run starts anew, in a copy of the project. Arguments are mutmut's: `--max-children 1`
    leaves the other cores alone, and a pattern of mutants' names tries those alone.
    """
    install(session, *group("test", "mutation"))
    # The same examples, and the same order of the tests: the same score.
    session.env.update({"HYPOTHESIS_PROFILE": "mutation", "PYTHONHASHSEED": "0"})
    copy = scratch(session)
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


@nox.session(python=MAIN)
def suite_mutation(session: nox.Session) -> None:
    """Small faults, put into the verbs of a store one at a time: the suite must find 95 %.

    Arguments are those of `python -m tests.mutation`: `--store sqlite --sample 400 --seed 1 --part
    1/4`, say. What was tried stands in a file of results, and is not tried again. With `by_hand` as
    the first one they are those of `python -m tests.mutation.by_hand`: faults in SQL, in the
    scripts of Redis and in the expressions of DynamoDB, each of which must be found.
    """
    install(session, *group("test", "mutation"))
    session.env["PYTHONHASHSEED"] = "0"
    arguments = session.posargs or ["--store", "memory", "--sample", "400"]
    if arguments[0] == "by_hand":
        session.run("python", "-m", "tests.mutation.by_hand", *arguments[1:])
    else:
        session.run("python", "-m", "tests.mutation", *arguments)


def judge(session: nox.Session, counts: dict[str, int]) -> None:
    """Fail the session if fewer than 95 % of the mutants that were tried were killed."""
    tried = sum(number for outcome, number in counts.items() if outcome != "total")
    # A mutant that never ends is stopped, and so noticed.
    killed = counts["killed"] + counts["timeout"]
    session.log(f"killed {killed} of {tried} mutants that were tried, of {counts['total']}")
    if not tried or killed < 0.95 * tried:
        session.error("fewer than 95 % of the mutants were killed; those above survived")


# --------------------------------------------------------------------------------- without tests


@nox.session(venv_backend="none", requires=["environment"], tags=["all"])
def lint(session: nox.Session) -> None:
    """Ruff: rules and format."""
    run(session, "ruff", "check", *(session.posargs or ["."]))
    run(session, "ruff", "format", "--check", *(session.posargs or ["."]))


@nox.session(venv_backend="none", requires=["environment"], tags=["all"])
def types(session: nox.Session) -> None:
    """Mypy over the sources, the tests and the scripts; pyright over the sources, beside it."""
    # Which packages are there is said by the interpreter, not by PATH, which is not set up yet.
    command = [program("pyright"), "--pythonpath", program("python")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        try:
            run(session, "mypy", *session.posargs)
            run(session, "mypy", "noxfile.py", "bootstrap.py")
        finally:
            found, _ = other.communicate()
            session.log(found.strip())
    if other.returncode:
        session.error("pyright found the errors above")


@nox.session(venv_backend="none", requires=["environment"], tags=["all"])
def layers(session: nox.Session) -> None:
    """Import-linter: layers point down only."""
    run(session, "lint-imports", "--no-cache")


@nox.session(venv_backend="none", requires=["environment"])
def docs(session: nox.Session) -> None:
    """The documentation is read and its references are resolved; each warning is an error.

    Quicker than `html`, which the complete check runs.
    """
    run(
        session, "sphinx-build", *WARNINGS, "-b", "dummy", *session.posargs, "docs", f"{DOCS}/dummy"
    )


@nox.session(venv_backend="none", requires=["environment"], tags=["all"])
def html(session: nox.Session) -> None:
    """The pages of the documentation, for a browser; each warning is an error."""
    run(session, "sphinx-build", *WARNINGS, "-j", "auto", *session.posargs, "docs", f"{DOCS}/html")
    session.log(f"open {DOCS}/html/index.html")


@nox.session(python=MAIN, tags=["all"])
def package(session: nox.Session) -> None:
    """The wheel holds every source file, imports with the core dependencies alone, and is typed."""
    session.install("build")
    dist = scratch(session)
    session.run("python", "-m", "build", "--wheel", "--outdir", str(dist), ".", silent=True)
    (wheel,) = dist.glob("*.whl")
    missing = source_files() - set(zipfile.ZipFile(wheel).namelist())
    if missing:
        session.error(f"the wheel lacks {sorted(missing)}")
    session.install("--target", str(dist / "bare"), str(wheel))
    # -S leaves the session's own packages out, so that only the target folder is seen.
    bare = {"PYTHONPATH": str(dist / "bare")}
    session.run("python", "-S", "-W", "error", "-c", IMPORT_ALL, env=bare)
    consume(session, wheel, dist / "consumer")


def consume(session: nox.Session, wheel: Path, folder: Path) -> None:
    """Check the types of a program that uses the wheel, as its users do, and run it."""
    session.install("--force-reinstall", "--no-deps", str(wheel))
    session.install(str(wheel), *group("types"))
    folder.mkdir()
    shutil.copy("tests/consumer/consumer.py", folder)
    (folder / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
    with session.chdir(folder):  # so that nothing is found but what is installed
        session.run("mypy", "--strict", "consumer.py")
        session.run("pyright", "consumer.py")
        session.run("python", "consumer.py", silent=True)


@nox.session(python=MAIN)
def changelog(session: nox.Session) -> None:
    """What the next section of CHANGELOG.md would say."""
    session.install(*group("changelog"))
    session.run("towncrier", "build", "--draft", "--version", "unreleased", *session.posargs)
