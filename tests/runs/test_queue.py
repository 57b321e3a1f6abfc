"""Whose turn it is, asked of real files, threads and processes."""

import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from filelock import Timeout
from streamlit.testing.v1 import AppTest

from tests import tiny
from unetlab.errors import RunError
from unetlab.runs import freeing, jobs, launching, queue, store
from unetlab.runs.status import boot_id, next_attempt, write_status
from unetlab.runs.store import Run
from unetlab.workspace import own_workspace

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
    runs = [store.create_run(own_workspace(), tiny.config(), device=device) for device in devices]
    for run, device in zip(runs, devices, strict=True):
        queue.join(run, device)
    return runs


def turns(runs: list[Run]) -> list[bool]:
    return [queue.is_my_turn(run) for run in runs]


def order() -> list[str]:
    return [entry.run for entry in queue.read_queue(own_workspace()).order]


def ids(*runs: Run) -> list[str]:
    return [run.id for run in runs]


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
    queue.hold(own_workspace())
    assert turns(runs) == [False, False]
    newcomer = in_line("mps")
    assert turns(newcomer) == [False]
    queue.release(own_workspace())
    assert turns(runs + newcomer) == [True, True, True]


def test_holding_and_releasing_keep_the_order():
    runs = in_line("cpu", "cpu", "cpu")
    queue.hold(own_workspace())
    queue.release(own_workspace())
    assert [entry.run for entry in queue.read_queue(own_workspace()).order] == [run.id for run in runs]


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
    assert [entry.run for entry in queue.read_queue(own_workspace()).order] == [third.id]


def test_a_run_that_stands_in_no_line_waits_for_nobody():
    in_line("cpu")
    assert queue.is_my_turn(tiny.waiting_run())


def test_a_damaged_queue_file_is_an_empty_queue():
    in_line("cpu")
    (own_workspace().root / "queue.json").write_text('{"order": [')
    assert queue.read_queue(own_workspace()) == queue.Queue()


def test_many_who_join_at_once_all_get_a_place():
    runs = [tiny.waiting_run() for _ in range(12)]
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda run: queue.join(run, "cpu"), runs))
    order = [entry.run for entry in queue.read_queue(own_workspace()).order]
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


def test_a_waiting_run_says_since_when_and_for_whom():
    first, run = in_line("cpu", "cpu")
    since = f"waiting since {time.strftime('%H:%M', time.localtime(run.status.created))} for "
    assert jobs.waits_for(run, run.status) == f"{since}1 run before it in the queue"
    set_status(first, state="running", pid=os.getpid(), started=psutil.Process().create_time(), boot_id=boot_id(),
               host=socket.gethostname(), heartbeat=time.time())  # fmt: skip
    first.write_notes(store.Notes(name="cells"))
    queue.leave(first)
    assert jobs.waits_for(run, run.status) == f"{since}cells"
    first.write_notes(store.Notes())
    assert jobs.waits_for(run, run.status) == f"{since}the training of {first.when}"
    set_status(first, state="finished")
    assert jobs.waits_for(run, run.status) == f"{since}its process to start"


