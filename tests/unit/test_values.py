"""Values are what attrs makes of them: only building and changing them takes another way."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any, Generic, TypeVar

import attrs
import pytest
from attrs import Factory, field
from attrs.exceptions import FrozenInstanceError

from cicd_core.values import evolve, frozen

T = TypeVar("T")


def _doubled(number: int) -> int:
    return 2 * number


def _length(made: Everything) -> int:
    return len(made.name)


@frozen(kw_only=True)
class Everything:
    name: str
    number: int = field(default=1, converter=_doubled)
    items: list[int] = field(factory=list[int], repr=False)
    size: int = field(default=Factory(_length, takes_self=True))
    note: object = field(default=None, eq=False)

    @property
    def first(self) -> int:
        return self.items[0]


@frozen
class Pair(Generic[T]):
    left: T
    right: T


@frozen
class Checked:
    number: int

    def __attrs_post_init__(self) -> None:
        if self.number < 0:
            raise ValueError("number: give at least 0")


@frozen(kw_only=True)
class More(Everything):
    extra: str = "x"


@frozen
class Empty:
    pass


@frozen
class Validated:
    number: int = field(validator=attrs.validators.gt(0))


@frozen(kw_only=True)
class Odd:
    """Names that the generated functions use, or could."""

    kind: int
    cls: int
    new: int
    draft: int
    value: int
    changes: int
    names: int
    found: int = 0


def test_a_value_has_its_fields_defaults_factories_and_converters() -> None:
    made = Everything(name="abc")
    assert (made.name, made.number, made.items, made.size, made.note) == ("abc", 2, [], 3, None)
    other = Everything(name="a", number=4, items=[5], size=9, note="n")
    assert (other.number, other.items, other.size, other.first) == (8, [5], 9, 5)
    assert Everything(name="a").items is not Everything(name="a").items


def test_a_value_is_of_its_class_and_never_changes() -> None:
    made: Any = Everything(name="abc")
    changed: Any = evolve(made, name="b")
    assert type(made) is type(changed) is Everything
    values: list[Any] = [made, changed, copy.copy(made)]
    for value in values:
        with pytest.raises(FrozenInstanceError):
            value.name = "other"
        with pytest.raises(FrozenInstanceError):
            del value.name
        with pytest.raises(AttributeError):
            value.unknown = 1


def test_values_compare_hash_and_show_as_attrs_has_it() -> None:
    assert Everything(name="a", note=1) == Everything(name="a", note=2)
    assert Pair(1, 2) != Pair(2, 1)
    assert {Pair(1, 2): "x"}[Pair(1, 2)] == "x"
    assert repr(Pair(1, 2)) == "Pair(left=1, right=2)"
    assert "items" not in repr(Everything(name="a"))
    assert Empty() == Empty()


def test_a_changed_value_keeps_what_is_not_named() -> None:
    made = Everything(name="abc", number=3, items=[1])
    changed = evolve(made, name="b")
    assert (changed.name, changed.number, changed.size) == ("b", 6, 3)
    assert changed.items is made.items
    assert evolve(made, number=5).number == 10
    assert evolve(More(name="a"), extra="y") == More(name="a", extra="y")
    assert made == Everything(name="abc", number=3, items=[1])


@pytest.mark.parametrize("value", [Everything(name="a"), Pair(1, 2), Empty()])
def test_a_field_that_there_is_not_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=f"{type(value).__name__} has no field zero"):
        evolve(value, zero=0)
    with pytest.raises(TypeError, match="zero"):
        type(value)(zero=0)


def test_a_missing_argument_and_one_too_many_are_refused() -> None:
    kind: Any = Everything
    with pytest.raises(TypeError, match="name"):
        kind()
    with pytest.raises(TypeError, match="positional"):
        kind("abc")
    pair: Any = Pair
    with pytest.raises(TypeError, match="positional"):
        pair(1, 2, 3)


def test_what_checks_itself_does_so_when_it_is_made_and_when_it_is_changed() -> None:
    with pytest.raises(ValueError, match="number"):
        Checked(-1)
    with pytest.raises(ValueError, match="number"):
        evolve(Checked(1), number=-1)
    with pytest.raises(ValueError, match="number"):
        Validated(0)
    with pytest.raises(ValueError, match="number"):
        evolve(Validated(1), number=0)


def test_a_subclass_has_the_fields_of_both() -> None:
    made = More(name="ab", extra="y")
    assert (made.name, made.size, made.extra) == ("ab", 2, "y")
    assert isinstance(made, Everything)


def test_fields_may_have_any_name() -> None:
    made = Odd(kind=1, cls=2, new=3, draft=4, value=5, changes=6, names=7)
    assert evolve(made, value=8, cls=9) == Odd(
        kind=1, cls=9, new=3, draft=4, value=8, changes=6, names=7
    )


def pickled(value: Any, protocol: int = pickle.DEFAULT_PROTOCOL) -> Any:
    return pickle.loads(pickle.dumps(value, protocol))  # noqa: S301 - what was just written


@pytest.mark.parametrize("value", [Pair(1, [2]), More(name="a", items=[1]), Checked(3), Empty()])
def test_a_value_is_copied_and_travels(value: Any) -> None:
    twins = [copy.copy(value), copy.deepcopy(value)]
    twins += [pickled(value, protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
    for twin in twins:
        assert twin == value
        assert type(twin) is type(value)


def test_a_copy_is_not_converted_again() -> None:
    assert copy.copy(Everything(name="a", number=3)).number == 6
    assert pickled(Everything(name="a", number=3)).number == 6


def test_the_signature_is_that_of_the_fields() -> None:
    parameters = inspect.signature(Everything).parameters
    assert list(parameters) == ["name", "number", "items", "size", "note"]
    assert all(each.kind is each.KEYWORD_ONLY for each in parameters.values())
    assert parameters["number"].default == 1
    assert parameters["name"].annotation == "str"
    assert parameters["items"].default is attrs.NOTHING


def test_a_factory_is_called_for_what_attrs_takes_for_nothing() -> None:
    nothing: Any = attrs.NOTHING
    assert Everything(name="abc", items=nothing, size=nothing) == Everything(name="abc")


def test_what_is_no_value_may_not_inherit_from_one() -> None:
    class Other(Pair[int]):
        pass

    with pytest.raises(TypeError, match="Other: only a value may inherit"):
        Other(1, 2)
    with pytest.raises(TypeError, match="Odder: a field is not as simple"):

        @frozen(kw_only=True)
        class Odder(Everything):
            limit: int = field(default=1, validator=attrs.validators.gt(0))
