"""Giving all memory back: nobody of ours is left, a running job keeps its model, a waiting one its place."""

import subprocess
import sys
import threading
from pathlib import Path

import psutil
from safetensors.numpy import load_file

from tests import tiny
from unetlab.runs import devices, freeing, jobs, launching, queue
from unetlab.runs.store import Run, read_events
from unetlab.workspace import own_workspace


def is_alive(pid: int) -> bool:
    return pid in psutil.pids() and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def waiting(run: Run) -> bool:
    return run.status.phase == "waiting for the device"


def test_free_ends_every_worker_and_the_waiting_job_goes_on_when_released(tiny_set: Path):
    first = tiny.start_and_train()
    second = jobs.start(own_workspace(), tiny.config(changes={"train.epochs": 1}))
    tiny.wait_until(lambda: waiting(second), "the second waits")
    pids = {first.status.pid, second.status.pid}
    assert freeing.worker_pids(own_workspace()) == {first.status.pid: first.id, second.status.pid: second.id}

    receipt = freeing.free_memory(own_workspace(), grace_s=60)

    assert receipt.is_complete
    assert {freed.pid for freed in receipt.processes} == pids
    assert not any(is_alive(pid) for pid in pids)
    assert freeing.worker_pids(own_workspace()) == {}
    states = {freed.run: (freed.state, freed.ram_after) for freed in receipt.processes}
    assert states == {first.id: ("stopped", 0), second.id: ("queued", 0)}
    before = {freed.run: freed.ram_before for freed in receipt.processes}
    assert before[first.id] > 150 * 2**20 > before[second.id] > 10 * 2**20  # torch is loaded by the first only
    assert first.status.reason == "Stopped on request; the model it had is kept."
    assert load_file(first.folder / "best.safetensors")
    assert first.read("result.json")["valid"].keys() >= {"loss", "mean_dice"}

    assert second.status.is_parked
    assert queue.read_queue(own_workspace()).is_held
    assert [entry.run for entry in queue.read_queue(own_workspace()).order] == [second.id]
    assert read_events(second)[0] == []

    assert freeing.release(own_workspace()) == [second]
    assert not queue.read_queue(own_workspace()).is_held
    assert tiny.ended(second).state == "finished", second.log_tail()
    assert len(tiny.of_type(second, "batch")) == 2


def preview() -> Run:
    return jobs.start(own_workspace(), tiny.config("preview", preview={"indices": [0]}))


def test_an_idle_worker_is_ended_and_stands_on_the_receipt(tiny_set: Path):
    run = preview()
    assert tiny.ended(run).state == "finished", run.log_tail()
    pid = run.status.pid
    tiny.wait_until(lambda: freeing.worker_pids(own_workspace()) == {pid: "idle worker"}, "an idle worker")
    receipt = tiny.answer("free")
    (freed,) = receipt["processes"]
    assert (freed["pid"], freed["run"], freed["state"], freed["ram_after"]) == (pid, "idle worker", "ended", 0)
    assert freed["ram_before"] > 150 * 2**20, "torch was loaded"
    assert receipt["is_complete"]
    assert not is_alive(pid)
    assert run.status.state == "finished"
    assert not queue.read_queue(own_workspace()).is_held
    again = preview()
    assert tiny.ended(again).state == "finished"
    assert again.status.pid != pid


def test_a_warm_worker_is_ended_whatever_it_is_doing(tiny_set: Path):
    """While it loads torch, with a run that it has not seen, and in the middle of a run."""
    launching.warm_up(own_workspace())
    receipt = freeing.free_memory(own_workspace())
    assert [(freed.run, freed.state) for freed in receipt.processes] == [("idle worker", "ended")]
    assert receipt.is_complete
    run = preview()
    receipt = freeing.free_memory(own_workspace())
    assert [(freed.run, freed.state) for freed in receipt.processes] == [(run.id, "stopped")]
    assert receipt.is_complete
    assert not run.status.is_parked
    assert freeing.release(own_workspace()) == []
    many = tiny.config("preview", preview={"indices": [0] * 6, "draws": 6})
    for _ in range(3):
        run = jobs.start(own_workspace(), many)
        tiny.wait_until(lambda run=run: run.status.state != "queued", "the preview runs")
        assert freeing.free_memory(own_workspace()).is_complete
        assert run.status.state in ("stopped", "finished")
        assert freeing.worker_pids(own_workspace()) == {}


