"""Frees all memory: ends every worker of this workspace, holds the queue, and gives a receipt of what came back."""

import contextlib
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from filelock import FileLock

from unetlab import files
from unetlab.runs import devices, launching, queue, warm
from unetlab.runs.jobs import KILL_AFTER_S
from unetlab.runs.status import LIVE, Status, boot_id, is_same_process, process_started, write_status
from unetlab.runs.store import Run
from unetlab.workspace import Workspace

FREE_GRACE_S = 20.0  # freeing memory waits less than a stop: what a run needs to resume is on disk already
SPAWN_S = 2.0  # a run without a process that is younger than this may get one at any moment
POLL_S = 0.05


@dataclass
class Freed:
    """One worker on the receipt. Bytes before and after; GPU bytes None where they are unknown."""

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


@dataclass
class _Leaving:
    """A worker that is to end. `started`: its creation time; `patience_until`: when it is terminated (monotonic)."""

    freed: Freed
    started: float
    patience_until: float
    is_terminated: bool = False

    @property
    def is_gone(self) -> bool:
        """Whether it has ended: zombies count as ended, and so does a process id that another process got."""
        return not is_same_process(self.freed.pid, self.started)


def worker_pids(workspace: Workspace) -> dict[int, str]:
    """Process id -> run id, or warm.IDLE, of every living worker of the workspace.

    From the operating system: the command line of a worker, and of what launched it, ends with its run folder.
    From the run folders too: command lines may be hidden, and a workspace that was moved has another path.
    """
    found: dict[int, str] = {}
    warm_workers = warm.living(workspace)
    for process in psutil.process_iter(["cmdline", "status"]):
        command = process.info["cmdline"] or []
        if process.info["status"] == psutil.STATUS_ZOMBIE or "unetlab.worker" not in command:
            continue
        folder = _folder_of(process, command[-1])
        if folder == workspace.workers:
            found[process.pid] = warm_workers.get(process.pid, warm.IDLE)
        elif folder.parent == workspace.runs:
            found[process.pid] = folder.name
    here = (socket.gethostname(), boot_id())
    for run, status in _live(workspace):
        if status.pid is None or status.started is None or (status.host, status.boot_id) != here:
            continue
        if found.get(status.pid, warm.IDLE) == warm.IDLE and is_same_process(status.pid, status.started):
            found[status.pid] = run.id
    found.pop(os.getpid(), None)  # a test may act as the worker
    return found


def free_memory(workspace: Workspace, *, grace_s: float = FREE_GRACE_S) -> Receipt:
    """Holds the queue, ends every worker of the workspace and reports what that gave back.

    The queue stays held while runs wait in it, so that the memory stays free until `release`. A running job ends
    *stopped* with what it has and can be resumed; a waiting one keeps its place and gets a worker on `release`. Imports
    and previews end *stopped*; idle workers are ended and listed as warm.IDLE. A worker that does not answer is
    terminated after `grace_s` seconds and killed KILL_AFTER_S later. Workers that start meanwhile end too.
    """
    receipt, leaving, num_quiet = Receipt(), {}, 0
    _hold(workspace)  # first: otherwise the next run in the queue would take the memory
    try:
        warm.rest(workspace)
        receipt.before = devices.read_memory(list(worker_pids(workspace)))
        deadline = time.monotonic() + grace_s + 2 * KILL_AFTER_S
        # quiet twice: a listing may miss the worker that another one started in its last moment
        while num_quiet < 2 and time.monotonic() < deadline:
            launching.reap()
            launching.rescue(workspace)
            workers = worker_pids(workspace)
            for pid, run_id in workers.items():
                _end(workspace, pid, run_id, leaving, grace_s)
            # an ending process has no command line any more, but still has its memory for a moment
            is_quiet = (
                not workers and all(worker.is_gone for worker in leaving.values()) and not _is_one_starting(workspace)
            )
            num_quiet = num_quiet + 1 if is_quiet else 0
            if not is_quiet:
                time.sleep(POLL_S)
    finally:
        _hold(workspace)  # it may have been released meanwhile; and runs that have ended leave the queue
        if not queue.read_queue(workspace).order and not any(status.is_parked for _, status in _live(workspace)):
            _release(workspace)  # no run waits: nothing to hold back
    for worker in leaving.values():
        receipt.processes.append(_accounted(workspace, worker))
    left = [worker.freed.pid for worker in leaving.values() if not worker.is_gone]
    receipt.after, receipt.is_complete = devices.read_memory(left), num_quiet > 0
    return receipt


def release(workspace: Workspace) -> list[Run]:
    """Releases the queue and gives parked runs a worker again; returns those runs."""
    queue.release(workspace)
    released = []
    for run in sorted((run for run, status in _live(workspace) if status.is_parked), key=lambda run: run.id):
        with FileLock(run.folder / ".lock", timeout=10):  # of two releases at once, one gives it a worker
            status = Status.model_validate(run.read("status.json"))
            if not status.is_parked or status.state != "queued":
                continue
            write_status(run.folder, status.model_copy(update={"is_parked": False, "created": time.time()}))
        launching.launch(run)
        released.append(run)
    return released


