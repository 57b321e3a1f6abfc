"""Whose turn it is: one job at a time per device, first come first served, without a scheduler process.

`$UNETLAB_HOME/queue.json` holds the order of waiting runs and whether the queue is held. A waiting worker asks
`is_my_turn`, then takes the device's lock, which the operating system drops with the process.
"""

import os
import tempfile
from pathlib import Path

from filelock import FileLock
from pydantic import BaseModel

from unetlab import files
from unetlab.runs.store import Run, runs_folder


class Waiting(BaseModel):
    """A run that waits for its device."""

    run: str
    device: str


class Queue(BaseModel):
    """What `queue.json` holds."""

    is_held: bool = False
    order: list[Waiting] = []


def read_queue() -> Queue:
    """The queue as it stands."""
    try:
        return Queue.model_validate(files.read_json(files.home() / "queue.json"))
    except (OSError, ValueError):
        return Queue()


def _change(*, is_held: bool | None = None, add: Waiting | None = None, remove: str | None = None) -> None:
    with FileLock(files.home() / ".queue.lock", timeout=30):
        queue = read_queue()
        if is_held is not None:
            queue.is_held = is_held
        if add is not None:
            queue.order.append(add)
        # runs that ended while they waited leave with whoever changes the queue next
        queue.order = [entry for entry in queue.order if entry.run != remove and _is_waiting(entry.run)]
        files.write_json(files.home() / "queue.json", queue.model_dump())


def _is_waiting(run_id: str) -> bool:
    try:
        return Run(runs_folder() / run_id).status.state == "queued"
    except (OSError, ValueError):
        return False


def join(run: Run, device: str) -> None:
    """Stands `run` at the end of the queue."""
    _change(add=Waiting(run=run.id, device=device))


def leave(run: Run) -> None:
    """Takes `run` out: it starts, or was cancelled."""
    _change(remove=run.id)


def hold() -> None:
    """Lets nobody start until `release`."""
    _change(is_held=True)


def release() -> None:
    """Lets the waiting start again; freeing.release also gives parked runs their workers back."""
    _change(is_held=False)


def is_my_turn(run: Run) -> bool:
    """Whether no living run waits for the same device before this one, and the queue is not held."""
    queue = read_queue()
    if queue.is_held:
        return False
    own = next((entry for entry in queue.order if entry.run == run.id), None)
    if own is None:
        return True
    before = queue.order[: queue.order.index(own)]
    return not any(entry.device == own.device and _is_waiting(entry.run) for entry in before)


def position(run: Run) -> int:
    """How many wait before this run for the same device; 0 when it is next."""
    order = read_queue().order
    own = next((entry for entry in order if entry.run == run.id), None)
    return sum(entry.device == own.device for entry in order[: order.index(own)]) if own else 0


def device_lock(device_key: str) -> FileLock:
    """One holder per device and machine, whatever the workspace. Released by the system when its process ends."""
    default = Path(tempfile.gettempdir()) / f"unetlab-{os.getuid() if hasattr(os, 'getuid') else 'user'}"
    folder = Path(os.environ.get("UNETLAB_LOCKS") or default)
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"device-{device_key}.lock")
