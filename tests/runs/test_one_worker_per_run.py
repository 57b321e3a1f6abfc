"""A worker that was given up and comes after all, and one that another has overtaken: a run never has two."""

import os
from pathlib import Path

import psutil
import pytest

from tests import tiny
from unetlab.runs import devices, freeing, jobs, launching, queue, store
from unetlab.runs.status import StatusKeeper, TooLate, process_started
from unetlab.workspace import own_workspace


def test_of_two_workers_for_one_run_the_second_leaves_and_the_first_goes_on(tiny_set: Path):
    with queue.device_lock(devices.lock_key("cpu")).acquire(timeout=0):
        run = jobs.start(own_workspace(), tiny.config())
        tiny.wait_until(lambda: run.status.phase == "waiting for the device", "the first waits")
        first = run.status.pid
        second = launching.launch(run)
        tiny.wait_until(lambda: process_started(second) is None, "the second leaves")
        assert run.status.pid == first
        assert f"with the worker {first}" in run.log_tail()
    assert tiny.ended(run).state == "finished", run.log_tail()


def test_a_worker_that_comes_when_its_run_was_given_up_changes_nothing(workspace: Path):
    run = tiny.waiting_run()
    StatusKeeper(run.folder).end("lost", "The process never started. Its log says why.")
    before = run.status
    with pytest.raises(TooLate, match="lost"):
        StatusKeeper(run.folder)
    assert run.status == before


def test_a_run_whose_worker_died_is_for_the_next_and_an_heir_does_not_ask(workspace: Path):
    run = tiny.waiting_run()
    with psutil.Popen(["sleep", "60"]) as other:
        taken = run.status.model_copy(
            update={"state": "running", "pid": other.pid, "started": other.create_time(), **_here()}
        )
        store.write_status(run.folder, taken)
        with pytest.raises(TooLate, match=f"running, with the worker {other.pid}"):
            StatusKeeper(run.folder)
        StatusKeeper(run.folder, is_heir=True).end("failed")
        store.write_status(run.folder, taken)
        other.kill()
    StatusKeeper(run.folder).end("finished")
    assert run.status.pid == os.getpid()


def _here() -> dict[str, str]:
    """Host and boot, as a worker on this machine writes them."""
    run = tiny.waiting_run()
    StatusKeeper(run.folder).end("finished")
    return run.status.model_dump(include={"host", "boot_id"})


def test_who_is_killed_while_freeing_leaves_no_suspended_worker(tiny_set: Path, monkeypatch: pytest.MonkeyPatch):
    """Suspended for ever, it would be a second worker beside the one that the run gets later."""

    def die(*given: object) -> None:
        raise KeyboardInterrupt

    with queue.device_lock(devices.lock_key("cpu")).acquire(timeout=0):
        run = jobs.start(own_workspace(), tiny.config())
        tiny.wait_until(lambda: run.status.phase == "waiting for the device", "it waits")
        pid = run.status.pid
        monkeypatch.setattr(freeing, "write_status", die)
        with pytest.raises(KeyboardInterrupt):
            freeing.free_memory(own_workspace(), grace_s=5)
        tiny.wait_until(lambda: process_started(pid) is None, "its worker is gone", timeout_s=5)
    assert run.status.state == "lost"