def _end(workspace: Workspace, pid: int, run_id: str, leaving: dict[int, _Leaving], grace_s: float) -> None:
    """Takes the next step to end a worker; called again and again until it is gone. Records it in `leaving`."""
    now, started = time.monotonic(), process_started(pid)
    if started is None:
        return
    if pid not in leaving:
        freed = Freed(pid, run_id, devices.resident_bytes(pid), devices.gpu_bytes(pid))
        leaving[pid] = _Leaving(freed, started, now + grace_s)
    worker = leaving[pid]
    worker.patience_until = min(worker.patience_until, now + _ask(workspace, pid, run_id, grace_s))
    with contextlib.suppress(psutil.Error):
        if now > worker.patience_until + KILL_AFTER_S:
            psutil.Process(pid).kill()
        elif now > worker.patience_until and not worker.is_terminated:
            worker.is_terminated = True  # once: a second signal would break into what it does on the first
            psutil.Process(pid).terminate()


def _ask(workspace: Workspace, pid: int, run_id: str, grace_s: float) -> float:
    """Asks a worker to end, in the way that keeps most of its work. Returns how many seconds to wait for it, at
    least KILL_AFTER_S: it may have started just now, with an old stop file."""
    if run_id == warm.IDLE:  # from the start, or since its preview has ended
        warm.dismiss(workspace, pid)
        return KILL_AFTER_S
    run = Run(workspace.runs / run_id)
    try:
        status = run.status
        if not status.is_live:
            return KILL_AFTER_S  # its run is over and the process only has to end
        if status.state == "queued" and status.device != devices.LANE and not (run.has_stop or run.has_pause):
            _park(run, pid)
        else:
            run.ask_to_stop()
        asked = (run.folder / "stop").stat().st_mtime if run.has_stop else time.time()
        return max(grace_s - (time.time() - asked), KILL_AFTER_S)
    except (OSError, ValueError):  # its folder was deleted or damaged, or the disk is full: nothing to wait for
        return KILL_AFTER_S


def _park(run: Run, pid: int) -> None:
    """Ends the process of a waiting run, which holds nothing yet, and keeps its place in the queue."""
    # under the lock, so that no reader finds it dead and marks it lost before it is parked
    with contextlib.suppress(psutil.Error), FileLock(run.folder / ".lock", timeout=10):
        process = psutil.Process(pid)
        process.suspend()  # otherwise its turn could come after its status was read
        status = Status.model_validate(run.read("status.json"))
        if status.state != "queued":  # its turn has just come: it ends like any running job
            run.ask_to_stop()
            process.resume()
            return
        # before the status: if this process were killed in between, the worker would stay suspended for ever.
        # free_memory waits for its end; a zombie counts as ended, because its parent may never reap it
        process.kill()
        write_status(run.folder, status.model_copy(update={"is_parked": True, "pid": None, "started": None}))


def _accounted(workspace: Workspace, worker: _Leaving) -> Freed:
    """The line of the receipt, with what the process holds now and what became of its run."""
    freed = worker.freed
    if not worker.is_gone:
        freed.ram_after, freed.gpu_after = devices.resident_bytes(freed.pid), devices.gpu_bytes(freed.pid)
    if freed.run == warm.IDLE:
        freed.state = "ended" if worker.is_gone else "idle"
        return freed
    try:
        freed.state = Run(workspace.runs / freed.run).status.state
    except (OSError, ValueError):
        freed.state = "deleted"
    return freed


def _live(workspace: Workspace) -> Iterator[tuple[Run, Status]]:
    """Runs that wait or run, with their stored status; whether their worker is alive is not checked."""
    for path in workspace.runs.glob("[!.]*/status.json"):
        with contextlib.suppress(OSError, ValueError):  # deleted meanwhile, or damaged
            content = files.read_json(path)
            if content["state"] in LIVE:
                yield Run(path.parent), Status.model_validate(content)


def _is_one_starting(workspace: Workspace) -> bool:
    """Whether a run was created so recently that its worker may be about to appear."""
    return any(
        status.state == "queued"
        and status.pid is None
        and not status.is_parked
        and abs(time.time() - status.created) < SPAWN_S
        for _, status in _live(workspace)
    )


def _folder_of(process: psutil.Process, argument: str) -> Path:
    """The folder that a command line names, links resolved; it may be relative to the process's working folder."""
    place = Path(argument)
    if not place.is_absolute():
        with contextlib.suppress(psutil.Error):
            place = Path(process.cwd()) / place
    return place.resolve()


def _hold(workspace: Workspace) -> None:
    with contextlib.suppress(OSError):  # on a full disk the memory comes back all the same
        queue.hold(workspace)


def _release(workspace: Workspace) -> None:
    with contextlib.suppress(OSError):
        queue.release(workspace)
