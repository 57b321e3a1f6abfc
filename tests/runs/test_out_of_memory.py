"""Memory that runs out: the run goes on in a fresh process with fewer pictures at a time. A real limit, and fakes."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import torch

from tests import tiny
from unetlab import worker
from unetlab.data.importing import import_dataset
from unetlab.events import Note
from unetlab.runs import jobs, launching, queue, store
from unetlab.runs.status import next_attempt, write_status
from unetlab.runs.store import Run
from unetlab.training import learner
from unetlab.training.jobs import JOBS
from unetlab.workspace import own_workspace

LARGE = {
    "data.image_size": 256,
    "model.base_width": 16,
    "model.depth": 2,
    "train.batch_size": 8,
    "train.epochs": 2,
    "train.max_lr": 0.01,
    "train.precision": "fp32",
    "train.loss": "cross_entropy",
    "train.device": "cpu",
}
MIB = 2**20


@pytest.fixture
def large_set(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(*tiny.ONE_THREAD)
    import_dataset(own_workspace(), [tiny.write_pairs(tmp_path / "pairs", count=10, size=256)], name="large")
    return workspace


def address_space(pid: int) -> int:
    """Bytes of address space that a process uses now."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmSize:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmSize")


@cache  # every workspace gives the same
def room_for_one_picture() -> int:
    """Bytes of address space of a real training that takes one picture at a time."""
    small = jobs.start(
        own_workspace(), tiny.config(changes=LARGE | {"train.batch_size": 1, "train.epochs": 50}, dataset="large")
    )
    tiny.wait_until(lambda: len(tiny.of_type(small, "batch")) >= 3, "three steps of one picture")
    found = address_space(small.status.pid)
    jobs.kill(small)
    tiny.ended(small)
    return found


def train_with(limit: int, changes: dict[str, object]) -> tuple[Run, subprocess.CompletedProcess]:
    """A training whose workers may use `limit` bytes of address space, started by the command line."""
    sets = [part for key, value in (LARGE | changes).items() for part in ("--set", f"{key}={value}")]
    command = ["bash", "-c", f'ulimit -v {limit // 1024}; exec "$@"', "-", sys.executable, "-m", "unetlab", "train"]
    done = subprocess.run(
        [*command, "large", *sets], cwd=tiny.ROOT, env=os.environ, capture_output=True, text=True, timeout=300
    )
    return store.list_runs(own_workspace(), dataset="large", kind="train")[0], done


@pytest.mark.skipif(sys.platform != "linux", reason="address-space limits are kept on Linux only")
def test_a_worker_that_meets_a_real_limit_goes_on_in_parts_and_ends_with_the_same_steps(large_set: Path):
    run, done = train_with(room_for_one_picture() + 300 * MIB, {})
    assert done.returncode == 0, done.stderr + run.log_tail()
    status = run.status
    assert status.state == "finished"
    assert status.attempt > 1
    assert status.micro_batch < 8
    (note,) = [n["message"] for n in tiny.of_type(run, "note") if n["about"].get("micro_batch")][-1:]
    assert f"{status.micro_batch} pictures go through at a time, not 8" in note
    assert "BatchNorm sees smaller batches" in note
    batches = [event for event in tiny.of_type(run, "batch") if event["attempt"] == status.attempt]
    assert [event["step"] for event in batches] == list(range(len(batches)))
    whole = jobs.start(own_workspace(), tiny.config(changes=LARGE, dataset="large"))
    assert tiny.ended(whole).state == "finished"
    unbroken = tiny.of_type(whole, "batch")
    assert [event["lr"] for event in batches] == [event["lr"] for event in unbroken]
    assert batches[0]["loss"] == pytest.approx(unbroken[0]["loss"], rel=0.1), "the same pictures, BatchNorm in parts"


@pytest.mark.skipif(sys.platform != "linux", reason="address-space limits are kept on Linux only")
def test_where_one_picture_does_not_fit_the_run_ends_with_advice(large_set: Path):
    run, done = train_with(room_for_one_picture(), {"model.base_width": 128, "train.batch_size": 2})
    assert done.returncode == 2
    status = run.status
    assert (status.state, status.micro_batch) == ("failed", 1)
    assert "with one picture at a time" in status.reason
    assert "smaller image size" in status.reason
    assert not status.is_bug


