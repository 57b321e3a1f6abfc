"""Whose turn it is: one job at a time per device, first come first served, without a scheduler process.

`<workspace>/queue.json` holds the order of waiting runs and whether the queue is held. A waiting worker asks
`is_my_turn`, then takes the device's lock, which the operating system releases when the process ends.
"""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Literal

import psutil
from filelock import FileLock
from pydantic import BaseModel

from unetlab import files
from unetlab.errors import RunError
from unetlab.runs.store import Run
from unetlab.workspace import Workspace

HOLDER_S = 5.0  # looking through all processes takes some 10 ms
Place = Literal["first", "up", "down"]


class Waiting(BaseModel):
    """A run that waits for its device."""

    run: str
    device: str
    after: str | None = None  # the run that must be over first: the sweep that its rate comes from


class Queue(BaseModel):
    """What `queue.json` holds."""

    is_held: bool = False
    order: list[Waiting] = []


def read_queue(workspace: Workspace) -> Queue:
    """The queue as it stands."""
    try:
        return Queue.model_validate(files.read_json(workspace.root / "queue.json"))
    except (OSError, ValueError):
        return Queue()


@contextmanager
def _changing(workspace: Workspace) -> Iterator[Queue]:
    """The queue, to be changed by one process at a time; written back unless an error is raised."""
    with FileLock(workspace.root / ".queue.lock", timeout=30):
        queue = read_queue(workspace)
        # runs that ended while they waited are dropped at the next change of the queue
        queue.order = [entry for entry in queue.order if _is_waiting(workspace, entry.run)]
        yield queue
        files.write_json(workspace.root / "queue.json", queue.model_dump())


def _is_waiting(workspace: Workspace, run_id: str) -> bool:
    try:
        return Run(workspace.runs / run_id).status.state == "queued"
    except (OSError, ValueError):
        return False


def _is_ready(workspace: Workspace, entry: Waiting) -> bool:
    """Whether it could start now if the device were free: it waits, and the run it comes after is over."""
    return _is_waiting(workspace, entry.run) and not (entry.after and _is_live(workspace, entry.after))


def _is_live(workspace: Workspace, run_id: str) -> bool:
    try:
        return Run(workspace.runs / run_id).status.is_live
    except (OSError, ValueError):  # deleted
        return False


def join(run: Run, device: str, *, at_front: bool = False) -> None:
    """Puts `run` at the end of the queue, wherever it was before.

    at_front: before all others, for a run that had its turn and continues in a fresh process. It keeps its turn if its
    status is already *queued* and the device's lock is still held while it joins.
    """
    with _changing(run.workspace) as queue:
        others = [entry for entry in queue.order if entry.run != run.id]
        source = run.config.lr_from
        own = Waiting(run=run.id, device=device, after=source.sweep if source and source.lr is None else None)
        queue.order = [own, *others] if at_front else [*others, own]


def leave(run: Run) -> None:
    """Removes `run`: it starts, or was cancelled."""
    with _changing(run.workspace) as queue:
        queue.order = [entry for entry in queue.order if entry.run != run.id]


def move(run: Run, place: Place) -> None:
    """Moves a waiting run to the front of its device's line, or past one neighbour.

    A run at the end of the line stays there; runs that wait for other devices keep their places. Raises RunError for
    a run that does not wait.
    """
    with _changing(run.workspace) as queue:
        line = _line(queue, run)
        own = next((entry for entry in line if entry.run == run.id), None)
        if own is None:
            raise RunError(
                f"{run.called('The')} is {run.status.state}. Only a run that waits for a device can be moved."
            )
        index = {"first": 0, "up": max(line.index(own) - 1, 0), "down": line.index(own) + 1}[place]
        line.remove(own)
        line.insert(index, own)
        moved = iter(line)
        queue.order = [next(moved) if entry.device == own.device else entry for entry in queue.order]


def hold(workspace: Workspace) -> None:
    """Lets no run start until `release`."""
    with _changing(workspace) as queue:
        queue.is_held = True


def release(workspace: Workspace) -> None:
    """Lets waiting runs start again; freeing.release also gives parked runs their workers back."""
    with _changing(workspace) as queue:
        queue.is_held = False


def is_my_turn(run: Run) -> bool:
    """Whether no run that could start waits for the same device before this one, and the queue is not held."""
    queue = read_queue(run.workspace)
    if queue.is_held:
        return False
    own = next((entry for entry in queue.order if entry.run == run.id), None)
    if own is None:
        return True
    if not _is_ready(run.workspace, own):
        return False
    before = queue.order[: queue.order.index(own)]
    return not any(entry.device == own.device and _is_ready(run.workspace, entry) for entry in before)


def line_of(run: Run) -> list[str]:
    """Ids of the runs that wait for this run's device, itself included, in order; empty if it does not wait."""
    waiting = _line(read_queue(run.workspace), run)
    return [entry.run for entry in waiting if _is_waiting(run.workspace, entry.run)]


def sweep_before(run: Run) -> Run | None:
    """The sweep that a waiting run takes its rate from, while it is not over."""
    own = next((entry for entry in read_queue(run.workspace).order if entry.run == run.id), None)
    if own is None or own.after is None or not _is_live(run.workspace, own.after):
        return None
    return Run(run.workspace.runs / own.after)


def position(run: Run) -> int:
    """How many runs wait before this one for the same device; 0 when it is next."""
    line = line_of(run)
    return line.index(run.id) if run.id in line else 0


def _line(queue: Queue, run: Run) -> list[Waiting]:
    own = next((entry for entry in queue.order if entry.run == run.id), None)
    return [entry for entry in queue.order if own is not None and entry.device == own.device]


def device_lock(device_key: str) -> FileLock:
    """One holder per device and machine, whatever the workspace. Released by the system when its process ends."""
    folder = _locks()
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"device-{device_key}.lock")


def holder(device_key: str) -> int | None:
    """The worker on this machine that has a device's lock open: its process id; None if none can be seen.

    Those of other users and in other containers cannot. The answer is up to HOLDER_S old.
    """
    return _holder(str(_locks() / f"device-{device_key}.lock"), int(time.monotonic() / HOLDER_S))


@lru_cache(maxsize=8)
def _holder(lock: str, turn: int) -> int | None:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if "unetlab.worker" in process.cmdline() and lock in (file.path for file in process.open_files()):
                return process.pid
    return None


def _locks() -> Path:
    default = Path(tempfile.gettempdir()) / f"unetlab-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    return Path(os.environ.get("UNETLAB_LOCKS") or default)
