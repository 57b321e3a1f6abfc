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

from unetlab.config import RunConfig
from unetlab.errors import RunError
from unetlab.runs import devices, queue
from unetlab.runs.status import Status, write_status
from unetlab.runs.store import Run, create_run, list_runs, runs_folder

STOP_GRACE_S = 60.0  # from the stop file's time: a step and a last validation fit in here; then SIGTERM
KILL_AFTER_S = 5.0  # after the SIGTERM
FREE_GRACE_S = 20.0  # freeing memory waits less: the weights of the last epoch are on disk already

_children: list[subprocess.Popen] = []  # kept only to be reaped: a finished child stays a zombie until asked about


def start(config: RunConfig, *, name: str = "") -> Run:
    """A run folder, a place in its device's queue and a worker process that waits for its turn."""
    device = devices.resolve(config.train.device)
    run = create_run(config, name=name, device=device)
    queue.join(run, device)
    launch(run)
    return run


def launch(run: Run) -> int:
    """Starts the worker of a queued run and returns its process id."""
    reap()
    command = [sys.executable, "-m", "unetlab.worker", str(run.folder)]
    with (run.folder / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            cwd=Path(__file__).resolve().parents[2],
        )
    _children.append(process)
    return process.pid


def reap() -> None:
    """Lets go of workers that have ended."""
    _children[:] = [child for child in _children if child.poll() is None]


def live_runs() -> list[Run]:
    """Queued and running runs, oldest first. A stop that nobody answers is carried on here."""
    reap()
    live = [run for run in reversed(list_runs()) if run.status.is_live]
    for run in live:
        insist(run)
    return live


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
    """Process id -> run id of every living worker of this workspace, asked of the operating system."""
    root, found = str(runs_folder()), {}
    for process in psutil.process_iter(["cmdline", "status"]):
        command = process.info["cmdline"] or []
        if process.info["status"] == psutil.STATUS_ZOMBIE or "unetlab.worker" not in command:
            continue
        if command[-1].startswith(root):
            found[process.pid] = Path(command[-1]).name
    return found


def free_memory(*, grace_s: float = FREE_GRACE_S) -> Receipt:
    """Holds the queue, ends every worker of this workspace and says what that gave back.

    The queue stays held while somebody waits in it, so that the memory stays free until `release`. A running job ends
    *stopped* with the model it has; a waiting one keeps its place and gets a worker on `release`.
    """
    queue.hold()  # first: or the next in the queue would take the memory
    workers = worker_pids()
    receipt = Receipt(before=devices.read_memory(list(workers)))
    for pid, run_id in workers.items():
        receipt.processes.append(Freed(pid, run_id, devices.resident_bytes(pid), devices.gpu_bytes(pid)))
        run = Run(runs_folder() / run_id)
        if run.status.state == "running":
            run.ask_to_stop()
        else:
            _park(run, pid)
    deadline = time.monotonic() + grace_s + 2 * KILL_AFTER_S
    while worker_pids() and time.monotonic() < deadline:
        for run_id in workers.values():
            insist(Run(runs_folder() / run_id), grace_s=grace_s)
        reap()
        time.sleep(0.1)
    for freed in receipt.processes:
        freed.ram_after, freed.gpu_after = devices.resident_bytes(freed.pid), devices.gpu_bytes(freed.pid)
        freed.state = Run(runs_folder() / freed.run).status.state
    receipt.after = devices.read_memory(list(worker_pids()))
    receipt.is_complete = not worker_pids()
    if not queue.read_queue().order:
        queue.release()  # nobody waits: nothing to hold back
    return receipt


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
