"""Any job in a worker that is warm already: the same result as in a fresh one, no run lost, none run twice."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

from tests import tiny
from unetlab import worker
from unetlab.runs import devices, freeing, jobs, launching, queue, status, store, warm
from unetlab.runs.store import Run
from unetlab.training import warming
from unetlab.workspace import own_workspace

HARD = {"model.dropout": 0.2, "train.augment": "strong", "train.ema": 0.9}


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ids of runs that got a worker of their own, which none of them really gets."""
    ids: list[str] = []
    monkeypatch.setattr(launching, "launch", lambda run: ids.append(run.id))
    return ids


def idle_worker() -> int:
    """The process id of a warm worker that waits, torch loaded."""
    launching.warm_up(own_workspace())
    (pid,) = warm.living(own_workspace())
    assert finished(jobs.start(own_workspace(), tiny.config("preview", preview={"indices": [0]})), by=pid)
    return pid


def finished(run: Run, *, by: int) -> Run:
    """The run, ended well in the worker `by`, which waits again."""
    found = tiny.ended(run)
    assert found.state == "finished", f"{found.reason}\n{run.log_tail()}"
    assert found.pid == by
    tiny.wait_until(lambda: warm.living(own_workspace()) == {by: warm.IDLE}, "it waits again")
    return run


def gone(pid: int) -> bool:
    return status.process_started(pid) is None


def left_by(training: Run, sweep: Run, scoring: Run) -> dict[str, object]:
    """All numbers that the three jobs left, and the weights."""
    events = [[event["loss"] for event in tiny.of_type(run, "batch")] for run in (training, sweep)]
    epochs = [{**event, "time": 0} for event in tiny.of_type(training, "epoch")]
    weights = [(training.folder / f"{name}.safetensors").read_bytes() for name in ("best", "last")]
    return {
        "losses": events,
        "epochs": epochs,
        "weights": weights,
        "curve": sweep.read("lr_curve.json"),
        "scores": [run.read("result.json")["valid"] for run in (training, scoring)],
        "environment": training.read("environment.json"),
    }


def test_a_warm_worker_does_every_kind_of_job_to_the_bit_as_fresh_ones_do(tiny_set: Path):
    def start(kind: str, **top: object) -> Run:
        return jobs.start(own_workspace(), tiny.config(kind, changes=HARD, **top))

    training, sweep = start("train"), start("lr_find")
    for run in (training, sweep):
        assert tiny.ended(run).state == "finished", run.log_tail()
    scoring = start("evaluate", weights_from={"run": training.id})
    assert tiny.ended(scoring).state == "finished", scoring.log_tail()
    assert len({run.status.pid for run in (training, sweep, scoring)}) == 3
    assert warm.living(own_workspace()) == {}, "who was started for one run ends with it"

    pid = idle_worker()
    finished(start("forecast"), by=pid)
    sweep_again = finished(start("lr_find"), by=pid)
    training_again = finished(start("train"), by=pid)
    assert training_again.log_tail() == ""
    with queue.device_lock(devices.lock_key("cpu")).acquire(timeout=0):
        pass  # a process that goes on must let go of the device by itself
    scoring_again = finished(start("evaluate", weights_from={"run": training_again.id}), by=pid)
    assert left_by(training_again, sweep_again, scoring_again) == left_by(training, sweep, scoring)
    assert freeing.worker_pids(own_workspace()) == {pid: warm.IDLE}


def test_a_warm_worker_that_is_paused_leaves_and_the_run_goes_on_in_another(tiny_set: Path):
    pid = idle_worker()
    run = tiny.start_and_train()
    assert run.status.pid == pid
    assert warm.living(own_workspace()) == freeing.worker_pids(own_workspace()) == {pid: run.id}
    jobs.pause(run)
    assert tiny.ended(run).state == "paused"
    tiny.wait_until(lambda: gone(pid), "it leaves: a pause holds no memory")
    next_pid = idle_worker()
    jobs.resume(run)
    tiny.wait_until(lambda: run.status.state == "running", "it goes on")
    assert (run.status.pid, run.status.attempt) == (next_pid, 2)
    os.kill(next_pid, signal.SIGKILL)
    tiny.wait_until(lambda: run.status.state == "lost", "lost")
    launching.rescue(own_workspace())
    assert run.status.state == "lost", "it had begun: whether it goes on is for a person to say"
    assert warm.living(own_workspace()) == {}


