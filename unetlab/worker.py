"""Runs one job from its run folder: `python -m unetlab.worker RUN_DIR`. Started by runs/jobs.py.

On several devices torchrun starts one such process for each; the first leads, the others assist (runs/ranks.py).

The one place where code with and without torch meets. torch is imported only after the device's lock is held.
`--warm FOLDER` loads it at once, holds no device, and does the jobs it is handed (runs/warm.py) until none has come for
ten minutes. It exits after a job that used a device other than the CPU, was paused or failed.
"""

import faulthandler
import functools
import gc
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout

from unetlab.config import LANE_KINDS, RunConfig
from unetlab.errors import UnetlabError
from unetlab.events import Event, Progress
from unetlab.runs import cuda_devices, devices, failures, launching, queue, ranks, sweep_rate
from unetlab.runs.status import Paused, State, StatusKeeper, ended_waiting
from unetlab.runs.store import RESERVE_BYTES, EventWriter, Run
from unetlab.runs.warm import Seat, give_back_memory, logging_to

POLL_S = 0.1
LEADER_S = 10.0  # how long the leader may take to report a failure that most likely hit all processes
WARM_S = 600.0  # how long a warm worker waits for a job; $UNETLAB_WARM_S overrides it
WARM_BYTES = 2**30  # a worker that is larger after a job exits
TERMINATED = 128 + signal.SIGTERM  # the exit code by which shells know it
ON_REQUEST = "Stopped on request."
STOPPED = {"import": "Cancelled: nothing was imported.", "preview": ON_REQUEST, "lr_find": ON_REQUEST}
NO_SWEEP = "The sweep that should have given the learning rate was stopped, so nothing was trained."
STOPPED_WITH_MODEL = "Stopped on request; the model it had is kept."
BUG = "This is a bug in unetlab; the log has the details."


class Terminated(BaseException):
    """SIGTERM has come. Not an Exception, so that no handler on the way swallows it."""


