"""Giving all memory back while everything goes wrong: nobody of ours is left, and the receipt says so.

Workers that misbehave are played by a script whose command line is a worker's; the others are real.
"""

import gc
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from filelock import FileLock

from tests import tiny
from unetlab import files
from unetlab.data import importing
from unetlab.runs import devices, freeing, jobs, launching, queue, store, warm
from unetlab.runs.status import Status, process_started, write_status
from unetlab.runs.store import Run
from unetlab.workspace import Workspace, own_workspace

ACTOR = """
import signal, sys, time
from pathlib import Path
from unetlab.runs.status import StatusKeeper
plays, folder = sys.argv[1], Path(sys.argv[-1])
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if plays != "silent":
    keeper = StatusKeeper(folder)
    keeper.update(state="running")
if plays == "out of memory":
    keeper.end("failed", "The memory of the device ran out.")
print("there", flush=True)
time.sleep(600)
"""
LAUNCHER = f"""
import subprocess, sys, time
folder = sys.argv[-1]
for plays in ("running", "silent"):
    command = [sys.executable, "-u", "-c", {ACTOR!r}, plays, "-m", "unetlab.worker", folder]
    with open(folder + "/ranks.log", "a") as log:
        subprocess.Popen(command, start_new_session=True, stdout=log)
print("there", flush=True)
time.sleep(600)
"""
FREE = """
from unetlab.runs import freeing
from unetlab.workspace import own_workspace
print(freeing.free_memory(own_workspace(), grace_s=5).is_complete)
"""


@contextmanager
def acting(script: str, plays: str, folder: str, cwd: Path = tiny.ROOT, words: tuple = ()) -> Iterator[psutil.Process]:
    """A process with a worker's command line that plays what it is told, from when it says that it is there."""
    command = [sys.executable, "-c", script, plays, *words, "-m", "unetlab.worker", folder]
    environment = os.environ | {"PYTHONPATH": str(tiny.ROOT)}
    with subprocess.Popen(command, cwd=cwd, env=environment, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"there\n"
            yield psutil.Process(process.pid)
        finally:
            process.kill()


def is_gone(pid: int) -> bool:
    return process_started(pid) is None


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch):
    """Less time between terminating and killing, and for a worker to appear; a busy machine can stop for a second."""
    monkeypatch.setattr(freeing, "KILL_AFTER_S", 1.5)
    monkeypatch.setattr(freeing, "SPAWN_S", 0.5)


@pytest.mark.parametrize(
    ("plays", "state"),
    [("running", "stopped"), ("suspended", "stopped"), ("silent", "queued"), ("out of memory", "failed")],
)
def test_a_worker_that_does_not_listen_is_ended(plays: str, state: str, hasty):
    """It ignores SIGTERM; or is suspended; or hangs before its first word; or after its last, with all its memory."""
    run = tiny.waiting_run()
    with acting(ACTOR, plays, str(run.folder)) as process:
        if plays == "suspended":
            process.suspend()
        receipt = freeing.free_memory(own_workspace(), grace_s=0.5)
        assert is_gone(process.pid)
        assert receipt.is_complete
        (freed,) = receipt.processes
        assert (freed.pid, freed.run, freed.state, freed.ram_after) == (process.pid, run.id, state, 0)
        assert freed.ram_before > 10 * 2**20
    assert run.status.state == state
    assert run.status.is_parked == (plays == "silent")


def test_a_worker_whose_run_was_deleted_or_damaged_is_ended(hasty):
    deleted, damaged = tiny.waiting_run(), tiny.waiting_run()
    with acting(ACTOR, "silent", str(deleted.folder)) as one, acting(ACTOR, "silent", str(damaged.folder)) as other:
        (deleted.folder / "status.json").unlink()
        (damaged.folder / "status.json").write_text('{"state": ')
        receipt = freeing.free_memory(own_workspace(), grace_s=60)
        assert is_gone(one.pid)
        assert is_gone(other.pid)
        assert receipt.is_complete