def test_a_warm_worker_killed_before_it_took_a_training_leaves_it_queued_for_another(tiny_set: Path):
    pid = idle_worker()
    os.kill(pid, signal.SIGSTOP)
    run = jobs.start(own_workspace(), tiny.config())
    assert warm.living(own_workspace()) == freeing.worker_pids(own_workspace()) == {pid: run.id}
    os.kill(pid, signal.SIGKILL)
    tiny.wait_until(lambda: gone(pid), "the kill")
    assert run.status.state == "queued"
    assert queue.line_of(run) == [run.id]
    assert tiny.ended(run).state == "finished", run.log_tail()
    assert run.status.pid != pid
    assert [event["step"] for event in tiny.of_type(run, "batch")] == [0, 1, 2, 3]


def test_a_waiting_run_in_a_warm_worker_is_parked_by_free_memory_and_released_once(tiny_set: Path):
    pid = idle_worker()
    os.kill(pid, signal.SIGSTOP)
    run = jobs.start(own_workspace(), tiny.config())
    receipt = freeing.free_memory(own_workspace(), grace_s=5)
    assert receipt.is_complete
    assert gone(pid)
    assert run.status.is_parked
    launching.rescue(own_workspace())
    assert freeing.worker_pids(own_workspace()) == {}
    assert freeing.release(own_workspace()) == [run]
    assert tiny.ended(run).state == "finished", run.log_tail()
    assert [event["step"] for event in tiny.of_type(run, "batch")] == [0, 1, 2, 3]


@pytest.mark.parametrize("suffix", [".claim", ".busy"])
@pytest.mark.parametrize(
    ("changes", "is_launched"),
    [
        ({}, True),
        ({"is_parked": True}, False),  # release gives it a worker
        ({"created": time.time() + 10**6}, False),  # released or resumed since, with a worker
        ({"pid": os.getpid()}, False),  # it was taken
        ({"state": "stopped"}, False),
    ],
)
def test_a_run_gets_another_worker_only_where_the_dead_one_was_its_only_chance(
    launched: list[str], monkeypatch: pytest.MonkeyPatch, suffix: str, changes: dict, is_launched: bool
):
    run = tiny.waiting_run()
    warm.register(own_workspace(), os.getpid())
    assert warm.claim(own_workspace(), run.id)
    (claim,) = own_workspace().workers.glob("*.claim")
    claim.rename(claim.with_suffix(suffix))
    status.write_status(run.folder, run.status.model_copy(update=changes))
    launching.rescue(own_workspace())
    assert launched == [], "its worker lives"
    monkeypatch.setattr(status, "process_started", lambda pid: None)
    for _ in range(2):
        launching.rescue(own_workspace())
    assert launched == [run.id] * is_launched
    assert list(own_workspace().workers.glob("[0-9]*")) == []


def test_a_run_that_was_deleted_meanwhile_is_no_concern(launched: list[str], monkeypatch: pytest.MonkeyPatch):
    run = tiny.waiting_run()
    warm.register(own_workspace(), os.getpid())
    assert warm.claim(own_workspace(), run.id)
    shutil.rmtree(run.folder)
    monkeypatch.setattr(status, "process_started", lambda pid: None)
    launching.rescue(own_workspace())
    assert launched == []


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "UNETLAB_LOCKS"])
def test_a_worker_that_would_compute_otherwise_than_a_fresh_one_is_not_used(monkeypatch: pytest.MonkeyPatch, name: str):
    with monkeypatch.context() as patch:
        patch.setenv(name, "7")
        warm.register(own_workspace(), os.getpid())
    assert not warm.claim(own_workspace(), "run")
    monkeypatch.setenv(name, "7")
    monkeypatch.setenv("COLUMNS", "7")
    assert warm.claim(own_workspace(), "run")


def test_a_training_on_several_devices_is_launched(launched: list[str]):
    warm.register(own_workspace(), os.getpid())
    run = jobs.start(own_workspace(), tiny.config(devices=2))
    assert launched == [run.id]
    assert warm.living(own_workspace()) == {os.getpid(): warm.IDLE}


