"""Jobs without a device: they wait for nobody, and a warm worker answers one preview after the other."""

import os
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

import psutil
import pytest

from tests import tiny
from unetlab import console, worker
from unetlab.config import RunConfig
from unetlab.errors import ConfigError
from unetlab.runs import devices, freeing, jobs, launching, queue, status, store, warm
from unetlab.runs.store import Run
from unetlab.workspace import own_workspace

NOBODY = 2**22 + 1  # above the largest process id that Linux gives out


def preview(**changes) -> RunConfig:
    return tiny.config("preview", preview={"indices": [0, 1], "draws": 1}, **changes)


def answered(run: Run) -> int:
    """The process id of the worker that finished the preview."""
    found = tiny.ended(run)
    assert found.state == "finished", f"{found.reason}\n{run.log_tail()}"
    assert run.read("result.json")["columns"] == 2
    assert (run.folder / "augmented" / "1_1.jpg").stat().st_size > 100
    assert found.device == devices.LANE
    return found.pid


def idle_worker() -> int:
    """A warm worker that waits, torch loaded, with its job done."""
    pid = answered(jobs.start(own_workspace(), preview()))
    tiny.wait_until(lambda: warm.living(own_workspace()) == {pid: warm.IDLE}, "an idle worker")
    return pid


def gone(pid: int) -> bool:
    return status.process_started(pid) is None


def end(run: Run, *, ago_s: float, state: str = "finished") -> Run:
    changes = {"state": state, "ended": time.time() - ago_s}
    status.write_status(run.folder, run.status.model_copy(update=changes))
    return run


def test_a_preview_answers_while_a_training_runs_and_the_queue_is_held(tiny_set: Path):
    training = tiny.start_and_train()
    queue.hold(own_workspace())
    before = len(tiny.of_type(training, "epoch"))
    pid = answered(jobs.start(own_workspace(), preview()))
    tiny.wait_until(lambda: len(tiny.of_type(training, "epoch")) > before, "the training goes on")
    assert training.status.state == "running"
    assert pid != training.status.pid
    assert queue.read_queue(own_workspace()).order == []


def test_one_worker_answers_twice_and_writes_each_log_and_state_into_its_own_run(tiny_set: Path):
    pid = idle_worker()
    loaded = {"workers": freeing.worker_pids(own_workspace()), "started": psutil.Process(pid).create_time()}
    assert loaded["workers"] == {pid: warm.IDLE}
    run = jobs.start(own_workspace(), preview())
    assert answered(run) == pid
    assert run.status.started == loaded["started"]
    assert run.log_tail() == ""
    assert [path.name for path in run.folder.glob("reserve")] == []
    tiny.wait_until(lambda: warm.living(own_workspace()) == {pid: warm.IDLE}, "it waits again")


def test_a_failure_is_told_in_its_own_run_and_takes_the_worker_with_it(tiny_set: Path):
    pid = idle_worker()
    missing = jobs.start(own_workspace(), preview(dataset="tinny"))
    assert tiny.ended(missing).state == "failed"
    assert "no data set 'tinny'" in missing.status.reason
    tiny.wait_until(lambda: gone(pid), "the worker leaves")
    assert warm.living(own_workspace()) == {}
    bug = tiny.config("preview", preview={"indices": [0]})
    next_pid = idle_worker()
    (tiny_set / "datasets" / tiny.NAME / "manifest.json").unlink()
    (tiny_set / "datasets" / tiny.NAME / "manifest.json").mkdir()  # an error that nobody foresaw
    run = jobs.start(own_workspace(), bug)
    assert tiny.ended(run).is_bug
    assert run.status.pid == next_pid
    assert "Traceback" in run.log_tail()
    assert "IsADirectoryError" in run.log_tail()


