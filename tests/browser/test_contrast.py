"""What is hard to see or out of reach, measured in the browser: contrast of all text, rings of the keyboard's focus."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests import tiny
from tests.browser.conftest import Server
from tests.ui.test_pages import put_into
from unetlab.runs.store import Run

CONTRAST = Path(__file__).with_name("contrast.js").read_text()
LOOKS = (("light", 1280), ("dark", 1280), ("dark", 390))
PAGES = ("", "data", "learning_rate", "train", "results", "runs")
FOCUS = """() => {
    const e = document.activeElement, style = getComputedStyle(e);
    const hasRing = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
    // a box of text has its ring as the border of what lies around it
    const isText = e.tagName === 'INPUT' && ['text', 'number'].includes(e.type);
    return {tag: e.tagName, name: e.ariaLabel || e.innerText, hasRing: hasRing || isText,
            isTool: Boolean(e.closest('[data-testid=stElementToolbar]')), kind: e.dataset.testid};
}"""


@pytest.fixture
def home(server: Server, trained: Run) -> Run:
    """The server's workspace with a data set, a finished training and a finished sweep; the training."""
    run = tiny.copy_trained(trained, server.home)
    tiny.finished_sweep()
    events = [json.loads(line) for line in (run.folder / "events.jsonl").read_text().splitlines()]
    first = next(event for event in events if event["type"] == "epoch")
    first["valid_loss"] = 300.7  # above the axis
    (run.folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    return run


def opened(page: Page, address: str) -> None:
    """Opens a page and waits until all of it is drawn."""
    page.goto(address)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    page.wait_for_function("!document.querySelector('[data-testid=stStatusWidget], [data-testid=stSkeleton]')")
    page.wait_for_timeout(300)


def test_all_text_stands_out_from_its_ground_on_every_page_in_both_themes_wide_and_narrow(server, home, new_page):
    page, pale = new_page(), {}
    for name in (*PAGES, "data: bring", "train: run"):
        path, _, view = name.partition(": ")
        opened(page, f"{server.url}/{path}?dataset={tiny.NAME}")
        if view:
            page.get_by_test_id("stMain").get_by_role("radio").nth(1).click()
            page.wait_for_timeout(800)
        for theme, width in LOOKS:
            page.emulate_media(color_scheme=theme)
            page.set_viewport_size({"width": width, "height": 844})
            page.wait_for_timeout(200)
            looked = page.evaluate(CONTRAST)
            assert looked["count"] > 10, (name, theme, width)
            pale[name, theme, width] = looked["pale"]
    assert {where: found for where, found in pale.items() if found} == {}


def test_the_keyboard_sees_where_it_is_and_passes_no_chart_tool(server, home, new_page):
    page = new_page()
    opened(page, f"{server.url}/learning_rate?dataset={tiny.NAME}")
    stops = []
    for _ in range(45):
        page.keyboard.press("Tab")
        stops.append(page.evaluate(FOCUS))
    stops = [stop for stop in stops if stop["tag"] != "BODY"]
    assert len([stop for stop in stops if stop["kind"] == "stTopNavLink"]) >= len(PAGES)
    assert [stop["name"] for stop in stops if not stop["hasRing"]] == []
    assert [stop["name"] for stop in stops if stop["isTool"]] == []


def test_a_narrow_page_shows_what_runs_without_the_sidebar_and_a_wide_one_does_not(server, home, new_page):
    put_into(home, "running")
    page = new_page(width=390)
    page.goto(f"{server.url}/?dataset={tiny.NAME}")
    line = page.locator(".st-key-running-line")
    expect(line.get_by_text("training: step 3 of 4")).to_be_visible()
    page.set_viewport_size({"width": 1280, "height": 844})
    expect(line).to_be_hidden()
    page.set_viewport_size({"width": 390, "height": 844})
    line.get_by_role("button", name="Watch").click()
    expect(page.get_by_role("heading", level=1, name="Train")).to_be_visible()
    expect(line).to_have_count(0)


def test_a_narrow_page_has_the_curve_of_a_sweep_above_its_form(server, home, new_page):
    page = new_page(width=390)
    opened(page, f"{server.url}/learning_rate?dataset={tiny.NAME}")
    main = page.get_by_test_id("stMain")
    chart, field = main.get_by_test_id("stVegaLiteChart").first, main.get_by_label("Batch size").first
    expect(chart).to_be_visible()
    assert chart.bounding_box()["y"] < 844 / 2 < field.bounding_box()["y"]
    page.set_viewport_size({"width": 1280, "height": 844})
    page.wait_for_timeout(300)
    assert field.bounding_box()["y"] < 844 / 2
