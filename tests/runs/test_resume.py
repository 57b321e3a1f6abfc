"""A run that is paused, killed, stopped or out of memory goes on as if nothing had been. Real workers.

Oracle: the same training, never interrupted: its losses to the bit.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests import tiny
from tests.conftest import MakeOnce, train_in
from unetlab.errors import RunError
from unetlab.files import write_json
from unetlab.runs import devices, jobs, queue
from unetlab.runs.status import process_started
from unetlab.runs.store import Run, read_events
from unetlab.ui.history import History
from unetlab.workspace import own_workspace

OPTIONS = {"train.epochs": 60, "model.dropout": 0.2, "train.augment": "strong"}
STEPS = 120


def reach(run: Run, step: int) -> None:
    """Waits until the run, at its present attempt, is past the step; earlier attempts may have logged it already."""

    def is_there() -> bool:
        state = run.status.state
        return (state == "running" and len(tiny.losses(run)) > step) or state not in ("queued", "running")

    tiny.wait_until(is_there, f"step {step}")
    assert run.status.state == "running", run.log_tail()


def pause_by_command(run: Run) -> dict[str, str]:
    """What `runs pause` answers. Until it has asked the worker stands still: on a busy machine it would end before."""
    worker = psutil.Process(run.status.pid)
    worker.suspend()
    command = [sys.executable, "-m", "unetlab", "runs", "pause", run.id, "--json"]
    with subprocess.Popen(command, cwd=tiny.ROOT, stdout=subprocess.PIPE) as asking:
        tiny.wait_until((run.folder / "pause").exists, "it is asked to pause")
        worker.resume()
        printed, _ = asking.communicate(timeout=tiny.PATIENCE_S)
    return json.loads(printed)


@pytest.fixture(scope="session")
def unbroken(make_once: MakeOnce, tiny_home: Path) -> Run:
    """The training that nobody interrupted."""

    def make(folder: Path) -> None:
        shutil.copytree(tiny_home / "datasets", folder / "datasets")
        assert len(tiny.losses(train_in(folder, OPTIONS))) == STEPS

    (folder,) = (make_once("unbroken", make) / "runs").iterdir()
    return Run(folder)


def assert_equals(run: Run, unbroken: Run) -> None:
    assert tiny.ended(run).state == "finished", run.log_tail()
    assert tiny.losses(run) == tiny.losses(unbroken)
    assert tiny.scores(run) == tiny.scores(unbroken)
    assert run.read("result.json")["valid"] == unbroken.read("result.json")["valid"]
    assert run.read("result.json")["steps"] == STEPS
    assert (run.folder / "last.safetensors").read_bytes() == (unbroken.folder / "last.safetensors").read_bytes()
    assert not (run.folder / "checkpoint.pt").exists()


def test_a_paused_run_holds_nothing_and_goes_on_to_the_bit(tiny_set: Path, unbroken: Run):
    run = jobs.start(own_workspace(), tiny.config(changes=OPTIONS))
    for attempt, step in ((1, 10), (2, 50)):
        reach(run, step)
        pid = run.status.pid
        answer = pause_by_command(run)
        assert (answer["status"], run.status.attempt) == ("paused", attempt)
        tiny.wait_until(lambda pid=pid: process_started(pid) is None, "its process is gone")
        assert (run.folder / "checkpoint.pt").exists()
        assert not (run.folder / "evaluation.json").exists()
        with queue.device_lock(devices.lock_key("cpu")).acquire(timeout=5):
            pass
        jobs.resume(run)
    assert_equals(run, unbroken)
    assert {event["attempt"] for event in tiny.of_type(run, "batch")} == {1, 2, 3}
    steps = [event["step"] for event in tiny.of_type(run, "batch")]
    assert steps == list(range(STEPS)), "a pause repeats no step"


@pytest.mark.parametrize("has_checkpoint", [False, True])
def test_a_run_killed_by_sigkill_is_lost_at_once_and_resumes_to_the_bit(
    tiny_set: Path, unbroken: Run, has_checkpoint: bool
):
    run = jobs.start(own_workspace(), tiny.config(changes=OPTIONS))
    if has_checkpoint:
        reach(run, 20)
        jobs.pause(run)
        assert tiny.ended(run).state == "paused"
        jobs.resume(run)
    history = History(run)
    reach(run, 60)
    history.refresh()
    os.kill(run.status.pid, signal.SIGKILL)
    began = time.monotonic()
    tiny.wait_until(lambda: run.status.state == "lost", "lost", timeout_s=15)
    assert time.monotonic() - began < 15
    assert "killed" in run.status.reason or "memory ran out" in run.status.reason
    before = read_events(run)[0]
    with ThreadPoolExecutor(1) as pool:
        resumed = pool.submit(tiny.answer, "runs", "resume", run.id)
        tiny.wait_until(lambda: history.refresh() and resumed.done(), "it ends, and a page looks on")
    assert resumed.result()["status"] == "finished"
    assert read_events(run)[0][: len(before)] == before, "no logged line is lost"
    assert_equals(run, unbroken)
    table = history.refresh().batches()
    assert table["step"].tolist() == list(range(STEPS)), "the page reads a resumed run as one"
    assert dict(zip(table["step"], table["loss"], strict=True)) == tiny.losses(unbroken)
    assert [event["epoch"] for event in history.epochs] == list(range(60))
    if not has_checkpoint:
        assert "starts from the first step" in str(tiny.of_type(run, "note"))


def test_a_stopped_run_can_be_resumed_to_the_bit(tiny_set: Path, unbroken: Run):
    run = jobs.start(own_workspace(), tiny.config(changes=OPTIONS))
    reach(run, 31)
    jobs.stop(run)
    assert tiny.ended(run).state == "stopped"
    assert run.read("result.json")["valid"], "a stop leaves a scored model"
    jobs.resume(run)
    assert tiny.ended(run).state == "finished", run.log_tail()
    assert tiny.losses(run) == tiny.losses(unbroken)
    assert tiny.scores(run) == tiny.scores(unbroken)
    assert (run.folder / "last.safetensors").read_bytes() == (unbroken.folder / "last.safetensors").read_bytes()


def test_two_who_press_resume_at_once_start_one_worker(tiny_set: Path):
    run = tiny.start_and_train()
    jobs.pause(run)
    assert tiny.ended(run).state == "paused"
    code = (
        "import sys; from unetlab.runs import jobs, store; from unetlab.errors import RunError\n"
        "from unetlab.workspace import own_workspace\n"
        "try: jobs.resume(store.open_run(own_workspace(), sys.argv[1]))\n"
        "except RunError: sys.exit(3)"
    )
    command = [sys.executable, "-c", code, run.id]
    presses = [subprocess.Popen(command, cwd=tiny.ROOT) for _ in range(3)]
    assert sorted(press.wait(timeout=60) for press in presses) == [0, 3, 3]
    assert run.status.attempt == 2
    tiny.wait_until(lambda: run.status.state == "running", "it runs")
    jobs.kill(run)


def test_a_waiting_run_can_be_paused_and_keeps_nothing(tiny_set: Path):
    with queue.device_lock(devices.lock_key("cpu")).acquire(timeout=0):
        run = jobs.start(own_workspace(), tiny.config())
        tiny.wait_until(lambda: run.status.phase == "waiting for the device", "it waits")
        jobs.pause(run)
        assert tiny.ended(run).reason == "Paused before it started."
        assert run.status.state == "paused"
        jobs.resume(run)
        tiny.wait_until(lambda: run.status.phase == "waiting for the device", "it waits once more")
        jobs.stop(run)
        assert tiny.ended(run).reason == "Cancelled while it waited; what it had is kept."
    jobs.resume(run)
    assert tiny.ended(run).state == "finished", run.log_tail()


def test_what_cannot_be_paused_or_resumed_says_why(trained_home: Run):
    with pytest.raises(RunError, match="has ended already"):
        jobs.pause(trained_home)
    with pytest.raises(RunError, match="nothing to resume"):
        jobs.resume(trained_home)
    sweep = tiny.waiting_run(kind="lr_find")
    for action in (jobs.pause, jobs.resume):
        with pytest.raises(RunError, match=r"Only a training run can be .*learning-rate sweep"):
            action(sweep)
    sweep.ask_to_stop()
    failed = tiny.command("runs", "resume", trained_home.id)
    assert failed.returncode == 2
    assert "nothing to resume" in failed.stderr


def test_a_run_that_goes_on_elsewhere_is_told_what_changed(tiny_set: Path, monkeypatch: pytest.MonkeyPatch):
    run = tiny.start_and_train()
    jobs.pause(run)
    assert tiny.ended(run).state == "paused"
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    before = run.read("environment.json")
    write_json(run.folder / "environment.json", {**before, "numpy": "1.0"})  # as it was on another machine
    jobs.resume(run)
    tiny.wait_until(lambda: "numpy was 1.0" in str(tiny.of_type(run, "note")), "note", timeout_s=40)
    jobs.kill(run)
    assert before["threads"] == run.read("environment.json")["threads"] == 1, "the number is repeated"
