"""The Train page in a browser: where a start leads the eye, what a rename changes, the masks of earlier epochs."""

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import import_small_sample
from tests.browser.test_journey import set_number


def is_in_sight(page: Page, text: str) -> bool:
    """Whether the first element with this text lies wholly in the window."""
    box = page.get_by_test_id("stMain").get_by_text(text).first.bounding_box()
    size = page.viewport_size
    return box is not None and box["y"] >= 0 and box["y"] + box["height"] <= size["height"]


def start(page: Page, *, epochs: int) -> None:
    set_number(page, "Epochs", str(epochs))
    button = page.get_by_role("button", name="Start training")
    button.scroll_into_view_if_needed()
    button.click()


def test_a_start_shows_the_run_which_is_renamed_and_looked_back_on(server, new_page):
    import_small_sample(server.home)
    page = new_page()
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(f"{server.url}/train?dataset=sample")
    start(page, epochs=400)
    expect(page.get_by_text("training: step").first).to_be_visible(timeout=60_000)
    assert is_in_sight(page, "training: step")
    expect(page.get_by_role("button", name="Start training")).to_have_count(0)

    # beside the loss the newest masks, both above the fold
    loss, masks = page.locator(".st-key-live-loss").first, page.get_by_alt_text("Prediction and truth").first
    expect(masks).to_be_visible(timeout=60_000)
    assert loss.bounding_box()["y"] + loss.bounding_box()["height"] <= 800
    assert abs(loss.bounding_box()["y"] - masks.bounding_box()["y"]) < 40
    expect(page).to_have_title(re.compile(r"\d+% · "))

    # a new name shows at once: in the run's line, in the sidebar and in the tab
    page.get_by_text("Name and remarks").click()
    page.get_by_label("Run name").fill("first try")
    page.get_by_label("Run name").press("Enter")
    expect(page.get_by_test_id("stMain").get_by_text("first try", exact=True).first).to_be_visible()
    expect(page.get_by_label("Training run").first).to_have_value(re.compile("^first try · "))
    expect(page).to_have_title(re.compile("first try"))

    # the scrubber stays at an earlier epoch while the run goes on
    expect(page.get_by_text(re.compile("after epoch [3-9], the last one")).first).to_be_visible(timeout=60_000)
    page.get_by_role("slider", name="After epoch").first.press("Home")
    expect(page.get_by_text("Validation pictures after epoch 1:").first).to_be_visible()
    page.wait_for_timeout(2500)
    expect(page.get_by_text("Validation pictures after epoch 1:").first).to_be_visible()

    # on a phone too; what waits says for whom
    phone = new_page(width=390)
    phone.set_viewport_size({"width": 390, "height": 844})
    phone.goto(f"{server.url}/train?dataset=sample")
    phone.get_by_text("New training").click()
    start(phone, epochs=50)
    expect(phone.get_by_text(re.compile(r"Waiting since \d\d:\d\d for first try")).first).to_be_visible()
    assert is_in_sight(phone, "Waiting since")
    phone.get_by_test_id("stMain").get_by_role("button", name="Cancel").first.click()
    expect(phone).to_have_title(re.compile("^Stopped · "))
