"""Who is alive: death is proven with real processes, never guessed; another host's is never judged."""

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from tests import tiny
from unetlab.runs import status as status_module
from unetlab.runs.status import Status, StatusKeeper, boot_id, cause_of_death, read_status, write_status

HOST = status_module.socket.gethostname()
DEAD_PID = 2**22 + 1  # above the largest process id that Linux gives out (pid_max is at most 2**22)


def of_process(pid: int = DEAD_PID, started: float | None = 1.0, **changes: object) -> Status:
    """The status that a worker with this process id wrote a moment ago."""
    values = {
        "state": "running",
        "created": time.time(),
        "pid": pid,
        "started": started,
        "host": HOST,
        "boot_id": boot_id(),
        "heartbeat": time.time(),
    }
    return Status.model_validate(values | changes)


def alive(**changes: object) -> Status:
    """The status of a worker that lives: this very process."""
    return of_process(os.getpid(), psutil.Process().create_time(), **changes)


@contextmanager
def sleeper() -> Iterator[subprocess.Popen]:
    """A living child process; killed and waited for in the end."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def read_after(folder: Path, status: Status) -> Status:
    """What a reader makes of `status`; it must agree with what stands in the file then."""
    write_status(folder, status)
    found = read_status(folder)
    assert Status.model_validate_json((folder / "status.json").read_text()) == found
    return found


def test_a_living_worker_stays_what_it_says_it_is(tmp_path: Path):
    for state in ("queued", "running"):
        assert read_after(tmp_path, alive(state=state)).state == state


def test_a_worker_without_a_process_is_lost(tmp_path: Path):
    with sleeper() as process:
        status = of_process(process.pid, psutil.Process(process.pid).create_time())
        assert read_after(tmp_path, status).state == "running"
    found = read_after(tmp_path, status)
    assert found.state == "lost"
    assert "killed without a message" in found.reason
    assert abs(found.ended - time.time()) < 10


def test_a_full_disk_does_not_keep_a_reader_from_the_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_status(tmp_path, of_process())

    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(status_module, "write_status", full)
    assert read_status(tmp_path).state == "lost"


def test_a_process_id_that_was_given_away_again_is_no_proof_of_life(tmp_path: Path):
    status = alive()
    assert read_after(tmp_path, status.model_copy(update={"started": status.started - 2})).state == "lost"


def test_a_zombie_is_dead(tmp_path: Path):
    with sleeper() as process:
        status = of_process(process.pid, psutil.Process(process.pid).create_time())
        process.kill()
        tiny.wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE, "a zombie")
        assert psutil.pid_exists(process.pid)
        assert read_after(tmp_path, status).state == "lost"


def test_a_restart_of_the_machine_ends_what_ran(tmp_path: Path):
    found = read_after(tmp_path, alive(boot_id="another"))
    assert found.state == "lost"
    assert found.reason == "The computer was restarted during the run."


def test_a_worker_on_another_host_is_never_judged(tmp_path: Path):
    long_ago = time.time() - 10**6
    status = of_process(host="elsewhere", boot_id="another", heartbeat=long_ago, created=long_ago)
    found = read_after(tmp_path, status)
    assert found.state == "running"
    assert not found.is_responding


def test_a_stale_heartbeat_of_a_living_worker_is_not_responding_and_never_lost(tmp_path: Path):
    found = read_after(tmp_path, alive(heartbeat=time.time() - 16, created=time.time() - 10**6))
    assert found.state == "running"
    assert not found.is_responding
    assert read_after(tmp_path, alive(heartbeat=time.time() - 14)).is_responding


def test_a_run_that_has_ended_responds_for_ever():
    assert of_process(state="finished", heartbeat=1.0).is_responding
    assert of_process(state="queued", heartbeat=1.0, is_parked=True).is_responding  # no process, while the queue rests


@pytest.mark.parametrize(("age_s", "state"), [(31, "lost"), (29, "queued")])
def test_a_queued_run_whose_worker_never_reported_is_lost_after_half_a_minute(tmp_path: Path, age_s: int, state: str):
    found = read_after(tmp_path, Status(state="queued", created=time.time() - age_s))
    assert found.state == state
    assert ("never started" in found.reason) == (state == "lost")


def test_a_parked_run_waits_without_a_process_as_long_as_it_takes(tmp_path: Path):
    status = Status(state="queued", created=time.time() - 10**6, is_parked=True)
    assert read_after(tmp_path, status).state == "queued"


def test_death_after_a_stop_is_a_stop(tmp_path: Path):
    (tmp_path / "stop").touch()
    found = read_after(tmp_path, of_process())
    assert found.state == "stopped"
    assert "did not answer the stop" in found.reason


def test_a_last_word_that_comes_before_the_verdict_counts(tmp_path: Path):
    """A reader that found the worker dead looks again once it holds the run's lock."""
    write_status(tmp_path, of_process())
    found = []
    reader = threading.Thread(target=lambda: found.append(read_status(tmp_path)))
    with FileLock(tmp_path / ".lock"):
        reader.start()
        time.sleep(0.3)
        assert not found, "the verdict was not reached under the lock"
        write_status(tmp_path, of_process(state="finished"))
    reader.join(timeout=10)
    assert found[0].state == "finished"
    assert read_status(tmp_path).state == "finished"


