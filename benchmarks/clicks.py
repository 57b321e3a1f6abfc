"""How long a person waits after a click: to the first point of a sweep, to the first loss of a training, in Chromium.

    python benchmarks/clicks.py [--rounds 10] [--threads N] [--cold]

The server, its workers and the sample are the real ones, every round is a fresh tab. The time is taken inside of the
page, from the click on the button to the frame that has the chart. --cold: without a warm worker, for comparison.
--threads: cores that torch uses, by default as many as it likes; on a machine that others use take 1.

Aims, median of 10 with a warm worker: 2.0 s to the first point, 2.5 s to the first loss.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from page import CHROMIUM_FLAGS, chromium_path
from playwright.sync_api import Browser, sync_playwright
from serving import served

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from unetlab.data.samples import create_sample
from unetlab.runs import freeing, jobs, store, warm
from unetlab.workspace import own_workspace

CLICKS = {  # page: (button, what is drawn then, seconds aimed at)
    "learning_rate": ("Find the learning rate", "[data-testid=stMain] svg.marks", 2.0),
    "train": ("Start training", ".st-key-live-loss svg.marks", 2.5),
}
SECONDS_UNTIL = """(button, drawn) => new Promise(done => {
    const began = performance.now()
    const look = () => document.querySelector(drawn)
        ? done((performance.now() - began) / 1000) : requestAnimationFrame(look)
    button.click()
    look()
})"""
PATIENCE_S = 120.0


def wait_until(is_true: Callable[[], object], what: str) -> None:
    """Returns as soon as `is_true()`."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_true():
        if time.monotonic() > deadline:
            raise SystemExit(f"Not within {PATIENCE_S:.0f} s: {what}.")
        time.sleep(0.05)


def is_ready() -> bool:
    """Whether a warm worker waits and has nothing left to set up."""
    idle = [pid for pid, run_id in warm.living(own_workspace()).items() if run_id == warm.IDLE]
    return bool(idle) and psutil.Process(idle[0]).cpu_percent(interval=0.5) < 5


def click(browser: Browser, port: int, page: str, *, is_warm: bool) -> float:
    """Seconds from a click on the page's button to its chart."""
    button, drawn, _ = CLICKS[page]
    tab = browser.new_page()
    tab.goto(f"http://127.0.0.1:{port}/{page}?dataset=sample")
    target = tab.get_by_role("button", name=button)
    target.wait_for()
    wait_until(is_ready, "a warm worker")
    if not is_warm:
        freeing.free_memory(own_workspace())
    tab.wait_for_timeout(1000)  # other parts of the page have been drawn by then
    seconds = target.evaluate(SECONDS_UNTIL, drawn)
    (run,) = (run for run in jobs.live_runs(own_workspace()) if run.config.kind in ("lr_find", "train"))
    tab.close()
    jobs.stop(run)
    jobs.wait(run, timeout_s=PATIENCE_S)
    store.delete_run(run)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--cold", action="store_true")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="unetlab-benchmark-"))
    os.environ |= {"UNETLAB_HOME": str(folder / "home"), "UNETLAB_LOCKS": str(folder / "locks")}
    os.environ.pop("OMP_NUM_THREADS", None)
    if options.threads:
        os.environ["OMP_NUM_THREADS"] = str(options.threads)
    chromium = chromium_path()
    print(f"{len(os.sched_getaffinity(0))} cores, load before the start {os.getloadavg()[0]:.1f}")
    create_sample(own_workspace())
    try:
        with served() as (port, _), sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
            for page, (button, _, aim) in CLICKS.items():
                seconds = [click(browser, port, page, is_warm=not options.cold) for _ in range(options.rounds)]
                print(
                    f"{button}: median {statistics.median(seconds):.2f} s, {min(seconds):.2f} to {max(seconds):.2f} "
                    f"(aim {aim} s), load {os.getloadavg()[0]:.1f}",
                    flush=True,
                )
            browser.close()
    finally:
        freeing.free_memory(own_workspace())
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
