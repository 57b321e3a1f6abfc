"""All memory back: every worker of this workspace ends, the queue is held, and a receipt says what that gave."""

import contextlib
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from unetlab.runs import devices, launching, queue, warm
from unetlab.runs.jobs import KILL_AFTER_S, insist
from unetlab.runs.status import Status, process_started, write_status
from unetlab.runs.store import Run, list_runs, runs_folder

FREE_GRACE_S = 20.0  # freeing memory waits less than a stop: the weights of the last epoch are on disk already


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
        launching.reap()
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
        launching.launch(run)
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