def test_a_launcher_and_its_ranks_in_sessions_of_their_own_all_end(hasty):
    run = tiny.waiting_run()
    words = ("-m", "torch.distributed.run", "--nproc-per-node", "2")
    with acting(LAUNCHER, "", str(run.folder), words=words) as launcher:
        tiny.wait_until(lambda: (run.folder / "ranks.log").read_text() == "there\nthere\n", "both ranks")
        ranks = [child.pid for child in launcher.children()]
        receipt = freeing.free_memory(own_workspace(), grace_s=0.5)
        assert receipt.is_complete
        assert {freed.pid for freed in receipt.processes} == {launcher.pid, *ranks}
        assert all(is_gone(pid) for pid in (launcher.pid, *ranks))
    assert run.status.state == "stopped"


@pytest.mark.parametrize("where", ["as it is", "through a link", "relative"])
def test_a_workspace_with_spaces_is_known_by_whatever_path(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hasty
):
    monkeypatch.setenv("UNETLAB_HOME", str(tmp_path / "my own lab"))
    run = tiny.waiting_run()
    (tmp_path / "link").symlink_to(own_workspace().root)
    (tmp_path / "my own lab" / "runs-2").mkdir()  # its path begins like that of the runs
    stranger = tmp_path / "my own lab" / "runs-2" / run.id
    named = {"as it is": run.folder, "through a link": tmp_path / "link/runs" / run.id, "relative": f"runs/{run.id}"}
    with (
        acting(ACTOR, "silent", str(named[where]), cwd=own_workspace().root) as process,
        acting(ACTOR, "silent", str(stranger)) as other,
    ):
        assert freeing.worker_pids(own_workspace()) == {process.pid: run.id}
        assert freeing.free_memory(own_workspace(), grace_s=0.5).is_complete
        assert is_gone(process.pid)
        assert not is_gone(other.pid)


def test_a_worker_whose_command_line_does_not_tell_is_known_by_its_run(monkeypatch: pytest.MonkeyPatch, hasty):
    """As where command lines are hidden, or the workspace was moved while it ran."""
    run = tiny.waiting_run()
    with acting(ACTOR, "running", str(run.folder)) as process:
        moved = own_workspace().root.rename(own_workspace().root.with_name("moved"))
        monkeypatch.setenv("UNETLAB_HOME", str(moved))
        assert freeing.worker_pids(own_workspace()) == {process.pid: run.id}
        assert freeing.free_memory(own_workspace(), grace_s=0.5).is_complete
        assert is_gone(process.pid)


def test_a_suspended_warm_worker_that_was_given_a_run_is_ended(tiny_set: Path, monkeypatch: pytest.MonkeyPatch):
    """Its run ends by a worker of its own, for which there must be time after the kill."""
    monkeypatch.setattr(freeing, "KILL_AFTER_S", 2.0)
    run = store.create_run(own_workspace(), tiny.config("preview", preview={"indices": [0]}), device=devices.LANE)
    with acting(ACTOR, "silent", str(own_workspace().workers), words=("--warm",)) as process:
        warm.register(own_workspace(), process.pid)
        assert warm.claim(own_workspace(), run.id)
        process.suspend()
        receipt = freeing.free_memory(own_workspace(), grace_s=2)
        assert is_gone(process.pid)
        assert receipt.is_complete
    assert receipt.processes[0].run == run.id
    status = tiny.ended(run)
    assert (status.state, status.reason) == ("stopped", "Cancelled before it started.")
    assert freeing.worker_pids(own_workspace()) == {}


def test_a_warm_worker_that_stands_in_no_list_is_ended(hasty):
    with acting(ACTOR, "silent", str(own_workspace().workers), words=("--warm",)) as process:
        receipt = freeing.free_memory(own_workspace(), grace_s=60)
        assert is_gone(process.pid)
        assert receipt.is_complete
        assert [freed.state for freed in receipt.processes] == ["ended"]


def test_a_worker_that_is_started_in_this_very_moment_is_ended(tiny_set: Path, monkeypatch: pytest.MonkeyPatch):
    """Its run stands in the queue, its process is not there yet when the workers are listed."""
    launch, rescue, looks = launching.launch, launching.rescue, []

    def launch_late(run: Run) -> int:
        is_made.set()
        tiny.wait_until(lambda: len(looks) > 3, "freeing has looked for workers and found none")
        return launch(run)

    def look(workspace: Workspace) -> None:
        """Stands at the begin of every round of `free_memory`."""
        looks.append(workspace)
        rescue(workspace)

    is_made = threading.Event()
    monkeypatch.setattr(launching, "launch", launch_late)
    monkeypatch.setattr(launching, "rescue", look)
    with ThreadPoolExecutor(1) as starter:
        started = starter.submit(jobs.start, own_workspace(), tiny.config())
        assert is_made.wait(10)
        receipt = freeing.free_memory(own_workspace(), grace_s=10)
        run = started.result()
    assert receipt.is_complete
    assert [freed.run for freed in receipt.processes] == [run.id]
    assert run.status.is_parked
    assert freeing.worker_pids(own_workspace()) == {}