@given(st.sampled_from(["finished", "stopped", "failed", "lost"]), st.booleans(), st.sampled_from([HOST, "elsewhere"]))
def test_what_has_ended_is_never_judged_again(state: str, is_parked: bool, host: str):
    assert (
        cause_of_death(of_process(state=state, is_parked=is_parked, host=host, boot_id="another"), Path("nowhere"))
        is None
    )


def test_a_keeper_says_who_it_is_and_beats_until_its_last_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(status_module, "HEARTBEAT_S", 0.01)
    write_status(tmp_path, Status(state="queued", created=5.0, is_parked=True, device="cuda:0"))
    keeper = StatusKeeper(tmp_path)
    first = read_status(tmp_path)
    assert (first.pid, first.host, first.boot_id) == (os.getpid(), HOST, boot_id())
    assert first.started == psutil.Process().create_time()
    assert (first.state, first.is_parked, first.created, first.device) == ("queued", False, 5.0, "cuda:0")
    keeper.progress("training", 3, 9)
    tiny.wait_until(lambda: read_status(tmp_path).done == 3, "progress with a heartbeat", timeout_s=10)
    tiny.wait_until(lambda: read_status(tmp_path).heartbeat > first.heartbeat, "a later heartbeat", timeout_s=10)
    keeper.end("failed", "because")
    last = (tmp_path / "status.json").read_text()
    time.sleep(0.1)
    assert (tmp_path / "status.json").read_text() == last
    assert (read_status(tmp_path).state, read_status(tmp_path).reason) == ("failed", "because")


def test_the_time_left_of_a_phase_comes_from_its_own_speed():
    status = of_process(phase="training", done=4, total=10, phase_began=100.0, heartbeat=120.0)
    assert status.seconds_left == pytest.approx(30)  # 5 s a step, 6 steps to go
    assert status.model_copy(update={"done": 1}).seconds_left is None


def test_a_resumed_phase_is_timed_by_what_it_has_done_since():
    status = of_process(phase="training", done=304, total=310, phase_began=100.0, heartbeat=120.0, done_before=300)
    assert status.seconds_left == pytest.approx(30)
    assert status.model_copy(update={"done": 301}).seconds_left is None


def test_what_the_job_says_of_the_time_left_goes_before_its_pace(tmp_path: Path):
    write_status(tmp_path, Status(state="queued", created=5.0))
    keeper = StatusKeeper(tmp_path)
    keeper.progress("training", 300, 310)
    keeper.progress("training", 304, 310, "validating, 1 of 5 pictures", 77.0)
    keeper.end("finished")
    status = read_status(tmp_path)
    assert (status.done, status.done_before, status.detail) == (304, 300, "validating, 1 of 5 pictures")
    assert status.seconds_left == 77
    assert status.model_copy(update={"time_left": None, "heartbeat": status.phase_began + 20}).seconds_left == 30


def test_readers_never_see_half_a_status(tmp_path: Path):
    write_status(tmp_path, alive())
    is_over = threading.Event()

    def rewrite() -> None:
        for number in range(300):
            write_status(tmp_path, alive(reason="x" * (number * 20)), is_durable=False)
        is_over.set()

    writer = threading.Thread(target=rewrite)
    writer.start()
    reads = 0
    while not is_over.is_set():
        assert read_status(tmp_path).state == "running"
        reads += 1
    writer.join()
    assert reads > 10
    assert [path.name for path in tmp_path.iterdir()] == ["status.json"]
