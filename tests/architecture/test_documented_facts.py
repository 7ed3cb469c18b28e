"""Where a hand-written page tells facts of the code, they are the facts of the code."""

from __future__ import annotations

import re
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import attrs
import pytest

from cicd_core import errors
from cicd_core.errors import CicdError
from cicd_core.job_logs import contract
from cicd_core.job_logs.contract import LogOffsetMismatch
from cicd_core.model import principal
from cicd_core.model.principal import NotAuthenticated, NotPermitted
from cicd_core.persistence import collections
from cicd_core.queueing.why import ReasonCode
from cicd_core.settings import Settings
from cicd_core.store.memory.store import LOG_RETENTION
from cicd_core.store.registry import GROUP
from cicd_core.store.sqlite import location
from tests.verbs import VERBS

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = DOCS / "reference"
DEFAULTS = Settings()

#: One of each class that has more to say than a message.
SAMPLES: dict[str, CicdError] = {
    "InvalidInput": errors.InvalidInput("field", 1, "reason"),
    "TooLarge": errors.TooLarge("field", 2, 1),
    "InvalidCursor": errors.InvalidCursor("cursor", "reason"),
    "NotFound": errors.NotFound("job", "key"),
    "WaitTimedOut": errors.WaitTimedOut("job", "running", 5.0),
    "IllegalTransition": errors.IllegalTransition("job", "key", "start", "failed", ()),
    "LeaseLost": errors.LeaseLost("job", 1, "reason"),
    "IdempotencyConflict": errors.IdempotencyConflict("key", "job"),
    "AlreadyExists": errors.AlreadyExists("job", "key"),
    "TooManyLanes": errors.TooManyLanes("pool", 256),
    "AgentReplaced": errors.AgentReplaced("agent", "incarnation"),
    "ChangedMeanwhile": errors.ChangedMeanwhile("pool", "linux"),
    "LogOffsetMismatch": LogOffsetMismatch(20, 10),
    "AgentDeregistered": errors.AgentDeregistered("agent", "terminated", "deregistered"),
    "AgentUnavailable": errors.AgentUnavailable("agent", "unhealthy", "disk at 99 %"),
    "SessionRejected": errors.SessionRejected("reason"),
    "NotAuthenticated": NotAuthenticated("reason"),
    "NotPermitted": NotPermitted("principal", "reason"),
    "TooManyConflicts": errors.TooManyConflicts(["job"], 8),
    "CorruptRecord": errors.CorruptRecord("jobs", "key", "reason"),
    "UnknownScheme": errors.UnknownScheme("acme", ["memory"]),
    "SchemaTooNew": errors.SchemaTooNew("file", 2, 1),
    "SchemaTooOld": errors.SchemaTooOld("file", 1, 2),
    "StoreReplaced": errors.StoreReplaced("store", "file"),
}