def test_nothing_to_free_holds_nothing():
    receipt = freeing.free_memory(own_workspace())
    assert receipt.is_complete
    assert receipt.processes == []
    assert not queue.read_queue(own_workspace()).is_held
    assert [memory.device for memory in receipt.after] == [memory.device for memory in receipt.before]


def test_a_worker_of_another_workspace_is_left_alone(tiny_set: Path, tmp_path: Path):
    other = tmp_path / "home-2" / "runs" / "2026-05-04T10-12-33_cells_a3f9"
    code = "import sys, time; print('there', flush=True); time.sleep(600)"
    command = [sys.executable, "-c", code, "-m", "unetlab.worker", str(other)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as stranger:
        try:
            assert stranger.stdout.readline() == b"there\n"
            assert freeing.worker_pids(own_workspace()) == {}
            assert freeing.free_memory(own_workspace(), grace_s=1).is_complete
            assert stranger.poll() is None
        finally:
            stranger.kill()


def test_a_job_that_joins_while_the_queue_is_held_waits_for_the_release(tiny_set: Path):
    queue.hold(own_workspace())
    run = jobs.start(own_workspace(), tiny.config())
    tiny.wait_until(lambda: waiting(run), "the job waits")
    assert not queue.is_my_turn(run)
    with queue.device_lock(devices.lock_key("cpu")).acquire(timeout=0):
        freeing.release(own_workspace())
        assert queue.is_my_turn(run)
        assert run.status.pid in freeing.worker_pids(own_workspace()), (
            "a job that has its worker is not given a second one"
        )
        jobs.stop(run)
        assert tiny.ended(run).state == "stopped"


def test_somebody_who_looks_while_a_waiting_job_is_parked_does_not_call_it_lost(tiny_set: Path):
    """Pages and commands read the state all the time; between the end of the worker and the parking it has no pid."""
    with queue.device_lock(devices.lock_key("cpu")).acquire(timeout=0):
        run = jobs.start(own_workspace(), tiny.config())
        is_over, seen = threading.Event(), set()

        def look() -> None:
            while not is_over.is_set():
                seen.add(run.status.state)

        watchers = [threading.Thread(target=look) for _ in range(2)]
        for watcher in watchers:
            watcher.start()
        try:
            for _ in range(5):
                tiny.wait_until(lambda: run.status.pid in freeing.worker_pids(own_workspace()), "the job waits")
                assert freeing.free_memory(own_workspace(), grace_s=5).is_complete
                assert run.status.is_parked
                assert freeing.release(own_workspace()) == [run]
        finally:
            is_over.set()
            for watcher in watchers:
                watcher.join()
        assert seen == {"queued"}
        jobs.stop(run)
        assert tiny.ended(run).state == "stopped"


def test_a_job_whose_turn_came_in_the_moment_of_parking_ends_like_a_running_one(tiny_set: Path):
    run = tiny.start_and_train()
    freeing._park(run, run.status.pid)  # as free_memory does with a job that it had just seen waiting
    status = tiny.ended(run)
    assert (status.state, status.reason) == ("stopped", "Stopped on request; the model it had is kept.")
    assert load_file(run.folder / "best.safetensors")


def test_the_command_shows_the_receipt_and_releases(tiny_set: Path):
    with queue.device_lock(devices.lock_key("cpu")).acquire(timeout=0):
        run = jobs.start(own_workspace(), tiny.config())
        tiny.wait_until(lambda: waiting(run), "the job waits")
        pid = run.status.pid
        receipt = tiny.answer("free")
        assert receipt.keys() == {"processes", "before", "after", "is_complete"}
        (freed,) = receipt["processes"]
        assert (freed["pid"], freed["run"], freed["state"], freed["ram_after"]) == (pid, run.id, "queued", 0)
        assert freed["ram_before"] > 0
        assert receipt["is_complete"]
        assert not is_alive(pid)
        assert tiny.answer("free", "--release") == {"released": [run.id]}
        tiny.wait_until(lambda: run.status.pid not in (None, pid), "a new worker")
        jobs.stop(run)
        assert tiny.ended(run).state == "stopped"
