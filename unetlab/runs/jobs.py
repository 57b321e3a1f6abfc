"""Jobs: start a worker, ask it to stop, insist, and give all memory back.

A worker outlives the page and the server; whoever looks next carries on from the run folder.
"""

import contextlib
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from filelock import FileLock

from unetlab.config import LANE_KINDS, RunConfig
from unetlab.errors import RunError
from unetlab.runs import devices, queue, warm
from unetlab.runs.status import Status, process_started, write_status
from unetlab.runs.store import Run, create_run, delete_run, list_runs, runs_folder

STOP_GRACE_S = 60.0  # from the stop file's time: a step and a last validation fit in here; then SIGTERM
KILL_AFTER_S = 5.0  # after the SIGTERM
FREE_GRACE_S = 20.0  # freeing memory waits less: the weights of the last epoch are on disk already
KEPT_S = 3600.0  # an import or preview that has ended is kept for so long

_children: list[subprocess.Popen] = []  # kept only to be reaped: a finished child stays a zombie until asked about


def start(config: RunConfig, *, name: str = "") -> Run:
    """A run folder, a place in its device's queue and a worker process that waits for its turn.

    Kinds that need no device run at once, also while the queue is held; a preview in a worker that is warm already.
    """
    if config.kind in LANE_KINDS:
        sweep_lane()
        run = create_run(config, name=name, device=devices.LANE)
        if config.kind == "preview":
            _hand_over(run)
        else:
            launch(run)
        return run
    device = devices.resolve(config.train.device)
    run = create_run(config, name=name, device=device)
    queue.join(run, device)
    launch(run)
    return run


def launch(run: Run) -> int:
    """Starts the worker of a queued run and returns its process id."""
    return _spawn(str(run.folder), log=run.folder / "worker.log")


def warm_up() -> None:
    """Starts a worker that loads torch and waits for a preview, unless there is one; a page's first visit calls it."""
    with FileLock(warm.workers_folder() / ".lock", timeout=30):
        if not warm.living():
            _launch_warm()


def _hand_over(run: Run) -> None:
    if warm.claim(run.id):
        return
    _launch_warm()
    if not warm.claim(run.id):  # another starter took it, or it died at once: this run's log shall say why
        launch(run)


def _launch_warm() -> None:
    folder = warm.workers_folder()
    warm.register(_spawn("--warm", str(folder), log=folder / "worker.log"))


def _spawn(*arguments: str, log: Path) -> int:
    reap()
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "unetlab.worker", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            cwd=Path(__file__).resolve().parents[2],
        )
    _children.append(process)
    return process.pid


def rescue() -> None:
    """Gives runs that a warm worker was given, and died or hung before it took them, a worker of their own."""
    for run_id in warm.take_back_lost_claims():
        run = Run(runs_folder() / run_id)
        with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
            if run.status.state == "queued":
                launch(run)


def sweep_lane() -> None:
    """Deletes imports and previews that ended more than KEPT_S ago: what they made lies in the data set."""
    for run in [run for kind in LANE_KINDS for run in list_runs(kind=kind)]:
        with contextlib.suppress(OSError, RunError):  # another starter sweeps at the same time
            status = run.status
            if not status.is_live and status.ended is not None and time.time() - status.ended > KEPT_S:
                delete_run(run)


def reap() -> None:
    """Lets go of workers that have ended."""
    _children[:] = [child for child in _children if child.poll() is None]


def live_runs() -> list[Run]:
    """Queued and running runs, oldest first. A stop that nobody answers is carried on here, a lost start made again."""
    reap()
    rescue()
    live = [run for run in reversed(list_runs()) if _is_live(run)]
    for run in live:
        insist(run)
    return live


def _is_live(run: Run) -> bool:
    try:
        return run.status.is_live
    except FileNotFoundError:  # deleted since it was listed
        return False


def stop(run: Run) -> None:
    """Asks the run to stop and keep a usable model. Raises RunError when it has ended already."""
    status = run.status
    if not status.is_live:
        raise RunError(f"{run.id} has ended already ({status.state}).")
    run.ask_to_stop()
    if status.is_parked:
        _end_parked(run, status)


def insist(run: Run, *, grace_s: float = STOP_GRACE_S) -> None:
    """Terminates, then kills a worker that has not answered a stop in time; deadlines count from the stop file."""
    status, stop_file = run.status, run.folder / "stop"
    if not status.is_live or status.pid is None or not stop_file.exists():
        return
    overdue = time.time() - stop_file.stat().st_mtime - grace_s
    if overdue > KILL_AFTER_S:
        _signal(status, "kill")
    elif overdue > 0:
        _signal(status, "terminate")


def kill(run: Run) -> None:
    """Ends the worker at once. What it saved stays."""
    run.ask_to_stop()
    _signal(run.status, "kill")


