"""What changes on a page while a person looks at it, in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from cicd_core import Outcome
from tests.web.scene import addresses, spec

if TYPE_CHECKING:
    from collections.abc import Callable

    from cicd_core import ClaimedJob
    from tests.web.conftest import EmptyPlace, Place, Visitor


def claimed_at(place: Place, job_id: str) -> ClaimedJob:
    """Let an agent claim and start everything up to a job."""
    claims = place.do(
        place.scene.plane.queue.claim,
        agent_id="builder-2",
        pool_name="linux",
        labels=("amd64",),
        limit=9,
        start=True,
    )
    (found,) = (claim for claim in claims if claim.job.job_id == job_id)
    return found  # type: ignore[no-any-return] # what a call in another thread returns is any


def test_a_log_appears_when_its_job_begins_and_shows_its_end(
    visit: Callable[..., Visitor], own_place: Place
) -> None:
    page, scene = visit().page, own_place.scene
    page.goto(f"{own_place.url}/ui/jobs/{scene.queued.job_id}")
    expect(page.locator("#live-state")).to_have_text("Live")
    expect(page.locator(".log")).to_have_count(0)
    page.get_by_text("Cancel…").click()
    page.get_by_label("Reason").fill("half a sen")
    page.locator("#do-cancel-open").focus()
    claim = claimed_at(own_place, scene.queued.job_id)
    lines = b"".join(b"line %d\n" % number for number in range(10_000))
    own_place.do(own_place.logs.append, claim, 0, lines)
    log = page.locator(".log")
    expect(log).to_contain_text("line 9999")
    expect(log.get_by_text("line 9799")).to_have_count(0)
    assert log.evaluate("each => each.scrollHeight - each.scrollTop - each.clientHeight") < 2
    # What was typed stays, also where the page got another part.
    expect(page.get_by_label("Reason")).to_have_value("half a sen")
    # Whoever looks at an earlier line stays there, and then follows again.
    log.evaluate("each => { each.scrollTop = 40; }")
    own_place.do(own_place.logs.append, claim, len(lines), b"one more\n")
    expect(log).to_contain_text("one more")
    assert log.evaluate("each => each.scrollTop") == 40
    own_place.do(scene.plane.queue.complete, claim, Outcome.exited(0))
    expect(page.locator("h1 .status")).to_have_text("success")
    expect(page.locator("[data-live=actions]")).to_have_count(0)
    expect(page.locator("[data-every]")).to_have_count(0)


@pytest.mark.thorough
def test_a_text_that_a_person_selects_stays_until_it_is_copied(
    visit: Callable[..., Visitor], own_place: Place
) -> None:
    page, scene = visit().page, own_place.scene
    page.goto(f"{own_place.url}/ui/jobs/{scene.queued.job_id}")
    expect(page.locator("#live-state")).to_have_text("Live")
    page.evaluate("getSelection().selectAllChildren(document.querySelector('h1'))")
    own_place.do(scene.plane.jobs.cancel, scene.queued.job_id)
    expect(page.locator("[data-live=history]")).to_contain_text("cancelled")
    assert page.evaluate("getSelection().toString()").startswith("Waits")
    expect(page.locator("h1 .status")).to_have_text("queued")
    page.evaluate("getSelection().empty()")
    expect(page.locator("h1 .status")).to_have_text("cancelled")


@pytest.mark.thorough
def test_the_first_job_of_a_store_takes_the_place_of_the_first_steps(
    visit: Callable[..., Visitor], empty_place: EmptyPlace
) -> None:
    pages = [visit().page for _ in range(2)]
    for page, address in zip(pages, ("/ui/", "/ui/jobs"), strict=True):
        page.goto(f"{empty_place.url}{address}")
        expect(page.locator("#live-state")).to_have_text("Live")
        expect(page.get_by_role("heading", name="No jobs yet")).to_be_visible()
    empty_place.do(empty_place.plane.queue.enqueue, spec("The first"))
    for page in pages:
        expect(page.get_by_role("link", name="The first")).to_be_visible()
        expect(page.get_by_role("heading", name="No jobs yet")).to_have_count(0)
    expect(pages[1].get_by_role("button", name="Set priority")).to_be_visible()


@pytest.mark.thorough
def test_a_table_has_one_title_that_is_seen_and_a_caption_that_is_read(
    visit: Callable[..., Visitor], place: Place
) -> None:
    page = visit().page
    seen = 0
    for address in addresses(place.scene).values():
        page.goto(f"{place.url}{address}")
        tables = page.locator("table")
        assert page.locator("table > caption").count() == tables.count()
        for caption in page.locator("table > caption").all():
            box = caption.bounding_box()
            assert box is not None
            assert max(box["width"], box["height"]) <= 1
            assert caption.text_content()
            seen += 1
    assert seen > 15


@pytest.mark.thorough
def test_the_name_of_a_plot_is_one_line_at_any_width(
    visit: Callable[..., Visitor], place: Place
) -> None:
    page = visit().page
    for width in (320, 360, 1000, 1400):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(f"{place.url}/ui/")
        lines = page.evaluate(
            """() => [...document.querySelectorAll("figcaption")].map((each) => {
                const name = document.createRange();
                name.selectNodeContents(each.firstChild);
                return name.getClientRects().length;
            })"""
        )
        assert lines == [1, 1, 1], width


def test_a_page_that_is_not_seen_takes_no_connection(
    visit: Callable[..., Visitor], own_place: Place
) -> None:
    page, scene = visit().page, own_place.scene
    page.add_init_script(
        """let hidden = false;
        Object.defineProperty(document, "hidden", { get: () => hidden });
        window.hide = (wanted) => {
            hidden = wanted;
            document.dispatchEvent(new Event("visibilitychange"));
        };"""
    )
    page.goto(f"{own_place.url}/ui/jobs/{scene.queued.job_id}")
    expect(page.locator("#live-state")).to_have_text("Live")
    streams = "number => fetch('/metrics').then(answer => answer.text()).then(text =>"
    streams += " text.includes(`cicd_http_streams ${number}.0`))"
    page.wait_for_function(streams, arg=1)
    page.evaluate("hide(true)")
    page.wait_for_function(streams, arg=0)
    own_place.do(scene.plane.jobs.cancel, scene.queued.job_id)
    with page.expect_request(lambda request: "/events/stream" in request.url):
        page.evaluate("hide(false)")
    expect(page.locator("h1 .status")).to_have_text("cancelled")


@pytest.mark.thorough
def test_a_name_that_turns_its_direction_turns_nothing_else(
    visit: Callable[..., Visitor], own_place: Place
) -> None:
    page = visit().page
    made = spec("\N{RIGHT-TO-LEFT OVERRIDE}gnp.exe")
    job = own_place.do(own_place.scene.plane.queue.enqueue, made)
    page.goto(f"{own_place.url}/ui/jobs/{job.job_id}")
    name, status = (page.locator(each).bounding_box() for each in ("h1 bdi", "h1 .status"))
    assert name is not None
    assert status is not None
    assert name["x"] < status["x"]


@pytest.mark.thorough
def test_filters_are_folded_on_a_phone_alone_and_name_those_in_use(
    visit: Callable[..., Visitor], place: Place
) -> None:
    page = visit(java_script_enabled=False).page
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(f"{place.url}/ui/jobs?status=queued&pool_name=default")
    table = page.get_by_role("table").bounding_box()
    assert table is not None
    assert table["y"] < 400
    folded = page.locator("summary", has_text="Filters: queued, default")
    expect(page.get_by_label("Pool")).to_be_hidden()
    folded.click()
    expect(page.get_by_label("Pool")).to_have_value("default")
    page.set_viewport_size({"width": 1280, "height": 740})
    page.goto(f"{place.url}/ui/jobs")
    expect(page.get_by_label("Pool")).to_be_visible()
    expect(page.locator("summary", has_text="Filters")).to_be_hidden()