def test_a_training_that_waits_for_its_sweep_is_parked_and_one_that_has_begun_ends(tiny_set: Path):
    sweep, training = tiny.sweep_and_train()
    tiny.wait_until(lambda: sweep.status.state != "queued", "the sweep runs")
    assert freeing.free_memory(own_workspace(), grace_s=30).is_complete
    assert freeing.worker_pids(own_workspace()) == {}
    assert sweep.status.state in ("stopped", "finished")
    assert training.status.is_parked or training.status.state == "stopped"


def test_two_threads_and_two_processes_that_free_at_once_all_say_that_it_is_done(
    tiny_set: Path, monkeypatch: pytest.MonkeyPatch
):
    """And of four that release at once, one gives each run its worker."""
    together, arrived = threading.Barrier(4), threading.local()

    def lock_once_all_have_looked(*given: object, **options: object) -> FileLock:
        if not hasattr(arrived, "here"):  # the first run of those that this thread has seen
            arrived.here = True
            together.wait(10)
        return FileLock(*given, **options)

    with queue.device_lock("cpu").acquire(timeout=0):
        waiting = [jobs.start(own_workspace(), tiny.config()) for _ in range(3)]
        pids = set(freeing.worker_pids(own_workspace()))
        assert len(pids) == 3
        with ThreadPoolExecutor(2) as pool:
            commands = [
                subprocess.Popen([sys.executable, "-c", FREE], cwd=tiny.ROOT, stdout=subprocess.PIPE) for _ in "ab"
            ]
            receipts = [pool.submit(freeing.free_memory, own_workspace(), grace_s=5) for _ in "ab"]
            assert all(receipt.result().is_complete for receipt in receipts)
            assert [command.communicate()[0] for command in commands] == [b"True\n"] * 2
        assert all(is_gone(pid) for pid in pids)
        assert all(run.status.is_parked for run in waiting)
        assert queue.read_queue(own_workspace()).is_held
        order = [entry.run for entry in queue.read_queue(own_workspace()).order]
        assert order == [run.id for run in waiting]
        with monkeypatch.context() as patch, ThreadPoolExecutor(4) as pool:
            patch.setattr(freeing, "FileLock", lock_once_all_have_looked)
            released = list(pool.map(lambda _: freeing.release(own_workspace()), range(4)))
        assert sorted(run.id for runs in released for run in runs) == sorted(order)
        assert sorted(freeing.worker_pids(own_workspace()).values()) == sorted(order), "one worker each"
        assert freeing.free_memory(own_workspace(), grace_s=5).is_complete


def test_a_release_in_the_middle_of_freeing_does_not_leave_a_parked_run_behind(
    tiny_set: Path, monkeypatch: pytest.MonkeyPatch
):
    """The button that lets the queue go on stands on the page only while the queue is held."""

    def park_and_let_go(folder: Path, parked: Status) -> None:
        write_status(folder, parked)
        queue.release(own_workspace())

    monkeypatch.setattr(freeing, "write_status", park_and_let_go)
    with queue.device_lock("cpu").acquire(timeout=0):
        run = jobs.start(own_workspace(), tiny.config())
        assert freeing.free_memory(own_workspace(), grace_s=5).is_complete
    assert run.status.is_parked
    assert queue.read_queue(own_workspace()).is_held


def test_freeing_that_is_broken_off_holds_nothing_back(monkeypatch: pytest.MonkeyPatch):
    def break_off(workspace: Workspace) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(launching, "rescue", break_off)
    with pytest.raises(KeyboardInterrupt):
        freeing.free_memory(own_workspace())
    assert not queue.read_queue(own_workspace()).is_held


