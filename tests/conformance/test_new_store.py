"""The template of a store starts red, and turns green when its verbs are written."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Final

import pytest

from cicd_core.testing.new_store.__main__ import main
from tests.conformance.installing import installed, run
from tests.verbs import VERBS

if TYPE_CHECKING:
    from pathlib import Path

OPTIONS: Final = ("-q", "-W", "error", "-p", "no:cacheprovider", "-p", "few_examples")
ASKED: Final = [name for name in VERBS if name != "sibling"]
#: How a verb that refuses is written, and its parameters.
REFUSAL: Final = re.compile(
    r"(?P<head>async def (?P<verb>\w+)\(self(?P<parameters>[^)]*)\) -> [^\n]+\n\s+)"
    r"raise not_written\(\"\w+\"\)"
)
#: What a verb that is written calls: one memory store a namespace.
MEMORY: Final = """
import anyio

from cicd_core.errors import StoreClosed
from cicd_core.store.memory import MemoryBackend

MEMORIES: dict[str, MemoryBackend] = {}


def memory_of(store: MyDbBackend) -> MemoryBackend:
    memory = MemoryBackend(store.collections, clock=store.clock)
    return MEMORIES.setdefault(store.namespace, memory)


async def wait_of(store: MyDbBackend, watches: Sequence[Watch], timeout: float) -> bool:
    async def cancel_at_close(scope: anyio.CancelScope) -> None:
        try:
            while True:
                store.lifetime.check()
                await anyio.sleep(0.01)
        except StoreClosed:
            scope.cancel()

    found = False
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cancel_at_close, tasks.cancel_scope)
        found = await memory_of(store).wait(watches, timeout)
        tasks.cancel_scope.cancel()
    store.lifetime.check()
    return found
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The package as the template makes it."""
    assert main(["my-db", "--folder", str(tmp_path)]) == 0
    return tmp_path / "my-db-store"


def written(match: re.Match[str]) -> str:
    """Return a verb that passes its call on to the memory store, which outlives this one."""
    if match["verb"] == "wait":
        return f"{match['head']}return await wait_of(self, watches, timeout)"
    names = ", ".join(re.findall(r"(\w+):", match["parameters"]))
    return f"{match['head']}return await memory_of(self).{match['verb']}({names})"


def write_verbs(package: Path) -> None:
    """Write each verb of the store."""
    module = package / "my_db_store.py"
    source, number = REFUSAL.subn(written, module.read_text(encoding="utf-8"))
    assert number == len(ASKED)
    module.write_text(source + MEMORY, encoding="utf-8")


def run_tests(package: Path, tmp_path: Path, *options: str) -> tuple[int, str]:
    """Run the package's own tests, with the package installed."""
    site = tmp_path / "site"
    site.mkdir()
    tests = str(package / "test_my_db_store.py")
    done = run(["-m", "pytest", *OPTIONS, *options, tests], installed(package, site), tmp_path)
    return done.returncode, done.stdout + done.stderr


def test_the_package_registers_its_store_and_names_everything_alike(package: Path) -> None:
    project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == "my-db-store"
    assert project["entry-points"]["cicd_core.stores"] == {"my-db": "my_db_store:open_my_db"}
    names = ["README.md", "my_db_store.py", "pyproject.toml", "test_my_db_store.py"]
    assert sorted(each.name for each in package.iterdir()) == names
    texts = "".join(each.read_text(encoding="utf-8") for each in package.iterdir())
    assert "$" not in texts
    assert "class MyDbBackend:" in texts


@pytest.mark.thorough
def test_a_new_store_is_red_and_each_verb_refuses_by_its_name(
    package: Path, tmp_path: Path
) -> None:
    code, output = run_tests(package, tmp_path, "--tb=short", "-k", "warm or closed or lockstep")
    assert code == 1
    assert "UnsupportedCapability: my-db:// has no 'commit' yet: write MyDbBackend.commit" in output
    assert "the promise (ClosingPromises): every verb of a closed store is refused" in output
    assert "passed" not in output.splitlines()[-1]


def test_every_verb_of_a_new_store_refuses_by_its_name(package: Path) -> None:
    source = (package / "my_db_store.py").read_text(encoding="utf-8")
    assert [match["verb"] for match in REFUSAL.finditer(source)] == ASKED
    assert re.findall(r'not_written\("(\w+)"\)', source) == ASKED


@pytest.mark.thorough
def test_a_store_whose_verbs_are_written_is_green(package: Path, tmp_path: Path) -> None:
    write_verbs(package)
    code, output = run_tests(package, tmp_path, "-rs", "--cicd-histories", "1")
    assert code == 0, output
    summary = re.search(r"^(\d+) passed, \d+ skipped in ", output, re.MULTILINE)
    assert summary, output
    assert int(summary[1]) > 300


@pytest.mark.parametrize("name", ["Acme", "1db", "my_db", "my--db", "-db", "db-", "", "a b", "é"])
def test_a_name_that_is_no_scheme_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--folder", str(tmp_path), "--", name]) == 2
    assert "nothing was written: name" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_left_as_it_is(
    package: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (package / "my_db_store.py").write_text("mine", encoding="utf-8")
    assert main(["my-db", "--folder", str(tmp_path)]) == 2
    assert "it exists already" in capsys.readouterr().err
    assert (package / "my_db_store.py").read_text(encoding="utf-8") == "mine"