def wait(run: Run, *, timeout_s: float) -> Status:
    """The status once the run has ended, or as it stands after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while (status := run.status).is_live and time.monotonic() < deadline:
        reap()
        rescue()
        time.sleep(0.05)
    return status


@dataclass
class Freed:
    """One worker on the receipt. Bytes before and after; GPU bytes None where they cannot be told."""

    pid: int
    run: str
    ram_before: int
    gpu_before: int | None
    ram_after: int = 0
    gpu_after: int | None = None
    state: str = ""


@dataclass
class Receipt:
    """What freeing the memory did: per process and per device. `is_complete`: no worker of ours is left."""

    processes: list[Freed] = field(default_factory=list)
    before: list[devices.Memory] = field(default_factory=list)
    after: list[devices.Memory] = field(default_factory=list)
    is_complete: bool = True


def worker_pids() -> dict[int, str]:
    """Process id -> run id, or warm.IDLE, of every living worker of this workspace, asked of the operating system."""
    root, warm_root, found = str(runs_folder()), str(warm.workers_folder()), {}
    warm_workers = warm.living()
    for process in psutil.process_iter(["cmdline", "status"]):
        command = process.info["cmdline"] or []
        if process.info["status"] == psutil.STATUS_ZOMBIE or "unetlab.worker" not in command:
            continue
        if command[-1] == warm_root:
            found[process.pid] = warm_workers.get(process.pid, warm.IDLE)
        elif command[-1].startswith(root):
            found[process.pid] = Path(command[-1]).name
    return found


def free_memory(*, grace_s: float = FREE_GRACE_S) -> Receipt:
    """Holds the queue, ends every worker of this workspace and says what that gave back.

    The queue stays held while somebody waits in it, so that the memory stays free until `release`. A running job ends
    *stopped* with the model it has; a waiting one keeps its place and gets a worker on `release`. Imports and previews
    end *stopped*; workers that only wait are ended and stand on the receipt as warm.IDLE.
    """
    queue.hold()  # first: or the next in the queue would take the memory
    workers = worker_pids()
    receipt = Receipt(before=devices.read_memory(list(workers)))
    for pid, run_id in workers.items():
        receipt.processes.append(Freed(pid, run_id, devices.resident_bytes(pid), devices.gpu_bytes(pid)))
    deadline = time.monotonic() + grace_s + 2 * KILL_AFTER_S
    # a process on its way out has no command line any more, and its memory for a moment yet
    while (left := worker_pids()) or any(process_started(pid) for pid in workers):
        if time.monotonic() > deadline:
            break
        for pid, run_id in left.items():
            _end(pid, run_id, grace_s)
        reap()
        time.sleep(0.1)
    for freed in receipt.processes:
        freed.ram_after, freed.gpu_after = devices.resident_bytes(freed.pid), devices.gpu_bytes(freed.pid)
        idle_state = "idle" if freed.pid in left else "ended"
        freed.state = idle_state if freed.run == warm.IDLE else Run(runs_folder() / freed.run).status.state
    receipt.after, receipt.is_complete = devices.read_memory(list(left)), not left
    if not queue.read_queue().order:
        queue.release()  # nobody waits: nothing to hold back
    return receipt


def _end(pid: int, run_id: str, grace_s: float) -> None:
    """Brings a worker closer to its end; called again and again until it is gone."""
    if run_id == warm.IDLE:  # from the start, or since its preview has ended
        warm.dismiss(pid)
        return
    run = Run(runs_folder() / run_id)
    status = run.status
    if status.state == "running" or (status.is_live and status.device == devices.LANE):
        run.ask_to_stop()
    elif status.state == "queued":
        _park(run, pid)
    insist(run, grace_s=grace_s)


def release() -> list[Run]:
    """Lets the queue go on and gives parked runs a worker again; returns those."""
    queue.release()
    parked = [run for run in reversed(list_runs()) if run.status.is_parked and run.status.state == "queued"]
    for run in parked:
        write_status(run.folder, run.status.model_copy(update={"is_parked": False, "created": time.time()}))
        launch(run)
    return parked


def _park(run: Run, pid: int) -> None:
    """Ends the process of a waiting run, which holds nothing yet, and keeps its place in the queue."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        # suspended first: its heartbeat must not undo what is written here, nor a reader find it dead and call it lost
        process.suspend()
        status = Status.model_validate(run.read("status.json"))
        if status.state != "queued":  # its turn came in this very moment: it ends like any running job
            run.ask_to_stop()
            process.resume()
            return
        write_status(run.folder, status.model_copy(update={"is_parked": True, "pid": None, "started": None}))
        process.kill()  # free_memory waits for its end, which a zombie has reached: its parent may never ask


def _end_parked(run: Run, status: Status) -> None:
    ended = {"state": "stopped", "reason": "Cancelled before it started.", "ended": time.time(), "is_parked": False}
    write_status(run.folder, status.model_copy(update=ended))
    queue.leave(run)


def _signal(status: Status, action: str) -> None:
    """Terminates or kills exactly the process that wrote the status, never one that got its number later."""
    try:
        process = psutil.Process(status.pid)
        if status.started is not None and abs(process.create_time() - status.started) < 1.0:
            getattr(process, action)()
    except psutil.Error:
        pass