def main(folder: Path, do: Callable[[Run, StatusKeeper], tuple[State, str]] | None = None) -> int:
    """Does the job of the run folder and writes its final state to status.json. Returns the exit code."""
    signal.signal(signal.SIGTERM, _on_sigterm)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that follows the run
    run, keeper = Run(folder), StatusKeeper(folder, is_heir=do is not None)
    reserve, is_bug, code, smaller = folder / "reserve", False, 0, None
    try:
        reserve.write_bytes(bytes(RESERVE_BYTES))
        state, reason = (do or _do)(run, keeper)
    except Paused:
        state, reason = "paused", "Paused on request; it can be resumed from here."
    except UnetlabError as error:
        state, reason, code = "failed", str(error), 1
    except Terminated:
        state, reason, code = "stopped", "Ended by a signal; what it had saved is kept.", TERMINATED
        if ranks.num_processes() > 1 and not run.has_stop:  # torchrun terminates all when one has died
            state, reason = "failed", failures.PROCESS_LOST
    except Exception as error:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun ends all when one has failed: say here why first
        reserve.unlink(missing_ok=True)  # what is written from now on needs room on the disk
        if failures.is_out_of_memory(error):
            smaller = _smaller_micro_batch(run)
        advice = failures.advice(error)
        state, reason, is_bug, code = "failed", advice or f"{failures.named(error)}\n{BUG}", advice is None, 1
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
    """Half the pictures that went through at a time; None if that was one, or the job could not be started anew."""
    config = run.config
    current = run.status.micro_batch or config.pictures_at_a_time
    is_last = config.kind in LANE_KINDS or current == 1 or not ranks.is_one_machine()
    return None if is_last else -(-current // 2)


def _heal(run: Run, keeper: StatusKeeper, micro_batch: int) -> None:
    """Hands the run to a fresh process: all memory comes back only when this one ends."""
    ranks.end_others(wait_s=LEADER_S)
    gc.collect()  # the traceback, and with it the tensors of the step that failed, is gone since the `except` ended
    keeper.hand_on(micro_batch=micro_batch)
    queue.join(run, run.status.device, at_front=True)
    launching.launch(run)


def assist(folder: Path) -> int:
    """Takes part in the job of the run folder on a device of its own, led by the process of rank 0.

    If it alone fails, the leader waits for it in vain: then it ends the leader and writes the final state itself.
    """
    signal.signal(signal.SIGTERM, _on_sigterm)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    run = Run(folder)
    try:
        while (status := run.status).state == "queued":
            time.sleep(POLL_S)
        if status.state == "running":
            _assist_job(run)
        return 0
    except Terminated:
        return TERMINATED
    except Exception as error:
        _print_traceback()
        failure = error
    deadline = time.monotonic() + LEADER_S
    while time.monotonic() < deadline:
        now = run.status
        if now.state != "running" or now.attempt != status.attempt:
            return 1
        time.sleep(POLL_S)
    if not ranks.is_one_machine():
        return 1  # torchrun ends the leader on its machine, which says so
    ranks.end_others(wait_s=0.0)

    def fail(run: Run, keeper: StatusKeeper) -> tuple[State, str]:
        raise failure

    return main(folder, fail)


def _assist_job(run: Run) -> None:
    _load_torch()
    from unetlab.training import jobs  # here and not above: this imports torch

    config = sweep_rate.resolved(run.config, run)
    device = ranks.own_device(devices.resolve(config.train.device))
    jobs.JOBS[config.kind](run, config, device, on_event=lambda event: None, should_stop=lambda: False)


def stay_warm(folder: Path) -> int:
    """Does one run after the other as they are handed over, in the same process. Returns the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _on_sigterm)
    seat, code = Seat(folder, os.getpid()), 0
    idle_s = float(os.environ.get("UNETLAB_WARM_S", WARM_S))
    try:
        for prepare in (_load_torch, _warm_up):
            if not seat.is_claimed:  # otherwise the run itself does that, and says so
                prepare()
        while run_id := seat.next_run(idle_s=idle_s):
            run_folder = folder.parent / "runs" / run_id
            with logging_to(run_folder / "worker.log"):
                code = main(run_folder)
            signal.signal(signal.SIGTERM, _on_sigterm)
            if code != 0 or not _may_stay(Run(run_folder)):  # whatever went wrong goes with this process
                break
            seat.wait_again()
    except Terminated:
        code = TERMINATED
    finally:
        seat.leave()
    return code


def _may_stay(run: Run) -> bool:
    """Whether this process is as good as a fresh one: it has used no device, is not large, and was not paused.

    A device's context cannot be given back in any other way.
    """
    try:
        status = run.status
    except (OSError, ValueError):  # deleted meanwhile
        return False
    is_fresh = status.device in ("cpu", devices.LANE) and status.state in ("finished", "stopped")
    return is_fresh and give_back_memory() < WARM_BYTES


@functools.cache
def _load_torch() -> None:
    """Imports torch without Python's garbage collector.

    Its modules are a third of a million objects that stay. The collector would go through them again and again: during
    the import, after later jobs and when the process ends (docs/experiments.md, "A worker's start and end").
    """
    gc.disable()
    try:
        from unetlab.training import jobs

        jobs.size_with_torch()
    finally:
        gc.enable()
    gc.freeze()


def _warm_up() -> None:
    from unetlab.training import jobs

    jobs.warm_up()
    give_back_memory()
    gc.freeze()  # what the first steps load stays too


def _do(run: Run, keeper: StatusKeeper) -> tuple[State, str]:
    config = run.config
    if config.kind in LANE_KINDS:
        if run.has_stop:
            return "stopped", ended_waiting(run.status, "Cancelled")
        keeper.update(state="running", running_since=time.time())
        is_stopped = _import(run, config, keeper) if config.kind == "import" else _run_job(run, config, "cpu", keeper)
        return ("stopped", STOPPED[config.kind]) if is_stopped else ("finished", "")
    device = ranks.own_device(devices.resolve(config.train.device))
    locks = [queue.device_lock(devices.lock_key(name)) for name in ranks.devices_here(device)]
    if not _wait_for_turn(run, keeper, locks):
        state, what = ("stopped", "Cancelled") if run.has_stop else ("paused", "Paused")
        return state, ended_waiting(run.status, what)
    with ExitStack() as held:
        for lock in locks:
            held.enter_context(lock)
        keeper.update(state="running", running_since=time.time(), device=device)
        queue.leave(run)
        if sweep_rate.is_stopped(config, run):
            return "stopped", NO_SWEEP
        config = sweep_rate.resolved(config, run)
        is_stopped = _run_job(run, config, device, keeper)
    return ("stopped", STOPPED.get(config.kind, STOPPED_WITH_MODEL)) if is_stopped else ("finished", "")


def _wait_for_turn(run: Run, keeper: StatusKeeper, locks: list[FileLock]) -> bool:
    """Acquires the locks of the job's devices; False when the run was stopped or paused while it waited."""
    keeper.progress("waiting for the device", 0, 0)
    while not (run.has_stop or run.has_pause):
        if queue.is_my_turn(run):
            try:
                for lock in locks:
                    lock.acquire(timeout=0)
                if queue.is_my_turn(run):  # the queue may have been held meanwhile
                    return True
            except Timeout:
                pass
            for lock in locks:
                lock.release()
        time.sleep(POLL_S)
    return False


def _import(run: Run, config: RunConfig, keeper: StatusKeeper) -> bool:
    from unetlab.data import import_task  # here and not above: no other job reads files of every kind

    assert config.importing is not None  # load_config requires it
    return import_task.run_import(
        run.workspace, config.importing, on_progress=keeper.progress, should_stop=lambda: run.has_stop
    )


def _run_job(run: Run, config: RunConfig, device: str, keeper: StatusKeeper) -> bool:
    keeper.progress("starting torch", 0, 0)
    _load_torch()
    from unetlab.training import jobs  # here and not above: this imports torch

    def on_event(event: Event) -> None:
        if isinstance(event, Progress):
            keeper.progress(event.phase, event.done, event.total, event.detail, event.time_left)
        else:
            writer.write(event)

    with closing(EventWriter(run, attempt=run.status.attempt)) as writer:
        return jobs.JOBS[config.kind](run, config, device, on_event=on_event, should_stop=lambda: run.has_stop)


def _print_traceback() -> None:
    try:
        traceback.print_exc()
        sys.stderr.flush()
    except OSError:
        pass  # the log is on the full disk


def _on_sigterm(signum: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not interrupt the final state
    raise Terminated


if __name__ == "__main__":
    faulthandler.enable()  # reports a crash in native code in worker.log
    os.environ.update(cuda_devices.ORDER)  # here, so that it also holds for workers that somebody starts with torchrun
    place = Path(sys.argv[-1]).resolve()
    if sys.argv[1] == "--warm":
        sys.exit(stay_warm(place))
    code = main(place) if ranks.rank() == 0 else assist(place)
    if ranks.num_processes() > 1:
        sys.stdout.flush()
        os._exit(code)  # gloo's threads can abort the interpreter at exit, when all is done
    sys.exit(code)
