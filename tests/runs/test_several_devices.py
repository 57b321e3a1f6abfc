"""`train --devices 2` with real workers under torchrun: one run folder, one leader, and nobody left behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests import tiny
from tests.runs.test_out_of_memory import Launches, fail_with
from unetlab import worker
from unetlab.config import RunConfig
from unetlab.errors import ConfigError
from unetlab.runs import failures, freeing, jobs, launching, queue, ranks
from unetlab.runs.status import State, StatusKeeper, write_status
from unetlab.runs.store import Run
from unetlab.workspace import own_workspace

SHARED: dict[str, Any] = {"devices": 2}


def steps_of(run: Run) -> list[int]:
    return [event["step"] for event in tiny.of_type(run, "batch")]


def nobody_is_left() -> bool:
    launching.reap()
    return freeing.worker_pids(own_workspace()) == {}


def ranks_of(run: Run) -> list[int]:
    """Process ids of a run's workers, the leader first; the launcher is none of them."""
    leader = run.status.pid
    assert leader is not None
    others = [
        pid
        for pid in freeing.worker_pids(own_workspace())
        if pid != leader and "torch.distributed.run" not in psutil.Process(pid).cmdline()
    ]
    return [leader, *others]


def test_the_command_trains_on_two_devices_and_leaves_one_result_and_nobody(tiny_set: Path):
    result = tiny.answer("train", tiny.NAME, "--devices", 2, *tiny.sets())
    run = Run(tiny_set / "runs" / result["run"])
    assert (result["status"], result["steps"]) == ("finished", 4)
    assert run.config.devices == 2
    assert steps_of(run) == [0, 1, 2, 3]
    assert [event["epoch"] for event in tiny.of_type(run, "epoch")] == [0, 1]
    assert "2 devices" in tiny.of_type(run, "note")[0]["message"]
    assert (run.folder / "best.safetensors").exists()
    assert not (run.folder / "checkpoint.pt").exists()
    assert "Traceback" not in run.log_tail()
    tiny.wait_until(nobody_is_left, "all processes have ended")


def test_a_shared_training_is_paused_resumed_and_freed_and_survives_a_killed_process(tiny_set: Path):
    run = jobs.start(own_workspace(), tiny.config(changes=tiny.ENDLESS, **SHARED))
    tiny.wait_until(lambda: len(steps_of(run)) >= 4, "four steps")
    assert len(ranks_of(run)) == 2
    jobs.pause(run)
    assert tiny.ended(run).state == "paused", run.log_tail()
    tiny.wait_until(nobody_is_left, "all processes have ended")

    jobs.resume(run)
    paused_at = len(steps_of(run))
    tiny.wait_until(lambda: len(steps_of(run)) >= paused_at + 4, "four steps more")
    assert steps_of(run) == list(range(len(steps_of(run)))), "it goes on where it stood"
    other = ranks_of(run)[1]
    os.kill(other, signal.SIGKILL)
    status = tiny.ended(run)
    assert (status.state, status.reason, status.is_bug) == ("failed", failures.PROCESS_LOST, False), run.log_tail()
    tiny.wait_until(nobody_is_left, "all processes have ended")

    jobs.resume(run)
    last = steps_of(run)[-1]
    tiny.wait_until(lambda: steps_of(run)[-1] > last + 4, "steps after the death")
    receipt = freeing.free_memory(own_workspace())
    assert receipt.is_complete
    assert len({freed.pid for freed in receipt.processes}) == 3, "the launcher and two workers"
    assert run.status.state == "stopped"
    assert nobody_is_left()


def test_a_shared_training_whose_leader_is_killed_ends_whole(tiny_set: Path):
    run = jobs.start(own_workspace(), tiny.config(changes=tiny.ENDLESS, **SHARED))
    tiny.wait_until(lambda: len(steps_of(run)) >= 1, "a step")
    jobs.kill(run)
    assert tiny.ended(run).state == "stopped"
    tiny.wait_until(nobody_is_left, "all processes have ended")


def test_a_prepared_run_waits_for_somebodys_own_torchrun(tiny_set: Path, signals_kept):
    made = tiny.answer("train", tiny.NAME, "--devices", 2, "--prepare", *tiny.sets({"train.epochs": 1}))
    run = Run(Path(made["folder"]))
    assert run.id == made["run"]
    assert (run.status.state, nobody_is_left()) == ("queued", True)
    assert run.status.is_parked, "or it would be called lost after a while"
    assert worker.main(run.folder) == 0
    assert run.status.state == "finished"
    assert steps_of(run) == [0, 1]


@pytest.fixture
def assisting(tiny_set: Path, monkeypatch: pytest.MonkeyPatch, signals_kept) -> Run:
    """A run that its leader, which this process plays, has begun; `worker.assist` is then called as rank 1."""
    run = tiny.waiting_run(**SHARED)
    keeper = StatusKeeper(run.folder)
    keeper.update(state="running")
    running = run.status
    keeper.end("finished")  # and with it the heartbeat
    write_status(run.folder, running)
    monkeypatch.setattr(worker, "LEADER_S", 0.5)
    monkeypatch.setattr(ranks, "end_others", lambda *, wait_s: None)
    return run


