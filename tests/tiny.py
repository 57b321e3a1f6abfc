"""A data set of eight small pictures and runs on it, for tests with real workers."""

import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unetlab import events
from unetlab.__main__ import main
from unetlab.config import RunConfig
from unetlab.data.importing import import_dataset
from unetlab.files import write_json
from unetlab.runs import jobs, store
from unetlab.runs.status import Status, StatusKeeper
from unetlab.runs.store import Run, read_events
from unetlab.workspace import own_workspace

ROOT = Path(__file__).resolve().parents[1]
NAME = "tiny"
OPTIONS = {
    "data.image_size": 32,
    "model.base_width": 4,
    "model.depth": 2,
    "train.batch_size": 3,
    "train.epochs": 2,
    "train.max_lr": 0.02,
    "train.device": "cpu",
    "lr_find.num_steps": 30,
}
ENDLESS = {"train.epochs": 10_000}  # long enough for anything a test does in the middle of a run
ONE_THREAD = ("OMP_NUM_THREADS", "1")  # threads that wait for one another take ten times longer on a busy machine
PICK = 0.0035  # the rate that finished_sweep found
PATIENCE_S = 90.0  # a worker starts torch in 4 s alone, far later on a busy machine


def write_pairs(folder: Path, *, count: int = 8, size: int = 32, suffix: str = "_mask") -> Path:
    """`count` noisy pictures N.png with one bright box each, and N_mask.png with 255 in the box; the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        mask = np.zeros((size, size), np.uint8)
        top, left = rng.integers(0, size // 2, 2)
        mask[top : top + size // 2, left : left + size // 3] = 255
        picture = np.clip(rng.normal(90, 25, mask.shape) + mask / 3, 0, 255).astype(np.uint8)
        Image.fromarray(picture).save(folder / f"{number}.png")
        Image.fromarray(mask).save(folder / f"{number}{suffix}.png")
    return folder


def import_tiny(folder: Path) -> None:
    """Imports eight pairs as data set `tiny` into the current workspace; `folder` takes the pictures."""
    import_dataset(own_workspace(), [write_pairs(folder)], name=NAME)


def config(kind: str = "train", changes: dict[str, Any] | None = None, **top: Any) -> RunConfig:
    """The tiny job with some options changed."""
    return RunConfig(kind="train", dataset=NAME).changed(OPTIONS | (changes or {}), kind=kind, **top)


def wait_until(is_true: Callable[[], object], what: str, *, timeout_s: float = PATIENCE_S) -> None:
    """Returns as soon as `is_true()`; fails, saying `what` was awaited, after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not is_true():
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.03)


def ended(run: Run) -> Status:
    """The status of a run once it has ended."""
    status = jobs.wait(run, timeout_s=PATIENCE_S)
    assert not status.is_live, f"{run.id} is still {status.state}\n{run.log_tail()}"
    return status


def sweep_and_train(changes: dict[str, Any] | None = None, *, name: str = "") -> tuple[Run, Run]:
    """A sweep and the training that waits behind it for its rate."""
    asked = config(changes=changes)
    sweep = jobs.start(own_workspace(), asked.changed({}, kind="lr_find"), name=name)
    return sweep, jobs.train_behind(sweep, asked, pick="min_gradient", name=name)


def start_and_train(changes: dict[str, Any] | None = None, *, epochs: int = 2) -> Run:
    """A run in the middle of its training: `epochs` of them are logged and it goes on for ever."""
    run = jobs.start(own_workspace(), config(changes=ENDLESS | (changes or {})))
    wait_until(lambda: len(of_type(run, "epoch")) >= epochs or not run.status.is_live, f"{epochs} epochs")
    assert run.status.state == "running", run.log_tail()
    return run


def of_type(run: Run, kind: str) -> list[dict[str, Any]]:
    """All events of one type that the run has logged."""
    return [event for event in read_events(run)[0] if event["type"] == kind]


def losses(run: Run) -> dict[int, float]:
    """The loss of each step, of a step logged twice the last attempt's."""
    return {event["step"]: event["loss"] for event in of_type(run, "batch")}


