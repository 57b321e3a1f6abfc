"""Jobs: start one, ask it to stop, insist.

A worker outlives the page and the server; the next page or command carries on from the run folder.
"""

import contextlib
import shutil
import time
from collections.abc import Sequence

import psutil
from filelock import FileLock

from unetlab import files
from unetlab.config import LANE_KINDS, RunConfig
from unetlab.errors import RunError
from unetlab.runs import devices, launching, queue
from unetlab.runs.status import (
    LIVE,
    RESUMABLE,
    State,
    Status,
    ended_waiting,
    is_same_process,
    next_attempt,
    read_status,
    write_status,
)
from unetlab.runs.store import Run, create_once, delete_run, list_runs
from unetlab.workspace import Workspace

STOP_GRACE_S = 60.0  # from the stop file's time: a step and a last validation fit in here; then SIGTERM
KILL_AFTER_S = 5.0  # after the SIGTERM
KEPT_S = 3600.0  # how long an import or preview is kept after it has ended


def start(workspace: Workspace, config: RunConfig, *, name: str = "", key: str = "") -> Run:
    """A run folder, a place in its device's queue and a worker process that waits for its turn.

    Kinds that need no device run at once, also while the queue is held. All but imports go to a warm worker if there
    is one. key: if an earlier start had the same key, its run is returned and nothing is started. Raises
    WorkspaceError, and leaves no run folder, if nothing can be written.
    """
    is_in_lane = config.kind in LANE_KINDS
    device = devices.LANE if is_in_lane else devices.resolve(config.train.device)
    if is_in_lane:
        sweep_lane(workspace)
    with workspace.writing():
        run, is_new = create_once(workspace, config, key=key, name=name, device=device)
        if not is_new:
            return run
        try:
            if not is_in_lane:
                queue.join(run, device)
            if config.kind == "import":  # has no use for torch
                launching.launch(run)
            else:
                launching.hand_over(run, and_stay=is_in_lane)
        except OSError:  # a full disk: leave no half-made run behind
            shutil.rmtree(run.folder, ignore_errors=True)
            raise
    return run


def train_behind(sweep: Run, config: RunConfig, *, pick: str, name: str = "") -> Run:
    """Queues the training run `config` behind a sweep, whose `pick` it takes; one per sweep, however often called.

    It waits until the sweep is over, whatever else starts meanwhile; if the sweep gives no rate, it ends with a message
    that says so.
    """
    changed = config.changed({}, lr_from={"sweep": sweep.id, "pick": pick}, lr_source=f"the sweep {sweep.id}")
    return start(sweep.workspace, changed, name=name, key=f"behind {sweep.id}")


def sweep_lane(workspace: Workspace) -> None:
    """Deletes imports, previews and forecasts that ended more than KEPT_S ago; what was imported stays."""
    for run in [run for kind in LANE_KINDS for run in list_runs(workspace, kind=kind)]:
        with contextlib.suppress(OSError, RunError):  # another starter sweeps at the same time
            status = run.status
            if not status.is_live and status.ended is not None and time.time() - status.ended > KEPT_S:
                delete_run(run)


def live_runs(workspace: Workspace) -> list[Run]:
    """Queued and running runs, oldest first. Also enforces overdue stops and repeats lost starts."""
    launching.reap()
    launching.rescue(workspace)
    live = [run for run in reversed(list_runs(workspace)) if is_live(run)]
    for run in live:
        insist(run)
    return live


def is_live(run: Run) -> bool:
    """Whether the run waits or runs; False also for one that was deleted."""
    try:
        # most runs have ended: their status needs no second look
        return files.read_settled(f"{run.folder}/status.json")["state"] in LIVE and run.status.is_live
    except FileNotFoundError:  # deleted since it was listed
        return False


def stop(run: Run) -> None:
    """Asks the run to stop and keep a usable model. Raises RunError when it has ended already."""
    status = run.status
    if not status.is_live:
        raise RunError(f"{run.called('The')} has ended already ({status.state}).")
    run.ask_to_stop()
    if status.is_parked:
        _end_parked(run, status, "stopped", ended_waiting(status, "Cancelled"))