def page(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


def rows(name: str) -> dict[str, list[str]]:
    return rows_of(page(name))


def rows_of(text: str) -> dict[str, list[str]]:
    """The rows of a page's tables that begin with a name, without that name."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("| `"):
            first, *cells = (cell.strip() for cell in line.strip("|").split(" | "))
            assert first not in found, f"{first} has two rows"
            found[first.strip("` ")] = cells
    return found


def subclasses(root: type[CicdError]) -> set[type[CicdError]]:
    return {root}.union(*map(subclasses, root.__subclasses__()))


ERRORS = {
    each.__name__: each
    for each in subclasses(CicdError) - {CicdError}
    if each.__module__ in {errors.__name__, principal.__name__, contract.__name__}
}


def test_the_page_of_settings_names_every_setting_in_order() -> None:
    assert list(rows("settings.md")) == [each.name for each in attrs.fields(Settings)]


@pytest.mark.parametrize("setting", attrs.fields(Settings), ids=lambda each: each.name)
def test_the_page_of_settings_tells_the_default(setting: attrs.Attribute[Any]) -> None:
    default = rows("settings.md")[setting.name][0]
    assert float(default) == getattr(DEFAULTS, setting.name)


@pytest.mark.parametrize("setting", attrs.fields(Settings), ids=lambda each: each.name)
def test_the_page_of_settings_tells_the_range(setting: attrs.Attribute[Any]) -> None:
    _, least, most, _ = rows("settings.md")[setting.name]
    kind: Any = int if setting.name == "commit_attempts" else float
    # The two leases bound each other too, which must not be what is met here.
    others = {"lease_seconds": 1.0, "max_lease_seconds": 86400.0}
    for bound, step in ((kind(least), -1), (kind(most), 1)):
        attrs.evolve(DEFAULTS, **others | {setting.name: bound})
        with pytest.raises(errors.InvalidInput, match=setting.name):
            attrs.evolve(DEFAULTS, **others | {setting.name: bound + step})


def test_the_page_of_errors_draws_the_tree_of_the_code() -> None:
    drawn = re.compile(r"^ *CicdError\n(?: *[│├└].*\n)+", re.MULTILINE)
    in_the_page, in_the_code = drawn.search(page("errors.md")), drawn.search(errors.__doc__ or "")
    assert in_the_page is not None
    assert in_the_code is not None
    trees = [
        [line.removeprefix("    ") if kept else line for line in found[0].splitlines()]
        for found, kept in ((in_the_page, False), (in_the_code, True))
    ]
    assert trees[0] == trees[1]


def test_the_page_of_errors_names_every_error() -> None:
    assert sorted(rows("errors.md")) == sorted(ERRORS)


@pytest.mark.parametrize("name", sorted(ERRORS))
def test_the_page_of_errors_tells_what_an_error_carries(name: str) -> None:
    attributes, retryable, _ = rows("errors.md")[name]
    carried = vars(SAMPLES[name]) if name in SAMPLES else {}
    assert re.findall(r"`(\w+)`", attributes) == list(carried)
    assert retryable == ("yes" if ERRORS[name].retryable else "no")


def test_an_error_without_a_sample_carries_nothing() -> None:
    bare = [each for name, each in ERRORS.items() if name not in SAMPLES]
    assert [vars(each("message")) for each in bare] == [{}] * len(bare)


def test_the_page_of_stores_names_every_option() -> None:
    options = {name: cells for name, cells in rows("stores.md").items() if "://" not in name}
    of_sqlite = {name for name, cells in options.items() if re.search("sqlite|all", cells[0])}
    assert of_sqlite == {"namespace", *location.OPTIONS}
    assert float(options["busy_timeout"][1]) == location.BUSY_TIMEOUT
    assert float(options["log_retention"][1]) == location.LOG_RETENTION == LOG_RETENTION
    assert options["synchronous"][1] == location.Location(path=REFERENCE).synchronous


def test_the_page_of_stores_names_every_scheme() -> None:
    ours = distribution("cicd-core").entry_points
    registered = {f"{each.name}://" for each in ours if each.group == GROUP}
    named = set(re.findall(r"`([\w+]+://)`", page("stores.md")))
    assert named == registered


def test_the_page_on_waiting_jobs_explains_every_reason_in_order() -> None:
    text = (DOCS / "how-to" / "why-a-job-waits.md").read_text(encoding="utf-8")
    assert list(rows_of(text)) == [code.value for code in ReasonCode]


def test_the_page_on_reliability_names_tests_that_exist() -> None:
    text = (DOCS / "explanation" / "reliability.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(tests/[a-z/_]+)`", text))
    assert named
    assert [
        name for name in sorted(named) if not list((DOCS.parent / name).glob("test_*.py"))
    ] == []


def test_the_page_on_reliability_names_every_promise_in_order() -> None:
    text = (DOCS / "explanation" / "reliability.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| (I\d+) \|", text, re.MULTILINE)[:12] == [f"I{n}" for n in range(1, 13)]


def test_the_page_on_the_architecture_names_every_verb_of_a_store() -> None:
    text = (DOCS / "explanation" / "architecture.md").read_text(encoding="utf-8")
    verbs = [name for name in VERBS if name != "sibling"]
    assert [name for name in rows_of(text) if name in verbs] == verbs


def test_the_page_on_the_architecture_names_every_index_of_a_job_and_every_timer() -> None:
    text = (DOCS / "explanation" / "architecture.md").read_text(encoding="utf-8")
    indexes = [f"{each.partition}`, `{each.sort}" for each in collections.JOBS.indexes]
    assert [name for name in rows_of(text) if name in indexes] == indexes
    timers = list(collections.JOB_TIMERS)
    assert [name for name in rows_of(text) if name in timers] == timers


def test_the_links_of_the_readme_lead_somewhere() -> None:
    root = DOCS.parent
    links = re.findall(r"\]\(([^)#]+)", (root / "README.md").read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if "://" not in link and not (root / link).exists()] == []
