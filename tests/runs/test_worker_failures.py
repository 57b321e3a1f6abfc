"""How workers end when something goes wrong: by signals, by a bad config, by a full disk."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import typer
from safetensors.numpy import load_file

from tests import tiny
from unetlab import console, files, worker
from unetlab.runs import failures, jobs, launching, queue
from unetlab.runs import status as status_module
from unetlab.runs.store import Run, read_events
from unetlab.workspace import own_workspace

SMALL_DISK_KIB = 3072
LEFT_KIB = 1024  # what a ballast file leaves to the run: some ten epochs
ON_A_SMALL_DISK = f"""
set -e
mount -t tmpfs -o size={SMALL_DISK_KIB}k tmpfs "$UNETLAB_HOME"
cp -r "$DATASETS" "$UNETLAB_HOME/datasets"
room=$(df -k --output=avail "$UNETLAB_HOME" | tail -1)
head -c $(( (room - {LEFT_KIB}) * 1024 )) /dev/zero > "$UNETLAB_HOME/ballast"
if [ "$FILLER" = another ]; then (
    until ls "$UNETLAB_HOME"/runs/*/previews/epoch_002 > "$OUT/log" 2>&1; do sleep 0.05; done
    cat /dev/zero > "$UNETLAB_HOME/filler"
) 2>> "$OUT/log" & fi
code=0; "$@" || code=$?
df -k --output=avail "$UNETLAB_HOME" | tail -1 > "$OUT/room_kib"
cp -r "$UNETLAB_HOME/runs" "$OUT/runs"
exit $code
"""


def steps(run: Run) -> list[int]:
    return [event["step"] for event in tiny.of_type(run, "batch")]


def test_a_killed_worker_is_lost_within_seconds_and_nothing_logged_is_gone(tiny_set: Path):
    run = tiny.start_and_train()
    os.kill(run.status.pid, signal.SIGSTOP)  # so that what is logged now is all there will be
    logged = read_events(run)[0]
    os.kill(run.status.pid, signal.SIGKILL)
    status = jobs.wait(run, timeout_s=15)
    assert status.state == "lost"
    assert "killed without a message" in status.reason
    shown = tiny.answer("runs", "show", run.id)
    assert (shown["status"], shown["reason"]) == ("lost", status.reason)
    assert len(logged) > 4
    assert read_events(run)[0] == logged
    assert steps(run) == list(range(len(steps(run))))
    assert load_file(run.folder / "best.safetensors")
    with queue.device_lock("cpu").acquire(timeout=0):
        pass


def test_a_terminated_worker_is_stopped_and_keeps_what_it_had_saved(tiny_set: Path):
    run = tiny.start_and_train()
    psutil.Process(run.status.pid).terminate()
    status = tiny.ended(run)
    assert (status.state, status.reason) == ("stopped", "Ended by a signal; what it had saved is kept.")
    assert steps(run) == list(range(len(steps(run))))
    assert load_file(run.folder / "best.safetensors")
    assert not (run.folder / "reserve").exists()


def test_ctrl_c_belongs_to_whoever_follows_and_does_not_end_the_worker(tiny_set: Path):
    with queue.device_lock("cpu").acquire(timeout=0):
        run = jobs.start(own_workspace(), tiny.config())
        tiny.wait_until(lambda: run.status.phase == "waiting for the device", "the worker waits")
        before = run.status
        os.kill(before.pid, signal.SIGINT)
        tiny.wait_until(lambda: run.status.heartbeat > before.heartbeat + 0.5, "a later heartbeat")
        assert run.status.state == "queued"


def test_an_unknown_key_fails_the_run_and_names_the_nearest_one(tiny_set: Path):
    run = tiny.waiting_run()
    content = files.read_json(run.folder / "config.json")
    content["train"]["max_ler"] = content["train"].pop("max_lr")
    files.write_json(run.folder / "config.json", content)
    launching.launch(run)
    status = tiny.ended(run)
    assert status.state == "failed"
    assert status.reason == "Unknown option 'train.max_ler'. Did you mean 'train.max_lr'?"


def test_a_data_set_that_is_gone_fails_the_run_with_those_there_are(tiny_set: Path):
    run = jobs.start(own_workspace(), tiny.config(dataset="tinny"))
    status = tiny.ended(run)
    assert status.state == "failed"
    assert "no data set 'tinny'" in status.reason
    assert "tiny" in status.reason.partition("There are")[2]


def test_a_worker_that_ignores_the_stop_is_ended_by_force(tiny_set: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jobs, "KILL_AFTER_S", 0.5)
    monkeypatch.setattr(status_module, "NOT_RESPONDING_S", 1.0)
    run = tiny.start_and_train()
    process = psutil.Process(run.status.pid)
    process.suspend()
    tiny.wait_until(lambda: not run.status.is_responding, "not responding")
    assert run.status.state == "running"
    jobs.stop(run)
    jobs.insist(run, grace_s=30)
    time.sleep(0.3)
    assert process.is_running(), "it has its time"
    tiny.wait_until(lambda: jobs.insist(run, grace_s=0.2) or not run.status.is_live, "ended by force", timeout_s=20)
    status = run.status
    assert (status.state, status.reason[:33]) == ("stopped", "It did not answer the stop in tim")
    assert not psutil.pid_exists(process.pid) or process.status() == psutil.STATUS_ZOMBIE
    assert load_file(run.folder / "best.safetensors")


def test_force_never_meets_a_process_that_got_the_number_later():
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as stranger:
        try:
            run = tiny.waiting_run()
            long_ago = psutil.Process(stranger.pid).create_time() - 100
            status = run.status.model_copy(update={"state": "running", "pid": stranger.pid, "started": long_ago})
            status_module.write_status(run.folder, status.model_copy(update={"host": "elsewhere"}))
            jobs.kill(run)
            jobs.insist(run, grace_s=-60)
            time.sleep(0.3)
            assert stranger.poll() is None
        finally:
            stranger.kill()


@pytest.mark.parametrize("filler", ["itself", "another"])
def test_a_full_disk_fails_the_run_readably_and_loses_nothing(
    tmp_path: Path, tiny_home: Path, workspace: Path, filler: str
):
    out = tmp_path / "out"
    for folder in (out, workspace):
        folder.mkdir()
    train = [sys.executable, "-m", "unetlab", "train", tiny.NAME, *tiny.sets(tiny.ENDLESS), "--json"]
    done = subprocess.run(
        [*tiny.own_mounts(), "sh", "-c", ON_A_SMALL_DISK, "sh", *train],
        cwd=tiny.ROOT,
        env=os.environ
        | dict([tiny.ONE_THREAD])
        | {"OUT": str(out), "FILLER": filler, "DATASETS": str(tiny_home / "datasets")},
        capture_output=True,
        text=True,
        timeout=2 * tiny.PATIENCE_S,
    )
    assert done.returncode == 2, done.stderr
    assert "disk is full" in done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads(done.stdout)["status"] == "failed"
    run = Run(next((out / "runs").iterdir()))
    status = run.status
    assert status.state == "failed"
    assert "disk is full" in status.reason
    assert int((out / "room_kib").read_text()) < LEFT_KIB / 2, "the disk was never full"
    logged = steps(run)
    assert logged == list(range(len(logged)))
    assert len(logged) in (status.done - 1, status.done), "the worker counts a step before it logs it"
    epochs = tiny.of_type(run, "epoch")
    assert [event["epoch"] for event in epochs] == list(range(len(epochs)))
    assert len(epochs) >= 2
    best = load_file(run.folder / "best.safetensors")
    assert {name: best[name].shape for name in best}
    assert run.read("best.json")["epoch"] == [event["epoch"] for event in epochs if event["is_best"]][-1]


def test_a_bug_of_ours_is_told_apart_from_what_the_user_can_mend(tiny_set: Path):
    run = tiny.waiting_run()
    (run.folder / "config.json").write_text("{")  # nobody but us writes this file
    launching.launch(run)
    status = tiny.ended(run)
    assert status.state == "failed"
    assert status.is_bug
    assert "bug in unetlab" in status.reason
    assert "Traceback" in run.log_tail()
    with pytest.raises(typer.Exit) as left:
        console.exit_for(status)
    assert left.value.exit_code == 1
    with pytest.raises(typer.Exit) as left:
        console.exit_for(status.model_copy(update={"is_bug": False}))
    assert left.value.exit_code == 2


def test_a_sigterm_during_a_failure_does_not_hide_it(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, signals_kept: None
):
    def advice(error: Exception) -> str:
        os.kill(os.getpid(), signal.SIGTERM)  # as torchrun does when another process has died
        return f"Told: {error}"

    def do(run: Run, keeper: status_module.StatusKeeper) -> tuple[status_module.State, str]:
        keeper.update(state="running")
        raise RuntimeError("Connection closed by peer")

    monkeypatch.setattr(failures, "advice", advice)
    run = tiny.waiting_run()
    assert worker.main(run.folder, do) == 1
    assert (run.status.state, run.status.reason) == ("failed", "Told: Connection closed by peer")


def test_a_second_sigterm_does_not_break_the_last_word_off(workspace: Path, signals_kept: None):
    run, last_words = tiny.waiting_run(), []

    def do(run: Run, keeper: status_module.StatusKeeper) -> tuple[status_module.State, str]:
        keeper.update(state="running")
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            last_words.append("kept")
        return "finished", ""

    assert worker.main(run.folder, do) == worker.TERMINATED
    assert last_words == ["kept"]
    assert (run.status.state, run.status.reason) == ("stopped", "Ended by a signal; what it had saved is kept.")
