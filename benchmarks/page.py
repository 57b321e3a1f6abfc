"""What the page costs: time of its script, growth with the logged steps, cold start, and what it takes from a training.

    python benchmarks/page.py [--steps 1000 10000 100000] [--looks 40] [--cold 5] [--pairs 6] [--window 20]

Each part is left out with 0. The server is the real one, and tabs are driven by hand (serving.py). The run that is
looked at is synthetic: it counts as running, and grows by five steps before every look.

answer: milliseconds from the request to the script's last word, 50th and 95th percentile over the looks.
look: the Train page's panel, polled every second. page: a rerun of the whole Train page, as after a click.
CPU: milliseconds of processor time that the server spends on a look, Streamlit's garbage collection included.
growth: median answer of the longest run over that of the shortest.
cold start: seconds from the start of the server to a button on Home that can be pressed, in Chromium.
cost: how much slower a training is while one tab watches it, in pairs of windows with and without the tab.
"""

import argparse
import math
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
from PIL import Image
from serving import free_port, is_up, open_tab, served, start_server

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # unetlab is not installed

from unetlab import events, files, schedules
from unetlab.config import RunConfig
from unetlab.data.samples import create_sample
from unetlab.runs import freeing, jobs, store
from unetlab.runs.status import StatusKeeper
from unetlab.workspace import own_workspace

BATCH_SIZE = 1  # a step for each training picture of the sample
STEPS_A_SECOND = 5
PREVIEWED = 4  # pictures that a training previews after each epoch
COLD_TARGET = "Try it on the sample"
CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]