class Launches:
    """Stands for launching.launch: which runs a fresh process was asked for, and what the worker still held then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.states: list[tuple[str, int, int | None]] = []
        self.live_tracebacks: list[bool] = []
        monkeypatch.setattr(launching, "launch", self)

    def __call__(self, run: Run) -> int:
        status = run.status
        self.states.append((status.state, status.attempt, status.micro_batch))
        self.live_tracebacks.append(sys.exc_info() != (None, None, None))
        return 0


def fail_with(error: Exception, monkeypatch: pytest.MonkeyPatch, *, at_step: int) -> None:
    steps = []
    original = learner.Learner.train_step

    def train_step(self, *args):
        steps.append(1)
        if len(steps) > at_step:
            raise error
        return original(self, *args)

    monkeypatch.setattr(learner.Learner, "train_step", train_step)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:119] . DefaultCPUAllocator: can't allocate memory: you tried to"),
        RuntimeError("could not create a primitive"),
        MemoryError(),
    ],
)
@pytest.mark.parametrize("kind", ["train", "lr_find"])
def test_any_way_of_saying_it_hands_the_run_on_with_half_the_pictures(
    tiny_set: Path, monkeypatch: pytest.MonkeyPatch, signals_kept, error: Exception, kind: str
):
    run = tiny.waiting_run(kind=kind)
    queue.join(run, "cpu")
    launches = Launches(monkeypatch)
    fail_with(error, monkeypatch, at_step=1)
    assert worker.main(run.folder) == 1
    assert launches.states == [("queued", 2, 2)], "3 pictures at a time become 2"
    assert launches.live_tracebacks == [False], "a traceback would keep the tensors of the step alive"
    assert [entry.run for entry in queue.read_queue(own_workspace()).order] == [run.id]


def test_a_picture_that_would_be_alone_after_that_is_left_out_of_its_step_where_batchnorm_needs_two(
    tiny_set: Path, monkeypatch: pytest.MonkeyPatch
):
    run = store.create_run(own_workspace(), tiny.config(changes={"model.depth": 5, "train.epochs": 1}))
    write_status(run.folder, next_attempt(run.status, micro_batch=2))
    original, seen, notes = learner.Learner.train_step, [], []

    def train_step(self, images, *args):
        seen.append(len(images))
        return original(self, images, *args)

    monkeypatch.setattr(learner.Learner, "train_step", train_step)
    JOBS["train"](run, run.config, "cpu", on_event=notes.append, should_stop=lambda: False)
    assert seen == [2, 2], "steps of 3 in parts of 2; a 32 px picture leaves a single pixel at the bottom"
    (note,) = [n.message for n in notes if isinstance(n, Note) and n.about.get("micro_batch")]
    assert "leaves out its last one" in note


def test_a_failure_of_another_kind_is_not_repeated(tiny_set: Path, monkeypatch: pytest.MonkeyPatch, signals_kept):
    run = tiny.waiting_run()
    launches = Launches(monkeypatch)
    fail_with(RuntimeError("device-side assert triggered"), monkeypatch, at_step=1)
    assert worker.main(run.folder) == 1
    assert launches.states == []
    assert run.status.state == "failed"


def test_a_run_that_was_asked_to_stop_is_not_healed(tiny_set: Path, monkeypatch: pytest.MonkeyPatch, signals_kept):
    run = tiny.waiting_run()
    launches = Launches(monkeypatch)

    def train_step(self, *args):
        run.ask_to_stop()
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(learner.Learner, "train_step", train_step)
    worker.main(run.folder)
    assert launches.states == []
    assert not run.status.is_live


def test_with_one_picture_at_a_time_there_is_nothing_to_halve(
    tiny_set: Path, monkeypatch: pytest.MonkeyPatch, signals_kept
):
    run = tiny.waiting_run(changes={"train.batch_size": 1})
    launches = Launches(monkeypatch)
    fail_with(torch.OutOfMemoryError("CUDA out of memory"), monkeypatch, at_step=0)
    worker.main(run.folder)
    assert launches.states == []
    assert run.status.state == "failed"
    assert "one picture at a time" in run.status.reason