def test_an_idle_worker_leaves_after_its_time(tiny_set: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("UNETLAB_WARM_S", "1")
    pid = answered(jobs.start(own_workspace(), preview()))
    began = time.monotonic()
    tiny.wait_until(lambda: gone(pid), "the worker leaves", timeout_s=20)
    assert time.monotonic() - began > 0.5, "it waits for the next job before it leaves"
    assert warm.living(own_workspace()) == {}
    assert list(own_workspace().workers.glob("[0-9]*")) == []


def test_an_idle_worker_leaves_when_it_is_asked_to_or_its_home_is_gone(tiny_set: Path):
    first = idle_worker()
    os.kill(first, signal.SIGTERM)
    tiny.wait_until(lambda: gone(first), "the worker leaves")
    assert warm.living(own_workspace()) == {}
    second = idle_worker()
    shutil.rmtree(tiny_set)
    tiny.wait_until(lambda: gone(second), "the worker leaves")
    assert not tiny_set.exists(), "the worker brought the deleted workspace back"


def test_after_a_kill_the_next_preview_is_answered_all_the_same(tiny_set: Path):
    pid = idle_worker()
    os.kill(pid, signal.SIGKILL)
    assert answered(jobs.start(own_workspace(), preview())) != pid


def test_a_run_whose_worker_died_before_it_took_it_gets_a_worker_of_its_own(tiny_set: Path):
    pid = idle_worker()
    os.kill(pid, signal.SIGSTOP)
    run = jobs.start(own_workspace(), preview())
    assert warm.living(own_workspace()) == {pid: run.id}
    assert freeing.worker_pids(own_workspace()) == {pid: run.id}
    launching.rescue(own_workspace())
    assert (run.status.state, run.status.pid) == ("queued", None), "the worker lives: it may still take the run"
    os.kill(pid, signal.SIGKILL)
    tiny.wait_until(lambda: gone(pid), "the kill")
    assert answered(run) != pid
    assert warm.living(own_workspace()) == {}


def test_a_run_that_a_hanging_worker_does_not_take_gets_a_worker_of_its_own_in_time(
    tiny_set: Path, monkeypatch: pytest.MonkeyPatch
):
    assert warm.TAKE_LIMIT_S < status.START_LIMIT_S
    pid = idle_worker()
    monkeypatch.setattr(warm, "TAKE_LIMIT_S", 0.5)
    os.kill(pid, signal.SIGSTOP)
    run = jobs.start(own_workspace(), preview())
    assert answered(run) != pid
    os.kill(pid, signal.SIGCONT)
    tiny.wait_until(lambda: gone(pid), "what hung finds its registration gone and leaves")
    assert run.status.state == "finished"


def test_however_many_ask_at_once_a_worker_is_given_one_run():
    warm.register(own_workspace(), os.getpid())
    with ThreadPoolExecutor(16) as pool:
        claims = list(pool.map(warm.claim, repeat(own_workspace()), [f"run-{number}" for number in range(16)]))
    assert claims.count(True) == 1
    assert warm.living(own_workspace()) == {os.getpid(): f"run-{claims.index(True)}"}
    seat = warm.Seat(own_workspace().workers, os.getpid())
    assert seat.next_run(idle_s=10) == f"run-{claims.index(True)}"
    assert not seat.is_claimed
    seat.wait_again()
    assert warm.living(own_workspace()) == {os.getpid(): warm.IDLE}


def test_a_lost_claim_is_told_to_one_of_those_who_look():
    warm.register(own_workspace(), os.getpid())
    assert warm.claim(own_workspace(), "run.with.dots")
    (claim,) = own_workspace().workers.glob("*.claim")
    os.utime(claim, (0, 0))
    with ThreadPoolExecutor(8) as pool:
        told = [
            claim
            for found in pool.map(lambda _: warm.take_back_lost_claims(own_workspace()), range(16))
            for claim in found
        ]
    assert told == [("run.with.dots", 0.0)]
    assert warm.Seat(own_workspace().workers, os.getpid()).next_run(idle_s=10) is None


def test_a_claim_or_its_return_is_won_by_one_side_only():
    for number in range(50):
        warm.register(own_workspace(), os.getpid())
        assert warm.claim(own_workspace(), f"run-{number}")
        (claim,) = own_workspace().workers.glob("*.claim")
        os.utime(claim, (0, 0))
        seat = warm.Seat(own_workspace().workers, os.getpid())
        with ThreadPoolExecutor(2) as pool:
            taken, returned = (
                pool.submit(seat.next_run, idle_s=5),
                pool.submit(warm.take_back_lost_claims, own_workspace()),
            )
            assert (taken.result() is None) == (returned.result() == [(f"run-{number}", 0.0)])
        seat.leave()


def test_a_registration_of_a_dead_process_is_no_worker():
    warm.register(own_workspace(), NOBODY)
    assert not warm.claim(own_workspace(), "run")
    assert warm.living(own_workspace()) == {}
    assert list(own_workspace().workers.glob("[0-9]*")) == []


def test_a_process_that_got_the_number_of_a_dead_worker_is_neither_used_nor_ended(monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        patch.setattr(warm, "process_started", lambda pid: time.time() - 10**5)
        warm.register(own_workspace(), os.getpid())
    assert not warm.claim(own_workspace(), "run")
    warm.dismiss(own_workspace(), os.getpid())  # ends this very test if it is wrong


@pytest.mark.parametrize(("is_claimed", "done"), [(True, ["run"]), (False, ["torch", "step"])])
def test_torch_is_loaded_ahead_only_where_no_run_waits_that_would_load_it(
    monkeypatch: pytest.MonkeyPatch, is_claimed: bool, done: list[str]
):
    """A run is taken at once, so that its status tells what happens while torch is loaded."""
    seen: list[str] = []
    monkeypatch.setenv("UNETLAB_WARM_S", "0")
    monkeypatch.setattr(worker, "_load_torch", lambda: seen.append("torch"))
    monkeypatch.setattr(worker, "_warm_up", lambda: seen.append("step"))
    monkeypatch.setattr(worker, "main", lambda folder: seen.append(folder.name) or 0)
    warm.register(own_workspace(), os.getpid())
    if is_claimed:
        (own_workspace().runs / "run").mkdir()
        assert warm.claim(own_workspace(), "run")
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        assert worker.stay_warm(own_workspace().workers) == 0
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), handlers, strict=True):
            signal.signal(number, handler)
    assert seen == done
    assert warm.living(own_workspace()) == {}