def test_an_import_leaves_warm_workers_to_others(launched: list[str]):
    warm.register(own_workspace(), os.getpid())
    jobs.start(own_workspace(), tiny.config("import", importing={"folder": "new"}))
    assert len(launched) == 1
    assert warm.living(own_workspace()) == {os.getpid(): warm.IDLE}


def test_pages_start_no_worker_beside_a_job_nor_after_the_memory_was_freed(tiny_set: Path):
    run = tiny.start_and_train()
    launching.warm_up(own_workspace())
    assert warm.living(own_workspace()) == {}, "it would take the cores of the job"
    freeing.free_memory(own_workspace())
    assert run.status.state == "stopped"
    for _ in range(2):  # reruns of a page, or of another tab whose run has ended
        launching.warm_up(own_workspace())
    assert freeing.worker_pids(own_workspace()) == {}
    forecast = jobs.start(own_workspace(), tiny.config("forecast"))  # which the page asks for by itself
    assert tiny.ended(forecast).state == "finished"
    tiny.wait_until(lambda: freeing.worker_pids(own_workspace()) == {}, "its worker ends")
    run = jobs.start(own_workspace(), tiny.config())
    assert tiny.ended(run).state == "finished"
    tiny.wait_until(lambda: gone(run.status.pid), "its worker ends")
    launching.warm_up(own_workspace())
    assert list(warm.living(own_workspace()).values()) == [warm.IDLE]


@pytest.mark.parametrize(
    ("changes", "num_bytes", "may_stay"),
    [
        ({"state": "finished"}, 10**8, True),
        ({"state": "stopped"}, 10**8, True),
        ({"state": "finished", "device": devices.LANE}, 10**8, True),
        ({"state": "finished", "device": "cuda:0"}, 10**8, False),
        ({"state": "finished", "device": "mps"}, 10**8, False),
        ({"state": "paused"}, 10**8, False),
        ({"state": "finished"}, worker.WARM_BYTES, False),
    ],
)
def test_a_worker_stays_only_where_it_is_as_good_as_a_fresh_one(
    monkeypatch: pytest.MonkeyPatch, changes: dict, num_bytes: int, may_stay: bool
):
    monkeypatch.setattr(worker, "give_back_memory", lambda: num_bytes)
    run = tiny.waiting_run()
    status.write_status(run.folder, run.status.model_copy(update=changes))
    assert worker._may_stay(run) == may_stay
    store.delete_run(run)
    assert not worker._may_stay(run)


def settings() -> dict[str, object]:
    """What one job could leave to the next in the same process."""
    return {
        "dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "device": torch.get_default_device(),
    }


def test_warming_up_and_jobs_leave_torch_as_it_was(tiny_set: Path, signals_kept: None):
    before, randomness = settings(), torch.get_rng_state()
    warming.warm_up()
    assert torch.equal(torch.get_rng_state(), randomness)
    for kind in ("lr_find", "train", "forecast"):
        assert worker.main(tiny.waiting_run(kind=kind).folder) == 0
        assert settings() == before


def test_a_worker_loads_torch_without_the_garbage_collector_and_keeps_it_out_of_later_collections():
    code = """
import gc, sys
from unetlab import worker
collections = []
gc.callbacks.append(lambda phase, info: collections.append(phase))
worker._load_torch()
print("torch" in sys.modules, len(collections), gc.isenabled(), gc.get_freeze_count())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tiny.ROOT, capture_output=True, text=True, check=True)
    is_loaded, collections, is_enabled, frozen = done.stdout.split()
    assert (is_loaded, int(collections), is_enabled) == ("True", 0, "True")
    assert int(frozen) > 100_000


def test_workers_keep_their_pages_unless_the_person_chose_otherwise(tiny_set: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MALLOC_MMAP_MAX_", "7")
    with queue.device_lock(devices.lock_key("cpu")).acquire(timeout=0):
        run = jobs.start(own_workspace(), tiny.config())
        tiny.wait_until(lambda: run.status.phase == "waiting for the device", "it waits")
        environment = psutil.Process(run.status.pid).environ()
        jobs.stop(run)
        tiny.ended(run)
    assert {name: environment.get(name) for name in launching.KEEP_PAGES} == {
        **launching.KEEP_PAGES,
        "MALLOC_MMAP_MAX_": "7",
    }