def test_memory_comes_back_on_a_full_disk(tiny_set: Path, monkeypatch: pytest.MonkeyPatch, hasty):
    running, waiting = tiny.waiting_run(), tiny.waiting_run()

    def full(*given: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    with acting(ACTOR, "running", str(running.folder)) as one, acting(ACTOR, "silent", str(waiting.folder)) as other:
        monkeypatch.setattr(files, "write_atomic", full)
        receipt = freeing.free_memory(own_workspace(), grace_s=0.5)
        assert is_gone(one.pid)
        assert is_gone(other.pid)
        assert receipt.is_complete


def test_who_was_killed_before_leaves_nothing_to_free_and_holds_nothing(tiny_set: Path):
    run = tiny.waiting_run()
    queue.join(run, "cpu")
    with acting(ACTOR, "running", str(run.folder)) as process:
        process.kill()
        process.wait(5)
        receipt = freeing.free_memory(own_workspace(), grace_s=5)
    assert (receipt.processes, receipt.is_complete) == ([], True)
    assert run.status.state == "lost"
    assert queue.read_queue(own_workspace()) == queue.Queue()


def holdings() -> dict[str, int]:
    """What this process and this workspace hold."""
    gc.collect()
    process = psutil.Process()
    return {
        "handles": process.num_fds(),
        "threads": process.num_threads(),
        "children": len(process.children(recursive=True)),
        "files": sum(path.is_file() for path in own_workspace().root.rglob("*") if "datasets" not in path.parts),
        "staged": len(list((own_workspace().root / "datasets").iterdir())),
    }


def start_and_free(config, *, after_s: float) -> Run:
    """One cycle: a job is started, and ended with its memory after so many seconds. Returns its run, without worker."""
    run = jobs.start(own_workspace(), config)
    time.sleep(after_s)
    receipt = freeing.free_memory(own_workspace(), grace_s=20)
    assert receipt.is_complete
    assert [freed.run for freed in receipt.processes] in ([run.id], [])
    return run


def clear_away(run: Run) -> None:
    if run.status.is_live:
        jobs.stop(run)
    freeing.release(own_workspace())
    assert not run.status.is_live, run.status
    store.delete_run(run)


@pytest.mark.parametrize("cycles", [60, pytest.param(200, marks=pytest.mark.slow)])
def test_many_cycles_of_starting_and_freeing_leave_nothing_behind(cycles: int, tiny_set: Path, tmp_path: Path):
    """Nine in ten wait for their device, one in ten imports pictures; freed at a random moment of their start."""
    moments, pictures, before, memory = random.Random(5), tiny.write_pairs(tmp_path / "pictures"), {}, 0
    with queue.device_lock("cpu").acquire(timeout=0):
        for cycle in range(cycles):
            config = tiny.config()
            if cycle % 10 == 9:
                options = {"sources": [str(pictures)], "folder": importing.staging_folder(own_workspace()).name}
                config = tiny.config("import", dataset="", importing=options)
            clear_away(start_and_free(config, after_s=moments.choice([0, 0, 0, 0.05, 0.2])))
            if config.kind == "import":
                importing.discard(own_workspace().root / "datasets" / config.importing.folder)
            if cycle == 29:  # what is loaded and cached once is there by now
                before, memory = holdings(), psutil.Process().memory_info().rss
        assert holdings() == before
    assert psutil.Process().memory_info().rss - memory < 4 * 2**20
    with queue.device_lock("cpu").acquire(timeout=0):
        pass
    assert queue.read_queue(own_workspace()) == queue.Queue()


@pytest.mark.slow
def test_three_cycles_with_real_trainings_leave_nothing_behind_and_keep_each_model(tiny_set: Path):
    before = {}
    for cycle in range(3):
        run = tiny.start_and_train(epochs=1)
        pid = run.status.pid
        receipt = freeing.free_memory(own_workspace())
        assert receipt.is_complete
        assert is_gone(pid)
        assert run.status.state == "stopped"
        assert (run.folder / "best.safetensors").stat().st_size > 1000
        store.delete_run(run)
        with queue.device_lock("cpu").acquire(timeout=0):
            pass
        before = holdings() if cycle == 0 else before
    assert holdings() == before
    assert queue.read_queue(own_workspace()) == queue.Queue()
