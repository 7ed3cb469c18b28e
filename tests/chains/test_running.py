"""The runner: the order of links, the conditions between them, and what middleware sees."""

from __future__ import annotations

from typing import Any

import pytest

from cicd_core.chains import Chain, State

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Note:
    """Adds its name to those that were called."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def call(self, ctx: Any) -> Any:
        return ctx.insert("called", (*ctx.get("called", ()), self.name))


class Fail:
    async def call(self, ctx: Any) -> Any:
        raise LookupError("no such thing")


class Watch:
    def __init__(self) -> None:
        self.seen: list[tuple[str, object]] = []

    async def before(self, link: Any, ctx: Any) -> None:
        self.seen.append(("before", getattr(link, "name", None)))

    async def after(self, link: Any, ctx: Any) -> None:
        self.seen.append(("after", getattr(link, "name", None)))

    async def on_error(self, link: Any, error: Exception, ctx: Any) -> None:
        self.seen.append((f"{type(link).__name__}: {error}", ctx.get("called")))


def chain_of(*names: str) -> Chain:
    chain = Chain()
    for name in names:
        chain.add_link(Note(name), name)
    return chain


async def called(chain: Chain, **data: Any) -> tuple[str, ...]:
    return tuple((await chain.run(State(data))).get("called", ()))


async def test_links_are_called_in_the_order_in_which_they_were_added() -> None:
    assert await called(chain_of("b", "a", "c")) == ("b", "a", "c")


async def test_a_condition_that_does_not_hold_leaves_the_link_and_those_behind_it_out() -> None:
    chain = chain_of("a", "b", "c", "d")
    chain.connect("a", "b", lambda ctx: bool(ctx.get("go")))
    chain.connect("b", "c", lambda _: True)
    assert await called(chain) == ("a", "d")
    assert await called(chain, go=True) == ("a", "b", "c", "d")


async def test_one_of_several_ways_is_enough() -> None:
    chain = chain_of("a", "b", "c")
    chain.connect("a", "b", lambda _: False)
    chain.connect("b", "c", lambda _: True)
    chain.connect("a", "c", lambda _: True)
    assert await called(chain) == ("a", "c")


async def test_a_way_from_a_link_that_comes_later_does_not_lead() -> None:
    chain = chain_of("a", "b")
    chain.connect("b", "a", lambda _: True)
    assert await called(chain) == ("b",)


@pytest.mark.parametrize(
    ("source", "target", "field"), [("a", "B", "target"), ("A", "b", "source")]
)
async def test_a_connection_that_names_no_link_is_refused_before_any_is_called(
    source: str, target: str, field: str
) -> None:
    chain, watch = chain_of("a", "b"), Watch()
    chain.connect(source, target, lambda _: True)
    chain.use_middleware(watch)
    with pytest.raises(
        ValueError, match=f"^{field}: there is no link '[AB]'; the links are 'a', 'b'"
    ):
        await chain.run(State())
    assert watch.seen == []


async def test_middleware_sees_each_link_that_is_called() -> None:
    chain, watch = chain_of("a", "b"), Watch()
    chain.connect("a", "b", lambda _: False)
    chain.use_middleware(watch)
    await chain.run(State())
    assert watch.seen == [("before", None), ("before", "a"), ("after", "a"), ("after", None)]


async def test_middleware_sees_an_error_with_the_link_that_raised_it_and_it_goes_on() -> None:
    chain, watch = chain_of("a"), Watch()
    chain.add_link(Fail())
    chain.use_middleware(watch)
    with pytest.raises(LookupError, match="no such thing"):
        await chain.run(State())
    assert watch.seen[-1] == ("Fail: no such thing", ("a",))


async def test_a_condition_that_raises_is_an_error_of_the_chain() -> None:
    chain, watch = chain_of("a", "b"), Watch()
    chain.connect("a", "b", lambda ctx: bool(ctx.get("absent").field))
    chain.use_middleware(watch)
    with pytest.raises(AttributeError):
        await chain.run(State())
    assert str(watch.seen[-1][0]).endswith("has no attribute 'field'")


def test_two_links_of_one_name_are_refused() -> None:
    chain = chain_of("a")
    with pytest.raises(ValueError, match="name"):
        chain.add_link(Note("other"), "a")


def test_a_state_never_changes() -> None:
    state = State({"a": 1})
    other = state.insert("a", 2)
    other.to_dict()["a"] = 3
    assert (state.get("a"), other.get("a"), state.get("b", 0)) == (1, 2, 0)
