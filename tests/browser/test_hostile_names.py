"""Every page with hostile names, in a real browser: all are shown as they are, none links or loads anything."""

import shutil

import pytest
from playwright.sync_api import Page, expect

from tests import hostile
from tests.browser.conftest import Server
from unetlab.runs.store import Run
from unetlab.ui.text import shortened

PATIENCE_MS = 30_000
# what points somewhere else than to this server
STRANGE = f"[href], [src], [style*='{hostile.EVIL}'], .katex"
ELSEWHERE = """found => found.filter(one => {
    const place = one.getAttribute("href") ?? one.getAttribute("src");
    const url = place === null ? null : new URL(place, location);  // a name in the query of our own link is harmless
    return url === null || !(url.host === location.host || ["data:", "blob:"].includes(url.protocol));
}).map(one => one.outerHTML)"""


def is_shown(page: Page, text: str, *, inside: str = "stMain") -> None:
    """Waits until the text stands somewhere on the page, letter by letter."""
    expect(page.get_by_test_id(inside).get_by_text(text).first).to_be_visible(timeout=PATIENCE_MS)


def is_harmless(page: Page) -> None:
    """No element that the page has by now links to, or loads from, another place."""
    assert page.locator(STRANGE).evaluate_all(ELSEWHERE) == []


@pytest.fixture
def visit(server: Server, hostile_run, new_page):
    """Opens a page of a server with the hostile workspace; nobody may be asked for anything but that server."""
    shutil.copytree(hostile_run.folder.parents[1], server.home, dirs_exist_ok=True)
    page, asked = new_page(), []
    page.on("request", lambda request: asked.append(request.url))

    def visit(path: str, **query: str) -> Page:
        words = "&".join(f"{key}={value}" for key, value in query.items())
        page.goto(f"{server.url}/{path}?dataset={hostile.DATASET}&{words}")
        return page

    yield visit
    assert {url for url in asked if not url.startswith((server.url, "data:", "blob:"))} == set()


def test_home_and_the_sidebar_show_names_as_they_are(visit, hostile_run, server):
    run = Run(server.home / "runs" / hostile_run.id)
    hostile.put_into(run, state="running", phase=f"training {hostile.NAME}")
    hostile.put_into(run, state="queued")
    page = visit("")
    is_shown(page, hostile.NAME)
    is_shown(page, f"Mean Dice on {hostile.DATASET}")
    is_shown(page, hostile.NAME, inside="stSidebar")
    is_shown(page, f"training {hostile.NAME}: ", inside="stSidebar")
    is_harmless(page)
    page.get_by_role("button", name="Free memory").click()
    expect(page.get_by_role("dialog").get_by_text(hostile.NAME).first).to_be_visible()
    is_harmless(page)


def test_the_data_page_shows_names_as_they_are(visit):
    page = visit("data")
    is_shown(page, f"[orphan](www.{hostile.EVIL}).png")
    is_shown(page, f"{shortened(hostile.FILES[0])} · ")
    is_shown(page, hostile.NAME)  # in the legend
    closed = page.locator("details:not([open]) > summary")
    for _ in range(closed.count()):
        closed.first.click()
    is_shown(page, f"[unused](www.{hostile.EVIL}).xyz")
    is_shown(page, "Strength")
    is_shown(page, "part of it, at 32×32 px")
    page.get_by_test_id("stRadio").get_by_role("radio").last.check(force=True)
    is_shown(page, " · then")
    page.get_by_role("button", name="Delete this data set").click()
    expect(page.get_by_text(f"This deletes {hostile.DATASET} with")).to_be_visible()
    is_harmless(page)


def test_the_learning_rate_page_shows_reasons_as_they_are(visit, hostile_run, server, monkeypatch):
    monkeypatch.setenv("UNETLAB_HOME", str(server.home))
    sweep = hostile.sweep(hostile_run)
    page = visit("learning_rate", sweep=sweep.id)
    is_shown(page, f"A short training on {hostile.DATASET} while")
    is_shown(page, f"{hostile.REASON} Nothing is lost")
    is_shown(page, f"declined. {hostile.REASON}")
    is_harmless(page)


@pytest.mark.parametrize("state", ["failed", "lost", "stopped", "queued"])
def test_the_train_page_shows_names_and_reasons_as_they_are(visit, hostile_run, server, state):
    dead = {"pid": 2**22 + 1, "started": 1.0} if state == "lost" else {}
    run = Run(server.home / "runs" / hostile_run.id)
    run = hostile.put_into(run, state="running" if state == "lost" else state, **dead)
    page = visit("train", run=run.id)
    is_shown(page, hostile.NAME)
    if state in ("failed", "stopped"):
        is_shown(page, hostile.REASON)
    is_shown(page, f"second {hostile.NAME}")
    page.get_by_text("Name and remarks").click()
    page.get_by_text("Log", exact=True).click()
    is_harmless(page)


def test_the_results_page_shows_names_as_they_are(visit, hostile_run):
    page = visit("results", run=hostile_run.id)
    expect(page.get_by_role("heading", name="Worst pictures first")).to_be_visible(timeout=PATIENCE_MS)
    is_shown(page, f"{shortened(hostile.FILES[1])} · Dice")
    is_shown(page, hostile.NAME)
    page.get_by_text("Configuration").click()
    page.get_by_text("As a table").click()
    is_harmless(page)
