"""The whole journey of a person with real files, a real server, real workers and a real browser.

`.first`: while a page is drawn anew, an element that moves stands there twice for a moment.
"""

import json
import re
import subprocess
import sys
import time

import psutil
from playwright.sync_api import Locator, Page, expect

from tests import tiny
from tests.browser.conftest import Server, import_small_sample, start_server, write_nuclei
from tests.conftest import ROOT
from unetlab.runs.store import Run


def set_number(page: Page, label: str, value: str) -> None:
    """Types into a number input and commits it."""
    field = page.get_by_test_id("stMain").get_by_role("spinbutton", name=label, exact=True)
    field.fill(value)
    field.press("Enter")
    page.wait_for_timeout(400)


def start_long_training(server: Server, page: Page) -> None:
    """Trains on the sample for longer than any test looks at it; returns when its loss is drawn."""
    import_small_sample(server.home)
    page.goto(f"{server.url}/train?dataset=sample")
    set_number(page, "Epochs", "500")
    page.get_by_role("button", name="Start training").click()
    expect(page.locator(".st-key-live-loss").first).to_be_visible(timeout=60_000)


def status_of(server: Server, kind: str = "train") -> dict:
    """status.json of the newest run of a kind; empty where there is none."""
    configs = (server.home / "runs").glob("*/config.json")  # a run that is being made has none yet
    runs = [path.parent for path in configs if json.loads(path.read_text())["kind"] == kind]
    return Run(max(runs)).read("status.json") or {} if runs else {}


def path_length(chart: Locator) -> int:
    """How much is drawn: characters of all paths of the chart."""
    return chart.evaluate(
        "chart => [...chart.querySelectorAll('path')].map(p => p.getAttribute('d') || '').join('').length"
    )