def test_warming_up_starts_one_worker_that_takes_the_next_preview(tiny_set: Path):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: launching.warm_up(own_workspace()), range(4)))
    (pid,) = warm.living(own_workspace())
    assert list(freeing.worker_pids(own_workspace())) == [pid]
    tiny.wait_until(lambda: has_torch(pid), "torch is loaded before anybody asks for it")
    assert answered(jobs.start(own_workspace(), preview())) == pid
    launching.warm_up(own_workspace())
    assert list(warm.living(own_workspace())) == [pid]


def test_a_preview_asked_for_while_its_worker_warms_up_is_done_by_it(tiny_set: Path):
    launching.warm_up(own_workspace())
    (pid,) = warm.living(own_workspace())
    assert answered(jobs.start(own_workspace(), preview())) == pid


def has_torch(pid: int) -> bool:
    return any("libtorch" in area.path for area in psutil.Process(pid).memory_maps())


def test_a_preview_that_was_cancelled_before_it_began_says_so(tiny_set: Path):
    pid = idle_worker()
    os.kill(pid, signal.SIGSTOP)
    run = jobs.start(own_workspace(), preview())
    jobs.stop(run)
    os.kill(pid, signal.SIGCONT)
    found = tiny.ended(run)
    assert (found.state, found.reason) == ("stopped", "Cancelled before it started.")
    tiny.wait_until(lambda: warm.living(own_workspace()) == {pid: warm.IDLE}, "it waits again")
    assert answered(jobs.start(own_workspace(), preview())) == pid


def test_lists_show_imports_and_previews_only_while_they_live():
    training, live = tiny.waiting_run(), store.create_run(own_workspace(), preview())
    over = end(store.create_run(own_workspace(), preview()), ago_s=0)
    assert set(store.list_runs(own_workspace())) == set(jobs.live_runs(own_workspace())) == {training, live}
    assert set(store.list_runs(own_workspace(), kind="preview")) == {live, over}
    assert store.list_runs(own_workspace(), dataset=tiny.NAME, kind="train") == [training]
    assert set(store.list_runs(own_workspace(), dataset=tiny.NAME)) == {training, live}


def test_an_hour_after_its_end_a_preview_is_deleted_by_whoever_starts_the_next(tiny_set: Path):
    trained = end(tiny.waiting_run(), ago_s=10**6)
    live = store.create_run(own_workspace(), preview())
    fresh, old = (end(store.create_run(own_workspace(), preview()), ago_s=ago) for ago in (3500, 3700))
    lost = end(store.create_run(own_workspace(), preview()), ago_s=3700, state="lost")
    run = jobs.start(own_workspace(), preview())
    assert [(kept.folder / "status.json").exists() for kept in (trained, live, fresh, old, lost, run)] == [
        *[True] * 3,
        *[False] * 2,
        True,
    ]
    assert tiny.ended(run).state == "finished"


def test_a_waiting_lane_job_is_starting_not_waiting():
    run = store.create_run(own_workspace(), preview(), device=devices.LANE)
    assert console._describe(run, run.status) == "starting"


def test_a_job_without_its_options_is_refused_by_name():
    with pytest.raises(ConfigError, match="'import' needs its options under 'importing'"):
        tiny.config("import", dataset="")


@pytest.mark.parametrize("folder", ["..", ".", "", "a/b", "../x", ".hidden", "/etc", ".staging-", "x\n"])
def test_an_import_into_anything_but_a_folder_of_the_data_sets_is_refused(folder: str):
    with pytest.raises(ConfigError, match=r"importing\.folder"):
        tiny.config("import", importing={"folder": folder})
