"""Every error survives being pickled, copied and raised in another process."""

from __future__ import annotations

import copy
import importlib
import inspect
import multiprocessing
import pickle
import pkgutil
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any, cast

import pytest

import cicd_core
import cicd_core_dynamodb
import cicd_core_redis
from cicd_core import errors
from cicd_core.agent import JobFailed
from cicd_core.http.wire.problems import INTERNAL

if TYPE_CHECKING:
    from collections.abc import Iterator

#: An argument for each annotation of a constructor.
_GIVEN: dict[str, Any] = {
    "str": "a 'text'\n",
    "str | None": "why",
    "int": 7,
    "bool": True,
    "float": 2.5,
    "int | None": 7,
    "object": {"any": "thing"},
    "Iterable[str]": iter(("b", "a")),
    "Sequence[str]": ["b", "a"],
    "dict[str, Any] | None": {"pk": {"S": "x"}},
    "Mapping[str, str] | None": {"allow": "GET"},
    "ProblemKind": INTERNAL,
}


def modules() -> Iterator[Any]:
    for package in (cicd_core, cicd_core_redis, cicd_core_dynamodb):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.endswith("__main__"):
                yield importlib.import_module(found.name)


def named(module: Any) -> list[tuple[str, Any]]:
    return list(cast("dict[str, Any]", vars(module)).items())


def public_errors() -> list[type[Exception]]:
    """Return every class of errors that the packages define, and may let out of a module."""
    found: set[type[Exception]] = {
        each
        for module in modules()
        for name, each in named(module)
        if inspect.isclass(each)
        and issubclass(each, Exception)
        and each.__module__ == module.__name__
        and not name.startswith("_")
    }
    return sorted(found, key=lambda each: (each.__module__, each.__name__))


def made(kind: type[Exception]) -> Exception:
    signature = inspect.signature(kind.__init__)
    parameters = [each for each in signature.parameters.values() if each.name != "self"]
    if any(each.kind is inspect.Parameter.VAR_POSITIONAL for each in parameters):
        return kind("what was refused, and why")
    given = {
        each.name: _GIVEN[each.annotation]
        for each in parameters
        if each.kind is not inspect.Parameter.KEYWORD_ONLY
    }
    named = {
        each.name: _GIVEN[each.annotation]
        for each in parameters
        if each.kind is inspect.Parameter.KEYWORD_ONLY
    }
    return kind(*given.values(), **named)


def said(error: BaseException) -> tuple[object, ...]:
    attributes = {
        name: repr(value).strip("'\"") if name == "value" else value
        for name, value in vars(error).items()
    }
    return type(error), str(error), error.args, attributes


def pickled(error: Exception, protocol: int = pickle.DEFAULT_PROTOCOL) -> Any:
    return pickle.loads(pickle.dumps(error, protocol))  # noqa: S301 - what was pickled just now


ERRORS = public_errors()
TREE = [kind for kind in ERRORS if issubclass(kind, errors.CicdError)]


def test_the_whole_tree_is_looked_at() -> None:
    def below(kind: type[Exception]) -> set[type[Exception]]:
        return {kind}.union(*(below(each) for each in kind.__subclasses__()))

    ours = {each for each in below(errors.CicdError) if each.__module__.startswith("cicd_core")}
    assert ours == set(TREE)
    assert len(TREE) > 20


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_error_is_the_same_after_each_way_of_copying_it(kind: type[Exception]) -> None:
    error = made(kind)
    error.add_note("while the train was late")
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert said(pickled(error, protocol)) == said(error)
    for copied in (copy.copy(error), copy.deepcopy(error)):
        assert said(copied) == said(error)
        assert copied is not error


@pytest.mark.parametrize(
    "value", [lambda: None, open, object(), multiprocessing, {"a": [lambda: None]}, range]
)
def test_value_that_cannot_travel_goes_as_its_text(value: object) -> None:
    error = errors.InvalidInput("payload", value, "give plain JSON")
    arrived = pickled(error)
    assert (str(arrived), arrived.field, arrived.reason) == (str(error), "payload", error.reason)
    assert arrived.value in str(error)


def test_value_that_nests_deeper_than_any_stack_goes_as_its_text() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    arrived = pickled(errors.InvalidInput("payload", deep, "give less"))
    assert arrived.field == "payload"
    while deep:  # freed level by level
        deep = deep.pop()


def test_plain_value_stays_as_it_is() -> None:
    for value in (None, True, 10**5000, 1.5, "text", b"bytes"):
        assert pickled(errors.InvalidInput("f", value, "r")).value == value


def raise_it(number: int) -> None:
    if number == 0:
        raise errors.NotFound("job", "01M7")
    if number == 1:
        raise JobFailed("no tests were found", exit_code=5)
    raise errors.IllegalTransition("job", "01M7", "start", "success", ())


@pytest.mark.thorough
def test_error_of_another_process_comes_out_as_it_was_raised() -> None:
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawning) as processes:
        with pytest.raises(errors.NotFound) as missing:
            processes.submit(raise_it, 0).result()
        with pytest.raises(JobFailed) as failed:
            processes.submit(raise_it, 1).result()
        with pytest.raises(errors.IllegalTransition, match="the state is final"):
            processes.submit(raise_it, 2).result()
        assert processes.submit(int, "1").result() == 1
    assert (missing.value.kind, missing.value.key) == ("job", "01M7")
    assert failed.value.outcome.exit_code == 5