def command(server: Server, *arguments: str) -> dict:
    """The JSON that the command line prints about the same workspace."""
    environment = {
        "UNETLAB_HOME": str(server.home),
        "UNETLAB_LOCKS": str(server.home.parent / "locks"),
        "PATH": "/usr/bin",
    }
    done = subprocess.run(
        [sys.executable, "-m", "unetlab", *arguments, "--json"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_a_person_drops_pairs_sweeps_trains_reloads_stops_and_frees_the_memory(server, new_page, tmp_path):
    pictures, masks = write_nuclei(tmp_path / "files", count=16, size=32)
    page = new_page()
    page.goto(server.url)
    page.get_by_role("link", name="Upload images").click()

    # drop pairs, see them paired
    uploads = page.locator("input[type=file]")
    uploads.nth(0).set_input_files(pictures)
    expect(page.get_by_text("16 files copied").first).to_be_visible()
    expect(page.get_by_text("Drop the masks into the box").first).to_be_visible()
    page.locator("input[type=file]").nth(1).set_input_files(masks)
    expect(page.get_by_role("heading", name="16 pairs, 2 classes")).to_be_visible()
    page.get_by_label("Name of the data set").fill("cells")
    page.get_by_label("Name of the data set").press("Enter")
    page.wait_for_timeout(500)
    page.get_by_role("button", name="Use this data set").click()
    expect(page.get_by_role("heading", name="16 pairs, 2 classes, no problems found")).to_be_visible()

    # sweep; points are drawn while it runs
    page.get_by_role("button", name="Find its learning rate").click()
    page.get_by_text("Advanced").click()
    set_number(page, "Steps", "40")
    page.get_by_role("button", name="Find the learning rate").click()
    curve = page.get_by_test_id("stMain").get_by_test_id("stVegaLiteChart").first
    expect(curve).to_be_visible(timeout=60_000)
    train = page.get_by_role("button", name=re.compile("^.*Train with"))
    expect(train).to_be_visible(timeout=120_000)
    for pick in ("min gradient", "min loss / 10"):
        expect(page.get_by_test_id("stMain").get_by_text(pick).first).to_be_visible()

    # choose a pick, train
    page.get_by_role("radio", name="min gradient").click()
    train.click()
    expect(page.get_by_role("heading", level=1, name="Train")).to_be_visible()
    expect(page.get_by_text("learning rate: min gradient without lag, from").first).to_be_visible()
    set_number(page, "Epochs", "400")
    page.get_by_role("button", name="Start training").click()
    loss = page.locator(".st-key-live-loss").first
    expect(loss).to_be_visible(timeout=60_000)

    # the number of points drawn grows, an overlay's bytes change
    first = path_length(loss)
    overlay = page.get_by_test_id("stMain").get_by_test_id("stImage").locator("img").first
    expect(overlay).to_be_visible(timeout=60_000)
    source = overlay.get_attribute("src")
    tiny.wait_until(lambda: path_length(loss) > first, "more of the curve is drawn")
    expect(overlay).not_to_have_attribute("src", source, timeout=30_000)

    # reload in the middle: still going; a second tab sees it too; so does the command line
    pid = status_of(server)["pid"]
    page.reload()
    expect(page.locator(".st-key-live-loss").first).to_be_visible(timeout=30_000)
    assert status_of(server)["state"] == "running"
    assert status_of(server)["pid"] == pid
    second = new_page()
    second.goto(page.url)
    expect(second.locator(".st-key-live-loss").first).to_be_visible(timeout=30_000)
    assert command(server, "runs", "list")["runs"][0]["status"] == "running"

    # stop it; the model it has re-evaluates to the Dice that was logged
    page.get_by_test_id("stMain").get_by_role("button", name="Stop").first.click()
    expect(page.get_by_role("button", name="See the results").first).to_be_visible(timeout=60_000)
    assert status_of(server)["state"] == "stopped"
    expect(second.get_by_role("button", name="See the results").first).to_be_visible(timeout=30_000)
    run = command(server, "runs", "list")["runs"][0]
    lines = (server.home / "runs" / run["run"] / "events.jsonl").read_text().splitlines()
    logged = [json.loads(line) for line in lines]
    # the epoch that the stop cut short may score higher, and is never the best
    best = [event["mean_dice"] for event in logged if event["type"] == "epoch" and event["is_best"]][-1]
    assert command(server, "evaluate", run["run"])["valid"]["mean_dice"] == best

    page.get_by_role("button", name="See the results").first.click()
    expect(page.get_by_role("heading", name="Worst pictures first")).to_be_visible()


def test_a_deep_link_to_a_fresh_server_shows_the_frame(own_server, new_page):
    page = new_page()
    page.goto(f"{own_server.url}/train")
    expect(page.get_by_role("heading", level=1, name="Train")).to_be_visible()
    expect(page.get_by_test_id("stSidebar").get_by_text("Nothing is running.")).to_be_visible()
    page.wait_for_timeout(1000)
    expect(page.get_by_role("dialog")).to_have_count(0)  # Streamlit says "Page not found" here if it is left alone
    expect(page.get_by_role("link", name="Upload images, or make the sample")).to_be_visible()


def test_a_server_restart_in_the_middle_of_a_run_changes_nothing(own_server, new_page):
    page = new_page()
    start_long_training(own_server, page)
    before = status_of(own_server)
    address = page.url
    own_server.stop()
    assert psutil.pid_exists(before["pid"])
    again = start_server(own_server.home)
    try:
        other = new_page()
        other.goto(address.replace(own_server.url, again.url))
        expect(other.locator(".st-key-live-loss").first).to_be_visible(timeout=30_000)
        now = status_of(again)
        assert (now["pid"], now["started"], now["state"]) == (before["pid"], before["started"], "running")
        assert now["done"] >= before["done"]
    finally:
        again.stop()
    assert not again.has_failed(), again.log.read_text()


def test_a_killed_worker_is_lost_within_15_seconds_on_page_and_command_line(server, new_page):
    page = new_page()
    start_long_training(server, page)
    psutil.Process(status_of(server)["pid"]).kill()
    began = time.monotonic()
    expect(page.get_by_text("The training process crashed").first).to_be_visible(timeout=15_000)
    assert time.monotonic() - began < 15
    assert command(server, "runs", "list")["runs"][0]["status"] == "lost"


def test_the_sample_button_sweeps_trains_and_opens_the_results_by_itself(server, new_page):
    import_small_sample(server.home)  # else the button makes the sample, of larger pictures: tests/ui/test_journey.py
    page = new_page()
    page.goto(server.url)
    page.get_by_role("button", name="Try it on the sample").click()
    expect(page.get_by_role("heading", level=1, name="Learning rate")).to_be_visible()
    expect(page.get_by_test_id("stMain").get_by_test_id("stVegaLiteChart").first).to_be_visible(timeout=60_000)
    expect(page.get_by_text("Training opens in").first).to_be_visible(timeout=180_000)
    page.get_by_role("button", name="Open now").click()
    expect(page.get_by_role("heading", level=1, name="Train")).to_be_visible()
    expect(page.locator(".st-key-live-loss").first).to_be_visible(timeout=60_000)
    assert "dataset=sample" in page.url
    assert "run=" in page.url
    # without a click, while the old page is polled
    expect(page.get_by_role("heading", level=1, name="Results")).to_be_visible(timeout=180_000)
    expect(page.get_by_role("heading", name="Worst pictures first")).to_be_visible()
