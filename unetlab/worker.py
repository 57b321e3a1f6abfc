"""Runs one job from its run folder: `python -m unetlab.worker RUN_DIR`. Started by runs/jobs.py.

The one place where both sides meet. torch is imported only after the device's lock is held.
"""

import errno
import signal
import sys
import time
import traceback
from contextlib import closing
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout

from unetlab.config import RunConfig
from unetlab.errors import UnetlabError
from unetlab.events import Event, Progress
from unetlab.runs import devices, queue
from unetlab.runs.status import State, StatusKeeper
from unetlab.runs.store import RESERVE_BYTES, EventWriter, Run

POLL_S = 0.1
CANCELLED = "Cancelled before it started."
STOPPED = "Stopped on request; the model it had is kept."
BUG = "This is a bug in unetlab; the log has the details."
# how torch's allocators and oneDNN say that memory ran out: they raise plain RuntimeErrors on a CPU
OUT_OF_MEMORY = ("OutOfMemoryError", "MemoryError", "can't allocate", "could not create a primitive", "out of memory")


class Terminated(BaseException):
    """SIGTERM: somebody insists. Not an Exception, so that no handler on the way swallows it."""


def main(folder: Path) -> int:
    """Does the job of the run folder and leaves its last word in status.json. Returns the exit code."""
    signal.signal(signal.SIGTERM, _on_sigterm)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C belongs to whoever follows the run
    run, keeper = Run(folder), StatusKeeper(folder)
    reserve, is_bug = folder / "reserve", False
    try:
        reserve.write_bytes(bytes(RESERVE_BYTES))
        state, reason = _do(run, keeper)
    except UnetlabError as error:
        state, reason = "failed", str(error)
    except Terminated:
        state, reason = "stopped", "Ended by a signal; what it had saved is kept."
    except Exception as error:
        reserve.unlink(missing_ok=True)  # whatever comes now must find room on the disk
        advice = _advice(error)
        state, reason, is_bug = "failed", advice or f"{_named(error)}\n{BUG}", advice is None
        _print_traceback()
    reserve.unlink(missing_ok=True)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    keeper.end(state, reason, is_bug=is_bug)
    queue.leave(run)
    return 0 if state in ("finished", "stopped") else 1


def _do(run: Run, keeper: StatusKeeper) -> tuple[State, str]:
    config = run.config
    device = devices.resolve(config.train.device)
    lock = _wait_for_turn(run, keeper, device)
    if lock is None:
        return "stopped", CANCELLED
    with lock:
        keeper.update(state="running", running_since=time.time(), device=device)
        queue.leave(run)
        keeper.progress("starting torch", 0, 0)
        is_stopped = _run_job(run, config, device, keeper)
    return ("stopped", STOPPED) if is_stopped else ("finished", "")


def _wait_for_turn(run: Run, keeper: StatusKeeper, device: str) -> FileLock | None:
    """The device's lock, acquired; None when the run was stopped while it waited."""
    lock = queue.device_lock(devices.lock_key(device))
    keeper.progress("waiting for the device", 0, 0)
    while not run.has_stop:
        if queue.is_my_turn(run):
            try:
                lock.acquire(timeout=0)
            except Timeout:
                pass
            else:
                if queue.is_my_turn(run):  # the queue may have been held meanwhile
                    return lock
                lock.release()
        time.sleep(POLL_S)
    return None


def _run_job(run: Run, config: RunConfig, device: str, keeper: StatusKeeper) -> bool:
    from unetlab.training import tasks  # here and not above: this imports torch

    def on_event(event: Event) -> None:
        if isinstance(event, Progress):
            keeper.progress(event.phase, event.done, event.total)
        else:
            writer.write(event)

    with closing(EventWriter(run, attempt=1)) as writer:
        return tasks.TASKS[config.kind](run, config, device, on_event=on_event, should_stop=lambda: run.has_stop)


def _advice(error: Exception) -> str | None:
    """What happened and what to do, where the user can mend it; None for a bug of ours."""
    text = _named(error)
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in text:
        return "The disk is full. Everything logged so far is kept. Free some space, then train again."
    if any(words in text for words in OUT_OF_MEMORY):
        return (
            "The memory of the device ran out. Halve the batch size or the image size, or choose bf16 precision, "
            "and free the memory first if something else uses it."
        )
    return None


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _print_traceback() -> None:
    try:
        traceback.print_exc()
        sys.stderr.flush()
    except OSError:
        pass  # the log stands on the full disk


def _on_sigterm(signum: int, frame: FrameType | None) -> None:
    raise Terminated


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