class SyntheticRun:
    """A training that this process pretends to be the worker of. `steps` are logged, twice as many are planned."""

    def __init__(self, steps: int):
        manifest = create_sample(own_workspace())
        self.per_epoch = sum(pair.split == "train" for pair in manifest.pairs)
        epochs = math.ceil(2 * steps / self.per_epoch)
        config = RunConfig(kind="train", dataset=manifest.name)
        self.config = config.changed({"train.batch_size": BATCH_SIZE, "train.epochs": epochs, "train.device": "cpu"})
        self.run = store.create_run(own_workspace(), self.config, name=f"{steps} steps")
        files.write_json(self.run.folder / "environment.json", {"content_hash": manifest.content_hash})
        self.total, self.step, self.rng = epochs * self.per_epoch, 0, np.random.default_rng(0)
        self.names = [pair.name for pair in manifest.pairs if pair.split == "valid"][:PREVIEWED]
        self._draw_previews()
        self.began = time.time() - steps / STEPS_A_SECOND
        self.grow(steps)
        self.keeper = StatusKeeper(self.run.folder)
        self.keeper.update(state="running", running_since=self.began, phase="training", done=steps, total=self.total)

    def grow(self, steps: int) -> None:
        """Logs so many more steps, with an epoch and its preview wherever one ends."""
        with (self.run.folder / "events.jsonl").open("a") as file:
            file.writelines(line for _ in range(steps) for line in self._next_step())

    def _next_step(self) -> list[str]:
        lr, momentum = schedules.planned(self.step, self.total, self.config.train)
        loss = 1.5 * math.exp(-3 * self.step / self.total) * float(self.rng.uniform(0.7, 1.3))
        epoch, place = divmod(self.step, self.per_epoch)
        said: list[events.Event] = [events.Batch(step=self.step, epoch=epoch, loss=loss, lr=lr, momentum=momentum)]
        self.step += 1
        if place == self.per_epoch - 1:
            said += [self._preview(epoch), self._scores(epoch, loss)]
        now = self.began + self.step / STEPS_A_SECOND
        return [events.to_line(event, time=now, attempt=1) for event in said]

    def _scores(self, epoch: int, loss: float) -> events.Epoch:
        dice = 1 - min(loss, 1) / 2
        scores = {"background": dice, "nucleus": dice}
        return events.Epoch(
            epoch=epoch, step=self.step, train_loss=loss, valid_loss=1.1 * loss, mean_dice=dice, mean_iou=dice / 1.2,
            pixel_accuracy=dice, dice=scores, iou=scores, is_best=True,
        )  # fmt: skip

    def _preview(self, epoch: int) -> events.Preview:
        return events.Preview(epoch=epoch, folder="previews/epoch_000", names=self.names)

    def _draw_previews(self) -> None:
        folder = self.run.folder / "previews" / "epoch_000"
        folder.mkdir(parents=True)
        for number in range(PREVIEWED):
            pixels = self.rng.integers(0, 255, (128, 128, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.jpg", quality=90)

    def end(self) -> None:
        """Lets the run be over."""
        self.keeper.end("finished")


def answers(steps: int, looks: int) -> dict[str, list[float]]:
    """Seconds of each first, panel and page run over a run of so many steps, and CPU seconds of a look."""
    with served() as (port, server):
        synthetic = SyntheticRun(steps)
        query = f"dataset={synthetic.config.dataset}&run={synthetic.run.id}"
        with open_tab(port, "train", query) as tab:
            found = {"first": [tab.first], "look": [], "page": []}
            panel = tab.largest_fragment()
            for kind, ask in (("look", lambda: tab.poll(panel)), ("page", tab.rerun)):
                ask()
                used = sum(server.cpu_times()[:2])
                for _ in range(looks):
                    synthetic.grow(5)
                    found[kind].append(ask())
                    time.sleep(0.1)  # room for the garbage collection after the script's last word
                found[f"{kind} CPU"] = [(sum(server.cpu_times()[:2]) - used) / looks]
        synthetic.end()
    shutil.rmtree(synthetic.run.folder)
    return found


def chromium_path() -> str:
    """The Chromium of this machine."""
    names = ("chromium", "chromium-browser", "google-chrome", "chromium-headless-shell")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        raise SystemExit(
            "There is no Chromium on this machine: apt-get install chromium. page.py does without: --cold 0."
        )
    return path


def cold_starts(rounds: int) -> list[float]:
    """Seconds from the start of the server to a button that can be pressed, once a round, each in a fresh browser."""
    from playwright.sync_api import sync_playwright

    path, found = chromium_path(), []
    with sync_playwright() as playwright:
        for _ in range(rounds):
            browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
            tab, port = browser.new_page(), free_port()
            began = time.perf_counter()
            server = start_server(port)
            while not is_up(port):
                time.sleep(0.02)
            tab.goto(f"http://127.0.0.1:{port}/")
            tab.get_by_role("button", name=COLD_TARGET).wait_for(timeout=60_000)
            found.append(time.perf_counter() - began)
            browser.close()
            server.terminate()
            server.wait(15)
    return found


@contextmanager
def watched(port: int, run: store.Run):
    """One tab on the run, polling each of its fragments at its interval as a page does."""
    is_over = threading.Event()

    def watch() -> None:
        with open_tab(port, "train", f"dataset={run.config.dataset}&run={run.id}") as tab:
            polled: dict[str, float] = {}
            while not is_over.wait(0.02):
                for fragment, interval_s in list(tab.fragments.items()):
                    if time.monotonic() - polled.get(fragment, 0.0) >= interval_s:
                        polled[fragment] = time.monotonic()
                        tab.poll(fragment)

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        try:
            yield
        finally:
            is_over.set()
        watching.result()  # a tab that broke would have cost nothing


def training_costs(pairs: int, window_s: float) -> list[float]:
    """Steps per second with a tab over those without one, one ratio a pair; the order turns with every pair."""
    manifest = create_sample(own_workspace())
    config = RunConfig(kind="train", dataset=manifest.name).changed({"train.epochs": 10_000, "train.device": "cpu"})
    ratios = []
    with served() as (port, _):
        run = jobs.start(own_workspace(), config)
        try:
            with watched(port, run):  # a first visit starts jobs of the page's own, which are not what polling costs
                time.sleep(window_s)
            while steps_of(run) < 20:
                if not run.status.is_live:
                    raise SystemExit(f"The training ended: {run.status.reason}")
                time.sleep(0.2)
            for number in range(pairs):
                paces = {}
                for has_tab in (True, False) if number % 2 else (False, True):
                    with watched(port, run) if has_tab else nullcontext():
                        paces[has_tab] = pace(run, window_s)
                if not all(paces.values()):
                    raise SystemExit(
                        "No step was done in a window. Give a longer --window, on a machine without other work."
                    )
                ratios.append(paces[True] / paces[False])
        finally:
            jobs.kill(run)
            jobs.wait(run, timeout_s=30)
    return ratios


def pace(run: store.Run, window_s: float) -> float:
    """Steps per second over a window."""
    before, began = steps_of(run), time.perf_counter()
    time.sleep(window_s)
    return (steps_of(run) - before) / (time.perf_counter() - began)


def steps_of(run: store.Run) -> int:
    """Steps that the run has logged."""
    return sum(event["type"] == "batch" for event in store.read_events(run)[0])


def print_answers(steps: list[int], looks: int) -> None:
    """The table of answers over run lengths, and the growth from the shortest to the longest run."""
    print("steps logged   first s   look p50 / p95 ms   CPU ms   page p50 / p95 ms   CPU ms")
    medians: dict[str, list[float]] = {"look": [], "page": []}
    for count in steps:
        found = answers(count, looks)
        shown = {}
        for kind, values in medians.items():
            median, high = np.percentile(found[kind], [50, 95]) * 1000
            values.append(median)
            shown[kind] = f"{median:10.0f} / {high:<6.0f} {1000 * found[f'{kind} CPU'][0]:8.0f}"
        print(f"{count:12,} {found['first'][0]:9.2f} {shown['look']} {shown['page']}", flush=True)
    growth = {kind: values[-1] / values[0] for kind, values in medians.items()}
    print(f"growth {steps[0]:,} -> {steps[-1]:,} steps: look {growth['look']:.2f}, page {growth['page']:.2f} times")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--looks", type=int, default=40)
    parser.add_argument("--cold", type=int, default=5, help="rounds of the cold start")
    parser.add_argument("--pairs", type=int, default=6, help="pairs of windows with and without a tab")
    parser.add_argument("--window", type=float, default=20, help="seconds of a window")
    options = parser.parse_args()
    print(f"{len(os.sched_getaffinity(0))} cores, load before the start {os.getloadavg()[0]:.1f}")
    folder = Path(tempfile.mkdtemp(prefix="unetlab-benchmark-"))
    os.environ |= {"UNETLAB_HOME": str(folder / "home"), "UNETLAB_LOCKS": str(folder / "locks")}
    os.environ.pop("OMP_NUM_THREADS", None)  # torch's own choice, as a user has it
    try:
        if options.looks:
            print_answers(options.steps, options.looks)
        if options.cold:
            seconds = cold_starts(options.cold)
            shown = ", ".join(f"{value:.2f}" for value in sorted(seconds))
            print(f"cold start: {statistics.median(seconds):.2f} s (all rounds: {shown})")
        if options.pairs:
            ratios = sorted(training_costs(options.pairs, options.window))
            shown = ", ".join(f"{ratio:.3f}" for ratio in ratios)
            print(f"cost of a tab: {1 - statistics.median(ratios):.1%} of the steps a second (ratios: {shown})")
    finally:
        freeing.free_memory(own_workspace())  # the pages started workers of their own
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
