"""The status page in a real browser: every page and action, live, by keyboard, without a script."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

import pytest
from playwright.sync_api import expect

from tests.patience import PATIENCE
from tests.web.scene import EVIL, addresses, spec

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio.from_thread import BlockingPortal

    from tests.web.conftest import Place, Restartable, Visitor

expect.set_options(timeout=PATIENCE * 1000)

AXE: Final = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
#: What axe is to look for: WCAG 2.2 A and AA, and what its authors hold to be good practice.
RULES: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
Open = "Callable[..., Visitor]"


def violations(visitor: Visitor) -> list[str]:
    """What axe-core finds on the page that is open: rule, and where."""
    visitor.page.evaluate(AXE)
    found: dict[str, Any] = visitor.page.evaluate(
        "rules => axe.run(document, {runOnly: {type: 'tag', values: rules}})", RULES
    )
    return [
        f"{each['id']}: {node['target']} {node.get('failureSummary', '')}"
        for each in found["violations"]
        for node in each["nodes"]
    ]


def overflow(visitor: Visitor) -> int:
    """By how many pixels the page is wider than its window."""
    wide: int = visitor.page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return wide


NAMES = (
    "overview",
    "jobs",
    "job that runs",
    "job that waits",
    "dead letter",
    "job that failed",
    "queue",
    "dead letters",
    "deployments",
    "deployment",
    "agents",
    "agent",
    "events",
    "events from the oldest",
    "audit",
    "keys",
)


def looked_at(
    visit: Callable[..., Visitor], place: Place, names: tuple[str, ...], scheme: str
) -> None:
    """Open pages in a theme, at three widths; axe finds nothing, and no text runs as a script."""
    visitor = visit(color_scheme=scheme)
    where = addresses(place.scene)
    for name in names:
        for width in (1280, 320, 2560):
            visitor.page.set_viewport_size({"width": width, "height": 900})
            visitor.page.goto(f"{place.url}{where[name]}")
            assert overflow(visitor) <= 0, (name, width)
            if width != 2560:
                assert violations(visitor) == [], (name, scheme, width)
        assert visitor.page.locator("main h1").count() == 1
        assert visitor.complaints == [], name


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_first_pages_are_accessible_and_fit_any_window(
    visit: Callable[..., Visitor], place: Place, scheme: str
) -> None:
    looked_at(visit, place, ("overview", "job that waits", "deployments"), scheme)


@pytest.mark.thorough
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", NAMES)
def test_every_page_is_accessible_and_fits_any_window(
    visit: Callable[..., Visitor], place: Place, scheme: str, name: str
) -> None:
    assert set(NAMES) == set(addresses(place.scene))
    looked_at(visit, place, (name,), scheme)


def test_a_page_follows_what_happens_until_it_is_paused(
    visit: Callable[..., Visitor], own_place: Place
) -> None:
    visitor, scene = visit(), own_place.scene
    page = visitor.page
    page.goto(f"{own_place.url}/ui/jobs/{scene.queued.job_id}")
    expect(page.locator("h1 .status")).to_have_text("queued")
    expect(page.locator("#live-state")).to_have_text("Live")
    own_place.do(scene.plane.jobs.cancel, scene.queued.job_id, reason=EVIL)
    expect(page.locator("h1 .status")).to_have_text("cancelled")
    expect(page.locator("#summary")).to_have_text(f"job {scene.queued.job_id} is cancelled")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#live-state")).to_have_text("Paused")
    page.goto(f"{own_place.url}/ui/jobs")
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    own_place.do(scene.plane.queue.enqueue, spec("Comes later"))
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("link", name="Comes later")).to_be_visible()


def test_a_page_goes_on_after_a_restart_of_the_server(
    visit: Callable[..., Visitor], restartable: tuple[Restartable, BlockingPortal]
) -> None:
    server, portal = restartable
    visitor, scene = visit(), server.scene
    page = visitor.page
    page.goto(f"{server.url}/ui/jobs/{scene.queued.job_id}")
    expect(page.locator("#live-state")).to_have_text("Live")
    server.restart()
    portal.call(scene.plane.jobs.cancel, scene.queued.job_id)
    expect(page.locator("h1 .status")).to_have_text("cancelled")
    expect(page.locator("#live-state")).to_have_text("Live")
    # The browser itself says that the stream broke off.
    visitor.complaints[:] = [
        each for each in visitor.complaints if "ERR_" not in each or "stream" not in each
    ]


def test_what_a_person_types_and_chooses_stays_when_the_page_changes(
    visit: Callable[..., Visitor], own_place: Place
) -> None:
    visitor, scene = visit(), own_place.scene
    page = visitor.page
    page.goto(f"{own_place.url}/ui/jobs")
    expect(page.locator("#live-state")).to_have_text("Live")
    box = page.locator(f'input[value="{scene.queued.job_id}"]')
    box.check()
    page.get_by_label("Reason").fill("half a sen")
    page.locator(f"#j-{scene.dead.job_id}").focus()
    own_place.do(scene.plane.queue.enqueue, spec("Comes later"))
    expect(page.get_by_role("link", name="Comes later")).to_be_visible()
    expect(box).to_be_checked()
    expect(page.get_by_label("Reason")).to_have_value("half a sen")
    expect(page.locator(f"#j-{scene.dead.job_id}")).to_be_focused()


def test_an_operator_acts_by_the_forms_of_the_pages(
    visit: Callable[..., Visitor], own_place: Place
) -> None:
    visitor, scene = visit(), own_place.scene
    page, url = visitor.page, own_place.url
    page.goto(f"{url}/ui/jobs")
    page.locator(f'input[value="{scene.queued.job_id}"]').check()
    page.get_by_label("Reason").fill("not needed")
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.locator(".note.ok")).to_have_text("1 job cancelled, or asked to stop.")
    assert "notice" not in page.url
    page.goto(f"{url}/ui/jobs/{scene.dead.job_id}")
    page.get_by_role("button", name="Replay").click()
    expect(page.locator("h1 .status")).to_have_text("queued")
    page.get_by_label("Priority").select_option("critical")
    page.get_by_role("button", name="Set", exact=True).click()
    expect(page.locator(".facts").first).to_contain_text("critical")
    page.goto(f"{url}/ui/dead-letters")
    page.get_by_role("button", name="Replay 1").click()
    expect(page.locator(".none")).to_have_text("No dead letters.")
    page.goto(f"{url}/ui/queue?pool_name=linux")
    page.get_by_label("Choose all jobs of this page").check()
    page.get_by_role("button", name="Set priority").click()
    expect(page.locator(".note.ok")).to_contain_text("given the priority")
    page.goto(f"{url}/ui/agents")
    page.get_by_role("button", name="Drain builder-2").click()
    expect(page.locator(".note.ok")).to_have_text("1 agent draining.")
    page.goto(f"{url}/ui/deployments/{scene.live.deployment_id}")
    page.get_by_text("Roll back…").click()
    page.get_by_label("Reason").fill("slow")
    page.get_by_role("button", name="Roll back").click()
    expect(page.locator("h1 .status")).to_have_text("rolled back")
    page.goto(f"{url}/ui/deployments/{scene.staged.deployment_id}")
    page.get_by_text("Fail…").click()
    page.get_by_label("Reason").fill("broken")
    page.get_by_role("button", name="Fail the deployment").click()
    expect(page.locator("h1 .status")).to_have_text("failed")
    page.goto(f"{url}/ui/keys")
    page.get_by_text("Revoke…").first.click()
    page.get_by_role("button", name="Revoke").first.click()
    expect(page.locator(".note.ok")).to_have_text("1 key revoked.")
    page.get_by_role("textbox", name="User").fill(EVIL)
    page.get_by_role("button", name="Show sessions").click()
    page.get_by_role("button", name="End session").click()
    expect(page.locator(".note.ok")).to_have_text("1 session logged out.")
    job = own_place.do(scene.plane.jobs.get, scene.queued.job_id)
    assert (job.state, job.cancel_reason) == ("cancelled", "not needed")


def test_everything_works_without_a_script(visit: Callable[..., Visitor], own_place: Place) -> None:
    visitor, scene = visit(java_script_enabled=False), own_place.scene
    page, url = visitor.page, own_place.url
    page.goto(f"{url}/ui/jobs")
    refresh = page.locator('head noscript >> css=meta[http-equiv="refresh"]')
    assert refresh.or_(page.locator('meta[http-equiv="refresh"]')).count() == 1
    page.get_by_role("link", name="Stop that").click()
    assert page.locator('meta[http-equiv="refresh"]').count() == 0
    page.locator(f'input[value="{scene.queued.job_id}"]').check()
    page.get_by_role("button", name="Cancel", exact=True).click()
    expect(page.locator(".note.ok")).to_have_text("1 job cancelled, or asked to stop.")
    page.get_by_label("Status").select_option("cancelled")
    page.get_by_role("button", name="Filter").click()
    page.get_by_role("link", name="Waits").click()
    expect(page.locator("h1 .status")).to_have_text("cancelled")


def test_a_job_is_cancelled_by_the_keyboard_alone(
    visit: Callable[..., Visitor], own_place: Place
) -> None:
    visitor, scene = visit(), own_place.scene
    page = visitor.page
    page.goto(f"{own_place.url}/ui/jobs/{scene.queued.job_id}")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "do-cancel-open":
            break
    expect(page.locator("#do-cancel-open")).to_be_focused()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("by hand")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(page.locator("h1 .status")).to_have_text("cancelled")
    job = own_place.do(scene.plane.jobs.get, scene.queued.job_id)
    assert job.cancel_reason == "by hand"
