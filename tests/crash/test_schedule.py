"""A seed says what becomes of every worker, and what each of its callers draws."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from cicd_core.clock import boot_micros
from cicd_core.errors import InvalidInput
from cicd_core.testing.crash.jumping_clock import jumping
from cicd_core.testing.crash.plan import (
    SETTINGS,
    LabTask,
    Mishap,
    fate_of,
    order_of,
)
from cicd_core.testing.seeds import drawn
from cicd_core.testing.workers.orders import ANYWHERE, Point

if TYPE_CHECKING:
    from collections.abc import Callable

    from cicd_core.testing.crash import LabPlan
    from cicd_core.testing.crash.plan import Fate


def fates(plan: LabPlan) -> list[Fate]:
    return [fate_of(plan, slot, number) for slot in range(3) for number in range(100)]


def test_the_same_seed_gives_every_worker_the_same_fate(plan: Callable[..., LabPlan]) -> None:
    assert fates(plan(seed=5)) == fates(plan(seed=5))
    assert fates(plan(seed=5)) != fates(plan(seed=6))


def test_the_same_seed_lets_a_caller_draw_the_same_numbers() -> None:
    assert drawn(1, "hand", 0, 2).random() == drawn(1, "hand", 0, 2).random()
    assert drawn(1, "hand", 0, 2).random() != drawn(1, "hand", 2, 0).random()


def test_fates_are_kills_at_any_moment_at_every_point_and_stops(
    plan: Callable[..., LabPlan],
) -> None:
    found = fates(plan(life=2.0))
    assert {fate.kill_point.point for fate in found if fate.kill_point} == set(Point)
    assert {fate.kill_point.verb for fate in found if fate.kill_point} == {
        "claim",
        "commit",
        "renew",
    }
    assert all(fate.kill_point.countdown >= 1 for fate in found if fate.kill_point)
    young = [fate for fate in found if fate.at_birth]
    assert 0 < len(young) < len(found) / 5
    assert all(fate.kill_point is None and fate.stopped is None for fate in young)
    stopped = [fate for fate in found if fate.stopped is not None]
    assert stopped
    for fate in stopped:
        assert fate.stopped is not None
        assert fate.revived is not None
        assert fate.stopped + SETTINGS.lease_seconds < fate.revived < fate.killed
    assert all(fate.killed <= 2.0 for fate in found if fate.stopped is None)


def test_some_workers_fork_a_child_and_some_lose_the_lanes_of_a_pool(
    plan: Callable[..., LabPlan],
) -> None:
    found = fates(plan())
    accidents = [fate.accident for fate in found if fate.accident]
    assert {accident.mishap for accident in accidents} == set(Mishap)
    assert {accident.pool % 2 for accident in accidents} == {0, 1}
    assert 0 < len(accidents) < len(found) / 2
    assert {fate.kill_point.forks for fate in found if fate.kill_point} == {True, False}
    assert LabTask.of(order_of(plan(), 1, 0)).accident == fate_of(plan(), 1, 0).accident


def test_a_store_without_a_file_of_its_own_has_the_points_of_every_store(
    plan: Callable[..., LabPlan],
) -> None:
    found = fates(plan(store="redis://localhost/0"))
    assert {fate.kill_point.point for fate in found if fate.kill_point} == set(ANYWHERE)


def test_only_one_worker_has_a_clock_that_jumps(plan: Callable[..., LabPlan]) -> None:
    orders = [order_of(plan(), slot, 0) for slot in range(3)]
    assert [LabTask.of(order).jumps for order in orders] == [True, False, False]
    assert not LabTask.of(order_of(evolve(plan(), jumps=False), 0, 0)).jumps


def test_a_worker_inherits_what_its_predecessor_wrote(plan: Callable[..., LabPlan]) -> None:
    first, second = order_of(plan(), 1, 0), order_of(plan(), 1, 1)
    assert LabTask.of(first).inherited is None
    assert LabTask.of(second).inherited == first.journal
    assert first.name != second.name


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"tasks": 0}, {"minutes": 0}, {"life": 0}])
def test_a_run_in_which_nothing_can_happen_is_refused(
    wrong: dict[str, float], plan: Callable[..., LabPlan]
) -> None:
    (name,) = wrong
    with pytest.raises(InvalidInput) as refused:
        plan(**wrong)
    assert refused.value.field == name


def test_a_clock_that_jumps_is_off_by_no_more_than_a_year_and_never_by_a_little() -> None:
    offsets = {jumping(drawn(seed, "clock"), lambda: 0)() for seed in range(100)}
    assert all(abs(each) >= 90_000_000 or each == 0 for each in offsets)
    assert len(offsets) > 3
    assert boot_micros() > 0
