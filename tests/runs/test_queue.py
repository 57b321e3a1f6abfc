"""Whose turn it is, asked of real files, threads and processes."""

import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from filelock import Timeout

from tests import tiny
from unetlab import files
from unetlab.runs import jobs, queue, store
from unetlab.runs.status import boot_id, write_status
from unetlab.runs.store import Run

HOLDER = """
import sys, time
from unetlab.runs import queue
lock = queue.device_lock(sys.argv[1])
lock.acquire(timeout=0)
print("held", flush=True)
time.sleep(600)
"""


def in_line(*devices: str) -> list[Run]:
    """Runs that stand in the queue in this order."""
    runs = [store.create_run(tiny.config(), device=device) for device in devices]
    for run, device in zip(runs, devices, strict=True):
        queue.join(run, device)
    return runs


def turns(runs: list[Run]) -> list[bool]:
    return [queue.is_my_turn(run) for run in runs]


def set_status(run: Run, **changes: object) -> None:
    write_status(run.folder, run.status.model_copy(update=changes))


def test_first_come_first_served():
    runs = in_line("cpu", "cpu", "cpu")
    assert turns(runs) == [True, False, False]
    assert [queue.position(run) for run in runs] == [0, 1, 2]
    queue.leave(runs[0])
    assert turns(runs[1:]) == [True, False]
    assert [queue.position(run) for run in runs] == [0, 0, 1]


def test_each_device_has_a_line_of_its_own():
    runs = in_line("cuda:0", "cuda:1", "cuda:0", "cpu")
    assert turns(runs) == [True, True, False, True]
    assert [queue.position(run) for run in runs] == [0, 0, 1, 0]


def test_nobody_starts_while_the_queue_is_held():
    runs = in_line("cpu", "cuda:0")
    queue.hold()
    assert turns(runs) == [False, False]
    newcomer = in_line("mps")
    assert turns(newcomer) == [False]
    queue.release()
    assert turns(runs + newcomer) == [True, True, True]


def test_holding_and_releasing_keep_the_order():
    runs = in_line("cpu", "cpu", "cpu")
    queue.hold()
    queue.release()
    assert [entry.run for entry in queue.read_queue().order] == [run.id for run in runs]


@pytest.mark.parametrize("state", ["finished", "stopped", "failed", "lost"])
def test_who_has_ended_is_skipped(state: str):
    ahead, run = in_line("cpu", "cpu")
    set_status(ahead, state=state)
    assert queue.is_my_turn(run)


def test_who_died_while_it_waited_is_skipped():
    ahead, run = in_line("cpu", "cpu")
    set_status(ahead, pid=2**22 + 1, started=1.0, host=socket.gethostname(), boot_id=boot_id())
    assert queue.is_my_turn(run)
    assert ahead.status.state == "lost"


def test_whose_folder_was_deleted_is_skipped():
    ahead, run = in_line("cpu", "cpu")
    set_status(ahead, state="stopped")
    store.delete_run(ahead)
    assert queue.is_my_turn(run)


def test_who_is_parked_keeps_its_place():
    ahead, run = in_line("cpu", "cpu")
    set_status(ahead, is_parked=True)
    assert not queue.is_my_turn(run)


def test_whoever_changes_the_queue_clears_out_those_who_ended():
    first, second, third = in_line("cpu", "cpu", "cpu")
    set_status(first, state="failed")
    queue.leave(second)
    assert [entry.run for entry in queue.read_queue().order] == [third.id]


def test_a_run_that_stands_in_no_line_waits_for_nobody():
    in_line("cpu")
    assert queue.is_my_turn(tiny.waiting_run())


def test_a_damaged_queue_file_is_an_empty_queue():
    in_line("cpu")
    (files.home() / "queue.json").write_text('{"order": [')
    assert queue.read_queue() == queue.Queue()


def test_many_who_join_at_once_all_get_a_place():
    runs = [tiny.waiting_run() for _ in range(12)]
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda run: queue.join(run, "cpu"), runs))
    order = [entry.run for entry in queue.read_queue().order]
    assert sorted(order) == sorted(run.id for run in runs)


def test_a_device_has_one_holder_also_across_workspaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with queue.device_lock("GPU-1").acquire(timeout=0):
        monkeypatch.setenv("UNETLAB_HOME", str(tmp_path / "another"))
        with pytest.raises(Timeout):
            queue.device_lock("GPU-1").acquire(timeout=0)
        with queue.device_lock("GPU-2").acquire(timeout=0):
            pass


def test_the_lock_of_a_device_goes_with_its_process():
    with subprocess.Popen([sys.executable, "-c", HOLDER, "cpu"], cwd=tiny.ROOT, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"held\n"
            with pytest.raises(Timeout):
                queue.device_lock("cpu").acquire(timeout=0)
        finally:
            process.kill()
    with queue.device_lock("cpu").acquire(timeout=0):
        pass


def test_a_parked_run_that_is_stopped_ends_at_once_and_leaves_the_line():
    ahead, run = in_line("cpu", "cpu")
    set_status(ahead, is_parked=True)
    jobs.stop(ahead)
    assert (ahead.status.state, ahead.status.reason) == ("stopped", "Cancelled before it started.")
    assert [entry.run for entry in queue.read_queue().order] == [run.id]
