"""Runs one job from its run folder: `python -m unetlab.worker RUN_DIR`. Started by runs/jobs.py.

The one place where both sides meet. torch is imported only after the device's lock is held. `--warm FOLDER` loads it
at once, holds no device, and does the previews it is handed (runs/warm.py) until none came for ten minutes.
"""

import errno
import faulthandler
import gc
import os
import signal
import sys
import time
import traceback
from contextlib import closing
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout

from unetlab.config import LANE_KINDS, RunConfig
from unetlab.errors import Paused, UnetlabError
from unetlab.events import Event, Progress
from unetlab.runs import devices, launching, queue
from unetlab.runs.status import State, StatusKeeper
from unetlab.runs.store import RESERVE_BYTES, EventWriter, Run
from unetlab.runs.warm import Seat, logging_to

POLL_S = 0.1
WARM_S = 600.0  # how long a warm worker waits for a job; $UNETLAB_WARM_S says otherwise
TERMINATED = 128 + signal.SIGTERM  # the exit code by which shells know it
CANCELLED = "Cancelled before it started."
STOPPED = {"import": "Cancelled: nothing was imported.", "preview": "Stopped on request."}
STOPPED_WITH_MODEL = "Stopped on request; the model it had is kept."
BUG = "This is a bug in unetlab; the log has the details."
# how torch's allocators and oneDNN say that memory ran out: they raise plain RuntimeErrors on a CPU
OUT_OF_MEMORY = (
    "OutOfMemoryError",
    "MemoryError",
    "bad_alloc",
    "can't allocate",
    "could not create a primitive",
    "out of memory",
)


class Terminated(BaseException):
    """SIGTERM: somebody insists. Not an Exception, so that no handler on the way swallows it."""


def main(folder: Path) -> int:
    """Does the job of the run folder and leaves its last word in status.json. Returns the exit code."""
    signal.signal(signal.SIGTERM, _on_sigterm)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C belongs to whoever follows the run
    run, keeper = Run(folder), StatusKeeper(folder)
    reserve, is_bug, code, smaller = folder / "reserve", False, 0, None
    try:
        reserve.write_bytes(bytes(RESERVE_BYTES))
        state, reason = _do(run, keeper)
    except Paused:
        state, reason = "paused", "Paused on request; it can go on from here."
    except UnetlabError as error:
        state, reason, code = "failed", str(error), 1
    except Terminated:
        state, reason, code = "stopped", "Ended by a signal; what it had saved is kept.", TERMINATED
    except Exception as error:
        reserve.unlink(missing_ok=True)  # whatever comes now must find room on the disk
        if _is_out_of_memory(error):
            smaller = _smaller_micro_batch(run)
        advice = _advice(error)
        state, reason, is_bug, code = "failed", advice or f"{_named(error)}\n{BUG}", advice is None, 1
        _print_traceback()
    reserve.unlink(missing_ok=True)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if smaller and not run.has_stop:
        _heal(run, keeper, smaller)
    else:
        keeper.end(state, reason, is_bug=is_bug)
        queue.leave(run)
    return code


def _smaller_micro_batch(run: Run) -> int | None:
    """Half the pictures that went through at a time; None where that was one, or the job is not of that kind."""
    config = run.config
    current = run.status.micro_batch or config.train.batch_size
    return None if config.kind in LANE_KINDS or current == 1 else -(-current // 2)


def _heal(run: Run, keeper: StatusKeeper, micro_batch: int) -> None:
    """Hands the run to a fresh process: only the end of this one gives all of its memory back."""
    gc.collect()  # the traceback, and with it the tensors of the step that failed, is gone since the `except` ended
    keeper.hand_on(micro_batch=micro_batch)
    queue.join(run, run.status.device, at_front=True)
    launching.launch(run)


def stay_warm(folder: Path) -> int:
    """Does one handed run after the other, in the same process. Returns the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _on_sigterm)
    seat, code = Seat(folder, os.getpid()), 0
    idle_s = float(os.environ.get("UNETLAB_WARM_S", WARM_S))
    try:
        if not seat.is_claimed:  # else the run itself loads torch, and says so
            _load_torch()
        while run_id := seat.next_run(idle_s=idle_s):
            run_folder = folder.parent / "runs" / run_id
            with logging_to(run_folder / "worker.log"):
                code = main(run_folder)
            signal.signal(signal.SIGTERM, _on_sigterm)
            if code != 0:  # whatever went wrong goes with this process
                break
            seat.wait_again()
    except Terminated:
        code = TERMINATED
    finally:
        seat.leave()
    return code


def _load_torch() -> None:
    from unetlab.training import tasks  # here and not above: this imports torch

    tasks.warm_up()


def _do(run: Run, keeper: StatusKeeper) -> tuple[State, str]:
    config = run.config
    if config.kind in LANE_KINDS:
        if run.has_stop:
            return "stopped", CANCELLED
        keeper.update(state="running", running_since=time.time())
        is_stopped = _import(run, config, keeper) if config.kind == "import" else _run_job(run, config, "cpu", keeper)
        return ("stopped", STOPPED[config.kind]) if is_stopped else ("finished", "")
    device = devices.resolve(config.train.device)
    lock = _wait_for_turn(run, keeper, device)
    if lock is None:
        return ("stopped", CANCELLED) if run.has_stop else ("paused", "Paused before it started.")
    with lock:
        keeper.update(state="running", running_since=time.time(), device=device)
        queue.leave(run)
        is_stopped = _run_job(run, config, device, keeper)
    return ("stopped", STOPPED_WITH_MODEL) if is_stopped else ("finished", "")


def _wait_for_turn(run: Run, keeper: StatusKeeper, device: str) -> FileLock | None:
    """The device's lock, acquired; None when the run was stopped or paused while it waited."""
    lock = queue.device_lock(devices.lock_key(device))
    keeper.progress("waiting for the device", 0, 0)
    while not (run.has_stop or run.has_pause):
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


def _import(run: Run, config: RunConfig, keeper: StatusKeeper) -> bool:
    from unetlab.data import import_task  # here and not above: no other job reads files of every kind

    assert config.importing is not None  # load_config asks for it
    return import_task.run_import(config.importing, on_progress=keeper.progress, should_stop=lambda: run.has_stop)


def _run_job(run: Run, config: RunConfig, device: str, keeper: StatusKeeper) -> bool:
    keeper.progress("starting torch", 0, 0)
    from unetlab.training import tasks  # here and not above: this imports torch

    def on_event(event: Event) -> None:
        if isinstance(event, Progress):
            keeper.progress(event.phase, event.done, event.total)
        else:
            writer.write(event)

    with closing(EventWriter(run, attempt=run.status.attempt)) as writer:
        return tasks.TASKS[config.kind](run, config, device, on_event=on_event, should_stop=lambda: run.has_stop)


def _advice(error: Exception) -> str | None:
    """What happened and what to do, where the user can mend it; None for a bug of ours."""
    text = _named(error)
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left" in text:
        return "The disk is full. Everything logged so far is kept. Free some space, then start again."
    if _is_out_of_memory(error):
        return (
            "The memory of the device ran out, with one picture at a time. Choose a smaller image size, base width or "
            "depth, or bf16 precision, and free the memory first if something else uses it."
        )
    return None


def _is_out_of_memory(error: Exception) -> bool:
    return any(words in _named(error) for words in OUT_OF_MEMORY)


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
    faulthandler.enable()  # a crash in native code says what it was, in worker.log
    place = Path(sys.argv[-1])
    sys.exit(stay_warm(place) if sys.argv[1] == "--warm" else main(place))
