"""What all tests share: the event loops that they run on, and how hard Hypothesis tries."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.spreading import spread

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

# No deadlines and no check for slowness: a busy machine is not a bug.
settings.register_profile(
    "dev", max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
DEV = settings.get_profile("dev")
settings.register_profile("ci", DEV, max_examples=200, derandomize=True, print_blob=True)
settings.register_profile("nightly", DEV, max_examples=5_000, print_blob=True)
# For the mutation run: quick, the same examples each time, and a mutant's failure needs no
# smallest example.
settings.register_profile(
    "mutation",
    DEV,
    max_examples=10,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


@pytest.fixture(scope="module", params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run each test marked `anyio` on both event loops, or on asyncio if marked `asyncio_only`."""
    return str(request.param)


@pytest.fixture(autouse=True, scope="session")
def _cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the mirrors of the tests' repositories out of the user's cache folder."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = before


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """Undo what a command that runs in this process sets up for the library's log."""
    ours, disabled = logging.getLogger("cicd_core"), logging.root.manager.disable
    handlers, propagate, level = [*ours.handlers], ours.propagate, ours.level
    yield
    ours.handlers[:], ours.propagate = handlers, propagate
    ours.setLevel(level)
    logging.disable(disabled)


def pytest_configure() -> None:
    """Hear SIGINT and SIGHUP, though a shell's background job ignores one, and nohup the other.

    What is ignored here is ignored in each process that a test starts, and some are interrupted.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without looking for garbage: the tests that are found stay, and are many.

    This halves the time to collect, which each worker takes for itself.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the trio half of tests that are marked `asyncio_only`; spread loops and stores."""
    left_out = {item for item in items if item.get_closest_marker("asyncio_only") and on_trio(item)}
    if left_out:
        config.hook.pytest_deselected(items=[*left_out])
        items[:] = [item for item in items if item not in left_out]
    spread(items)


def on_trio(item: pytest.Item) -> bool:
    """Whether a test is the trio half of a pair."""
    callspec = getattr(item, "callspec", None)
    return callspec is not None and callspec.params.get("anyio_backend") == "trio"