def pause(run: Run) -> None:
    """Asks a training run to write a checkpoint and end, so that `resume` continues from it. Raises RunError."""
    status = run.status
    if run.config.kind != "train":
        raise RunError(
            f"Only a training run can be paused; {run.called('the')} is not one ({run.kind_word}). "
            "Stop it, and start it again."
        )
    if not status.is_live:
        raise RunError(f"{run.called('The')} has ended already ({status.state}).")
    (run.folder / "pause").touch()
    if status.is_parked:
        _end_parked(run, status, "paused", ended_waiting(status, "Paused"))


def use_one_thread(run: Run) -> None:
    """Asks a run to compute with a single CPU thread from its next step or attempt on, for good."""
    (run.folder / "one_thread").touch()


def has_one_thread(run: Run) -> bool:
    """Whether that was asked for."""
    return (run.folder / "one_thread").exists()


def resume(run: Run, *, micro_batch: int | None = None, one_thread: bool = False) -> None:
    """Continues a training run from its checkpoint, with the losses that it would have had, as its next attempt.

    micro_batch: pictures at a time from now on, if memory was too small. one_thread: a single CPU thread from now on.
    Raises RunError for a run that is live, has finished, or is not a training run.
    """
    if run.config.kind != "train":
        raise RunError(
            f"Only a training run can be resumed; {run.called('the')} is not one ({run.kind_word}). Start it again."
        )
    read_status(run.folder)  # makes the death of its worker final
    with FileLock(run.folder / ".lock", timeout=10):  # of two clicks at once, one resumes it
        status = Status.model_validate(run.read("status.json"))
        if status.state not in RESUMABLE:
            raise RunError(f"{run.called('The')} is {status.state}, so there is nothing to resume.")
        for name in ("stop", "pause"):
            (run.folder / name).unlink(missing_ok=True)
        if one_thread:
            use_one_thread(run)
        device = devices.resolve(run.config.train.device)
        changes = {"device": device, "micro_batch": micro_batch or status.micro_batch}
        write_status(run.folder, next_attempt(status, **changes))
    queue.join(run, device)
    launching.hand_over(run)


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
        launching.reap()
        launching.rescue(run.workspace)
        time.sleep(0.05)
    return status


def waits_for(
    run: Run, status: Status, live: Sequence[tuple[Run, Status]] | None = None, *, names_processes: bool = True
) -> str:
    """What a queued run waits for and since when, in words. `live`: queued and running runs, if already known.

    `names_processes`: whether the reader may know the process id of another workspace's worker.
    """
    since = time.strftime("%H:%M", time.localtime(status.created))
    return f"waiting since {since} for {_waited_for(run, status, live, names_processes=names_processes)}"


def _waited_for(run: Run, status: Status, live: Sequence[tuple[Run, Status]] | None, *, names_processes: bool) -> str:
    if status.is_parked:
        return "the queue, which is paused"
    if status.device == devices.LANE:
        return "its process to start"
    if sweep := queue.sweep_before(run):
        return f"{sweep.called('the')}, which sets its learning rate"
    live = [(other, other.status) for other in live_runs(run.workspace)] if live is None else live
    running = [
        other.called("the") for other, state in live if state.state == "running" and state.device == status.device
    ]
    before = queue.position(run)
    waiting = [f"{before} {'run' if before == 1 else 'runs'} before it in the queue"] if before else []
    if running or waiting:
        return " and ".join(running[:1] + waiting)
    if not status.phase:  # a process that waits for its turn says so as its phase
        return "its process to start"
    pid = queue.holder(devices.lock_key(status.device))
    is_told = names_processes and pid not in (None, status.pid)
    return f"another workspace on this machine (process {pid})" if is_told else "another workspace"


def _end_parked(run: Run, status: Status, state: State, reason: str) -> None:
    ended = {"state": state, "reason": reason, "ended": time.time(), "is_parked": False}
    write_status(run.folder, status.model_copy(update=ended))
    queue.leave(run)


def _signal(status: Status, action: str) -> None:
    """Terminates or kills exactly the process that wrote the status, never one that got its number later."""
    if status.pid is None or status.started is None or not is_same_process(status.pid, status.started):
        return
    with contextlib.suppress(psutil.Error):
        getattr(psutil.Process(status.pid), action)()