def test_a_process_whose_memory_runs_out_alone_hands_the_run_on_for_a_leader_that_cannot(
    assisting: Run, monkeypatch: pytest.MonkeyPatch
):
    launches = Launches(monkeypatch)
    fail_with(MemoryError(), monkeypatch, at_step=1)
    assert worker.assist(assisting.folder) == 1
    assert launches.states == [("queued", 2, 1)], "of 3 pictures a device took 2 at a time"
    assert [entry.run for entry in queue.read_queue(own_workspace()).order] == [assisting.id]


def test_a_process_that_fails_as_the_leader_does_leaves_the_last_word_to_it(
    assisting: Run, monkeypatch: pytest.MonkeyPatch
):
    launches, ended = Launches(monkeypatch), []
    monkeypatch.setattr(ranks, "end_others", lambda *, wait_s: ended.append(wait_s))

    def train_step(*args: object) -> float:
        StatusKeeper(assisting.folder).end("failed", "what the leader says")
        raise MemoryError

    monkeypatch.setattr("unetlab.training.learner.Learner.train_step", train_step)
    assert worker.assist(assisting.folder) == 1
    assert assisting.status.reason == "what the leader says"
    assert (launches.states, ended) == ([], [])


@pytest.mark.parametrize("state", ["stopped", "paused", "lost"])
def test_a_process_whose_leader_never_began_ends_in_peace(assisting: Run, state: State):
    StatusKeeper(assisting.folder).end(state)
    assert worker.assist(assisting.folder) == 0
    assert assisting.status.state == state


def test_a_connection_that_breaks_is_no_bug_and_offers_to_resume(
    tiny_set: Path,
    monkeypatch: pytest.MonkeyPatch,
    signals_kept,
):
    run = tiny.waiting_run()
    message = "[third_party/gloo/gloo/transport/tcp/pair.cc:538] Connection closed by peer [127.0.0.1]:3141"
    fail_with(RuntimeError(message), monkeypatch, at_step=1)
    assert worker.main(run.folder) == 1
    assert (run.status.reason, run.status.is_bug) == (failures.PROCESS_LOST, False)


PARENT = """
import os, subprocess, sys
from unetlab.workspace import own_workspace
SLEEPER = "import time; print('there', flush=True); time.sleep(600)"
ENDER = "from unetlab.runs import ranks; ranks.end_others(wait_s=0)"
def start(script, *words):
    return subprocess.Popen([sys.executable, "-c", script, *words], stdout=subprocess.PIPE)
run = sys.argv[1]
mine, strange, other = (start(SLEEPER, *w) for w in (("-m", "unetlab.worker", run), (), ("-m", "unetlab.worker", "x")))
for process in (mine, strange, other):
    assert process.stdout.readline() == b"there\\n"
assert start(ENDER, "-m", "unetlab.worker", run).wait() == 0
print(mine.wait(), strange.poll(), other.poll())
strange.kill(), other.kill()
"""


def test_only_the_processes_of_the_same_job_are_ended():
    done = subprocess.run(
        [sys.executable, "-c", PARENT, "/runs/mine"],
        cwd=tiny.ROOT,
        env=os.environ | {"WORLD_SIZE": "2"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("-9 None None\n", "")


def test_what_torchrun_tells_a_process_reaches_no_job_that_it_starts(monkeypatch: pytest.MonkeyPatch):
    told = ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "TORCHELASTIC_RUN_ID")
    for name in told:
        monkeypatch.setenv(name, "1")
    assert not set(told) & ranks.environment().keys()
    assert {"PATH", "UNETLAB_HOME"} <= ranks.environment().keys()


def test_each_process_has_its_gpu_and_the_leader_locks_them_all(monkeypatch: pytest.MonkeyPatch):
    assert (ranks.own_device("cuda:1"), ranks.devices_here("cuda:1")) == ("cuda:1", ["cuda:1"])
    for name, value in {"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "LOCAL_RANK": "1", "RANK": "3"}.items():
        monkeypatch.setenv(name, value)
    assert (ranks.rank(), ranks.num_processes()) == (3, 4)
    assert (ranks.own_device("cuda:0"), ranks.devices_here("cuda:0")) == ("cuda:1", ["cuda:0", "cuda:1"])
    assert (ranks.own_device("cpu"), ranks.devices_here("cpu")) == ("cpu", ["cpu"])


@pytest.mark.parametrize("device", ["cuda:1", "mps"])
def test_one_named_device_cannot_be_several(device: str):
    with pytest.raises(ConfigError, match=f"2 devices were asked for, but train.device is {device}, a single one"):
        tiny.config(changes={"train.device": device}, devices=2)


def test_devices_share_a_step_and_change_nothing_else():
    config = RunConfig(kind="train", dataset="cells").changed({"train.batch_size": 9}, devices=2)
    assert config.pictures_at_a_time == 5
    assert config.changed({"train.accumulate": 4}).pictures_at_a_time == 9
    sweep = config.changed({}, kind="lr_find")
    assert (sweep.num_processes, sweep.pictures_at_a_time) == (1, 9)


def test_on_several_machines_a_lack_of_memory_is_said_and_nothing_is_started(
    tiny_set: Path,
    monkeypatch: pytest.MonkeyPatch,
    signals_kept,
):
    run, launches = tiny.waiting_run(), Launches(monkeypatch)

    def do(run: Run, keeper: StatusKeeper) -> tuple[State, str]:
        raise MemoryError

    for name, value in {"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    assert worker.main(run.folder, do) == 1
    assert launches.states == []
    assert "On several machines a run does not go on by itself" in run.status.reason