def scores(run: Run) -> dict[int, tuple[float, ...]]:
    """(training loss, validation loss, mean Dice) of each epoch, the last attempt's."""
    return {
        event["epoch"]: (event["train_loss"], event["valid_loss"], event["mean_dice"])
        for event in of_type(run, "epoch")
    }


def command(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
    """`python -m unetlab ...` in the current workspace, ended."""
    return subprocess.run(
        [sys.executable, "-m", "unetlab", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,
    )


def said(*arguments: object) -> subprocess.CompletedProcess:
    """What `command` gives, without a process of its own, which takes a second: for commands that start no worker."""
    words, out, err, code = list(map(str, arguments)), io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["unetlab", *words])
        try:
            main()
        except SystemExit as ending:
            code = int(ending.code or 0)
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def answer(*arguments: object) -> dict[str, Any]:
    """The JSON object that `python -m unetlab ... --json` prints, and nothing else with it."""
    return _object_of(command(*arguments, "--json"))


def told(*arguments: object) -> dict[str, Any]:
    """The same, without a process of its own."""
    return _object_of(said(*arguments, "--json"))


def _object_of(done: subprocess.CompletedProcess) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def sets(changes: dict[str, Any] | None = None) -> list[str]:
    """The tiny options as `--set key=value` arguments."""
    return [part for key, value in (OPTIONS | (changes or {})).items() for part in ("--set", f"{key}={value}")]


def waiting_run(**options: Any) -> Run:
    """A queued run folder without a worker."""
    return store.create_run(own_workspace(), config(**options), device="cpu")


def finished_sweep(dataset: str = NAME) -> Run:
    """A sweep as its worker leaves it: min gradient is PICK, min loss / 10 is declined."""
    run = store.create_run(own_workspace(), config("lr_find", dataset=dataset))
    rates = np.geomspace(1e-7, 10, 30)
    losses = [1.0 - 0.5 * max(0.0, np.log10(rate) + 4) if rate < 0.1 else 2.0 for rate in rates]
    writer = store.EventWriter(run, attempt=1)
    for step, (rate, loss) in enumerate(zip(rates, losses, strict=True)):
        writer.write(events.Batch(step=step, epoch=0, loss=loss, lr=rate, momentum=0.9))
    writer.close()
    curve = {
        "sweeps": [{"lrs": rates.tolist(), "losses": losses, "smoothed_losses": losses}],
        "picks": {"min_gradient": {"lr": PICK, "index": 15}, "min_loss_tenth": None},
        "declined": {"min_loss_tenth": "The loss never fell."},
        "spread": {"min_gradient": [PICK]},
        "cautions": {},
    }
    write_json(run.folder / "lr_curve.json", curve)
    StatusKeeper(run.folder).end("finished")
    return run


def read_mask(path: Path) -> np.ndarray:
    """The pixels of a mask file."""
    with Image.open(path) as file:
        return np.array(file)


def copy_of(run: Run) -> Run:
    """A copy of a run folder in the current workspace, to be changed or deleted."""
    return Run(Path(shutil.copytree(run.folder, own_workspace().runs / run.id)))


def copy_trained(trained: Run, home: Path) -> Run:
    """Copies a training and its data set into the workspace `home`, and not what other tests have run beside it."""
    for part in ("datasets", f"runs/{trained.id}"):
        shutil.copytree(trained.folder.parents[1] / part, home / part, dirs_exist_ok=True)
    return Run(home / "runs" / trained.id)


def own_mounts() -> list[str]:
    """A command prefix that may mount file systems of its own; skips, or fails in CI, where nothing may."""
    for prefix in (["unshare", "-m"], ["unshare", "-Urm"]) if shutil.which("unshare") else ():
        attempt = subprocess.run([*prefix, "mount", "-t", "tmpfs", "none", "/tmp"], capture_output=True)
        if attempt.returncode == 0:
            return prefix
    reason = "neither root nor a user namespace may mount a small file system here"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)
