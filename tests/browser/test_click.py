"""A click is answered by a worker that is warm already. How fast is measured in benchmarks/clicks.py."""

import re
import time

import psutil
from playwright.sync_api import expect

from tests import tiny
from tests.browser.conftest import Server, import_small_sample
from tests.browser.test_journey import set_number, status_of
from unetlab.ui import live

FREE = re.compile("Free (GPU )?memory")


def registered(server: Server) -> list[str]:
    """Names of the files by which warm workers are known, without their endings."""
    return [path.stem for path in (server.home / "workers").glob("[0-9]*")]


def idle_worker(server: Server) -> int:
    """The process id of the only worker, which waits with torch loaded."""
    tiny.wait_until(lambda: [name.isdecimal() for name in registered(server)] == [True], "one worker waits")
    (pid,) = map(int, registered(server))
    tiny.wait_until(
        lambda: any("libtorch" in area.path for area in psutil.Process(pid).memory_maps()), "it has loaded torch"
    )
    return pid


def test_a_first_visit_warms_a_worker_up_it_does_the_sweep_and_the_training_and_is_freed(server: Server, new_page):
    import_small_sample(server.home)
    page = new_page()
    page.goto(f"{server.url}/learning_rate?dataset=sample")
    expect(page.get_by_role("button", name="Find the learning rate")).to_be_visible()
    pid = idle_worker(server)
    page.get_by_role("button", name="Find the learning rate").click()
    expect(page.get_by_test_id("stMain").get_by_test_id("stVegaLiteChart").first).to_be_visible(timeout=60_000)
    assert status_of(server, "lr_find")["pid"] == pid
    page.get_by_test_id("stMain").get_by_role("button", name="Stop").first.click()
    tiny.wait_until(lambda: registered(server) == [str(pid)], "it waits for the next job")

    page.goto(f"{server.url}/train?dataset=sample")
    tiny.wait_until(lambda: status_of(server, "forecast").get("state") == "finished", "the memory is forecast")
    tiny.wait_until(lambda: registered(server) == [str(pid)], "it waits for the next job")
    set_number(page, "Epochs", "500")
    page.get_by_role("button", name="Start training").click()
    expect(page.locator(".st-key-live-loss").first).to_be_visible(timeout=60_000)
    assert status_of(server)["pid"] == pid

    # the dialog stays while the live panel reruns the page, when the training is no longer young
    page.get_by_role("button", name=FREE).click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("A training run can be resumed").first).to_be_visible()
    old_at = status_of(server)["running_since"] + live.YOUNG_S
    page.wait_for_timeout(1000 * max(0, old_at + 1.5 - time.time()))
    expect(dialog).to_be_visible()

    # freed, its memory stays free, whatever is looked at
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    assert status_of(server)["state"] == "running"
    page.get_by_role("button", name=FREE).click()
    dialog.get_by_role("button", name="Stop and free memory").click()
    expect(page.locator(".st-key-receipt-box").get_by_test_id("stTable")).to_be_visible(timeout=60_000)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    assert status_of(server)["state"] == "stopped"
    assert len(list((server.home / "runs").glob("*/last.safetensors"))) == 1, "the training's model is kept"
    page.reload()
    expect(page.get_by_role("button", name=FREE)).to_be_visible()
    page.goto(f"{server.url}/learning_rate?dataset=sample")
    expect(page.get_by_role("button", name="Find the learning rate")).to_be_visible()
    assert registered(server) == []