def test_the_worker_of_another_workspace_that_holds_the_device_is_named_where_it_can_be_seen():
    (run,) = in_line("cpu")
    set_status(run, phase="waiting for the device")
    assert jobs.waits_for(run, run.status).endswith(" for another workspace")
    named = [sys.executable, "-c", HOLDER, "cpu", "unetlab.worker"]
    with subprocess.Popen(named, cwd=tiny.ROOT, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout.readline() == b"held\n"
            queue._holder.cache_clear()
            told = jobs.waits_for(run, run.status)
            assert told.endswith(f" for another workspace on this machine (process {process.pid})")
            told = jobs.waits_for(run, run.status, names_processes=False)
            assert told.endswith(" for another workspace")
        finally:
            process.kill()


def test_a_parked_run_that_is_stopped_ends_at_once_and_leaves_the_line():
    ahead, run = in_line("cpu", "cpu")
    set_status(ahead, is_parked=True)
    jobs.stop(ahead)
    assert (ahead.status.state, ahead.status.reason) == ("stopped", "Cancelled before it started.")
    assert [entry.run for entry in queue.read_queue(own_workspace()).order] == [run.id]


@pytest.mark.parametrize(("act", "what"), [(jobs.stop, "Cancelled"), (jobs.pause, "Paused")])
def test_a_resumed_run_that_ends_while_it_is_parked_is_not_said_never_to_have_started(act, what):
    (run,) = in_line("cpu")
    write_status(run.folder, next_attempt(run.status, is_parked=True))
    act(run)
    assert run.status.reason == f"{what} while it waited; what it had is kept."


def test_a_run_is_moved_to_the_front_and_past_one_neighbour():
    a, b, c = in_line("cpu", "cpu", "cpu")
    queue.move(c, "first")
    assert order() == ids(c, a, b)
    queue.move(b, "up")
    assert order() == ids(c, b, a)
    queue.move(c, "down")
    assert order() == ids(b, c, a)
    assert turns([a, b, c]) == [False, True, False]


def test_a_run_at_the_end_of_its_line_stays_there():
    a, b, c = in_line("cpu", "cpu", "cpu")
    for run, place in ((a, "up"), (a, "first"), (c, "down")):
        queue.move(run, place)
        assert order() == ids(a, b, c)


@pytest.mark.parametrize("place", ["first", "up", "down"])
def test_moving_passes_no_run_of_another_device(place: queue.Place):
    runs = in_line("cuda:0", "cpu", "cuda:1", "cpu", "cuda:0", "cpu")
    queue.move(runs[3], place)
    queue.move(runs[4], "first")
    devices = [run.status.device for run in runs]
    assert [store.open_run(own_workspace(), run_id).status.device for run_id in order()] == devices
    assert queue.line_of(runs[2]) == ids(runs[2])
    assert queue.line_of(runs[0]) == ids(runs[4], runs[0])
    after = ids(runs[1], runs[5], runs[3]) if place == "down" else ids(runs[3], runs[1], runs[5])
    assert queue.line_of(runs[3]) == after


def test_a_run_that_does_not_wait_is_not_moved():
    run, started = in_line("cpu", "cpu")
    set_status(started, state="running", pid=1, host="elsewhere", started=1.0)
    with pytest.raises(RunError, match="is running"):
        queue.move(started, "first")
    assert order() == ids(run, started), "nothing was written"


def test_many_moves_at_once_lose_nobody():
    runs = in_line(*["cpu", "cuda:0"] * 4)
    with ThreadPoolExecutor(8) as pool:
        places: list[queue.Place] = ["up", "first", "down"]
        list(pool.map(lambda number: queue.move(runs[number % 8], places[number % 3]), range(48)))
    assert sorted(order()) == sorted(ids(*runs))


def test_the_line_of_a_device_leaves_out_who_has_ended():
    a, b, c = in_line("cpu", "cpu", "cpu")
    set_status(a, state="failed")
    assert queue.line_of(b) == ids(b, c)
    assert (queue.line_of(a), queue.position(c)) == (ids(b, c), 1)
    assert queue.line_of(tiny.waiting_run()) == []


def test_who_joins_twice_stands_once_where_it_came_last():
    a, b = in_line("cpu", "cpu")
    queue.join(a, "cpu")
    assert order() == ids(b, a)
    queue.join(a, "cpu", at_front=True)
    assert order() == ids(a, b)


def waiting_workers(count: int) -> list[Run]:
    """Runs with real workers that wait for the CPU, whose lock somebody holds."""
    runs = [jobs.start(own_workspace(), tiny.config()) for _ in range(count)]
    tiny.wait_until(lambda: all(run.status.phase == "waiting for the device" for run in runs), "all wait")
    return runs


def test_the_moved_run_really_starts_first(tiny_set: Path):
    with queue.device_lock("cpu").acquire(timeout=0):
        a, b, c = waiting_workers(3)
        assert tiny.answer("runs", "move", c.id, "first") == {"run": c.id, "order": ids(c, a, b)}
        queue.move(b, "up")
    tiny.wait_until(lambda: c.status.state == "running", "the moved one starts")
    assert [run.status.state for run in (a, b)] == ["queued", "queued"]
    jobs.kill(c)
    tiny.wait_until(lambda: b.status.state == "running", "the next one starts")
    assert a.status.state == "queued"
    assert freeing.free_memory(own_workspace(), grace_s=0).is_complete


def test_the_command_says_what_cannot_be_moved_and_whereto(trained_home: Run):
    done = tiny.command("runs", "move", trained_home.id, "up")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{trained_home.called('The')} is finished. Only a run that waits for a device can be moved." in done.stderr
    wrong = tiny.command("runs", "move", trained_home.id, "last", COLUMNS="200", NO_COLOR="1")
    assert wrong.returncode == 2
    assert "'first', 'up', 'down'" in wrong.stderr


def test_a_run_that_goes_on_in_a_fresh_process_is_not_overtaken_while_the_lock_is_free(tiny_set: Path):
    """As after memory ran out: its worker hands on, lets go of the device, and the next one is not there yet."""
    healing = tiny.waiting_run()
    with queue.device_lock("cpu").acquire(timeout=0):
        set_status(healing, state="running", pid=1, host="elsewhere", started=1.0)
        a, b = waiting_workers(2)
        write_status(healing.folder, next_attempt(healing.status))
        queue.join(healing, "cpu", at_front=True)
    time.sleep(1.0)  # ten polls of each that waits
    assert [run.status.state for run in (healing, a, b)] == ["queued"] * 3
    launching.launch(healing)
    tiny.wait_until(lambda: healing.status.state == "running", "it goes on")
    assert [run.status.state for run in (a, b)] == ["queued"] * 2
    jobs.kill(healing)
    tiny.wait_until(lambda: a.status.state == "running", "the next one starts")
    assert b.status.state == "queued"
    assert freeing.free_memory(own_workspace(), grace_s=0).is_complete


def test_the_sidebar_lists_who_waits_by_turn_and_moves_it(tiny_set: Path):
    a, b, other = in_line("cpu", "cpu", "cuda:0")
    app = AppTest.from_file(str(tiny.ROOT / "app.py"), default_timeout=30).run()

    def drawn() -> list[str]:
        buttons = [button.key for button in app.button if (button.key or "").startswith("stop-")]
        return [key.removeprefix("stop-") for key in buttons]

    assert drawn() == ids(a, b, other)
    assert [
        app.button(key=f"{place}-{run.id}").disabled for place, run in [("up", a), ("down", a), ("up", b), ("down", b)]
    ] == [True, False, False, True]
    assert not [button for button in app.button if button.key in (f"up-{other.id}", f"down-{other.id}")]
    app.button(key=f"up-{b.id}").click().run()
    assert not app.exception
    assert queue.line_of(a) == ids(b, a)
    assert drawn() == ids(b, a, other)
    queue.leave(b)
    app.button(key=f"down-{b.id}").click().run()
    assert "Only a run that waits for a device can be moved." in app.error[0].value
