"""`status.json`: the state of a run, who wrote it, and whether that process is still alive.

    queued ──► running ──► finished | stopped | paused | failed
      ▲└───────────┴──► lost        (the worker died without a word; proven, never guessed)
      └── stopped | paused | failed | lost        (resumed: the next attempt)

The starter writes `queued`; from then on only the worker writes, until a reader proves its death and finalises.
"""

import contextlib
import os
import re
import socket
import threading
import time
from pathlib import Path
from typing import Literal

import psutil
from filelock import FileLock
from pydantic import BaseModel

from unetlab.files import read_json, read_settled, write_json

State = Literal["queued", "running", "paused", "finished", "stopped", "failed", "lost"]
LIVE: tuple[State, ...] = ("queued", "running")
RESUMABLE: tuple[State, ...] = ("paused", "stopped", "failed", "lost")

HEARTBEAT_S = 1.0  # a worker writes its status at least this often
NOT_RESPONDING_S = 15.0  # a living worker that has not written for this long is "not responding", never "lost"
START_LIMIT_S = 30.0  # a queued run whose worker has not reported by then never started


class Paused(Exception):
    """Ends a job that was asked to pause; what it needs to go on lies on the disk."""


class Status(BaseModel):
    """What `status.json` holds. Times are seconds since the epoch; `started` is the process' creation time."""

    state: State
    reason: str = ""
    is_bug: bool = False  # failed for a reason that the user cannot mend
    attempt: int = 1
    created: float
    pid: int | None = None
    started: float | None = None
    host: str = ""
    boot_id: str = ""
    heartbeat: float | None = None
    is_parked: bool = False  # queued without a process, while the queue is held
    device: str = "cpu"
    micro_batch: int | None = None  # pictures at a time, where memory ran out with the whole batch
    oom_kills: int | None = None  # processes that the kernel had ended for memory when this one started
    phase: str = ""
    done: int = 0
    total: int = 0
    detail: str = ""  # what the phase is busy with besides, e.g. "validating picture 5 of 12"
    phase_began: float | None = None
    done_before: int = 0  # when the phase began: a resumed run does not begin at 0
    time_left: float | None = None  # seconds from the heartbeat on, where the job itself knows better than its pace
    running_since: float | None = None
    ended: float | None = None

    @property
    def is_live(self) -> bool:
        """Queued or running."""
        return self.state in LIVE

    @property
    def is_responding(self) -> bool:
        """Whether a live worker has written lately; True for runs that have ended or wait without a process."""
        is_watched = self.is_live and not self.is_parked
        return not (is_watched and self.heartbeat and time.time() - self.heartbeat > NOT_RESPONDING_S)

    @property
    def seconds_left(self) -> float | None:
        """As the job says, else of the current phase at its measured speed; None before it has done two more steps."""
        if self.time_left is not None:
            return self.time_left
        done = self.done - self.done_before
        if self.phase_began is None or self.heartbeat is None or done < 2 or not self.total:
            return None
        return (self.heartbeat - self.phase_began) / done * (self.total - self.done)


def boot_id() -> str:
    """Differs after a reboot, when process ids start again."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.exists() else f"{psutil.boot_time():.0f}"


def process_started(pid: int) -> float | None:
    """Creation time of a living process; None when there is none, or only a zombie."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def is_same_process(pid: int, started: float) -> bool:
    """Whether the process `pid` lives and is the one that started then: numbers are given to others later."""
    found = process_started(pid)
    return found is not None and abs(found - started) <= 1.0  # creation times are read in clock ticks


def oom_kills() -> int | None:
    """How many processes the Linux kernel has ended since the boot because memory ran out; None where unknown."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), None)


def cause_of_death(status: Status, folder: Path) -> str | None:
    """Why a live status has no living worker behind it; None while it has, or may have (another host's)."""
    if not status.is_live or status.is_parked:
        return None
    if status.pid is None or status.started is None:
        if time.time() - status.created > START_LIMIT_S:
            return "The process never started. Its log says why."
        return None
    if status.host != socket.gethostname():
        return None
    if status.boot_id != boot_id():
        return "The computer was restarted during the run."
    if not is_same_process(status.pid, status.started):
        return _how_it_died(status, folder)
    return None


def _how_it_died(status: Status, folder: Path) -> str:
    kills = oom_kills()
    if status.oom_kills is not None and kills is not None and kills > status.oom_kills:
        return "The system ended the process, most likely because memory ran out: it ended one for that meanwhile."
    with contextlib.suppress(OSError):
        # faulthandler's words; only those of this attempt would be surer, but an older crash is worth a look too
        crash = re.findall(r"^Fatal Python error: (.*)$", (folder / "worker.log").read_text(errors="replace"), re.M)
        if crash:
            return f"The process crashed ({crash[-1]}). Its log has the details."
    return "The process was killed without a message, often because memory ran out."


def read_status(folder: Path) -> Status:
    """The status as it stands, made final as *lost* when its worker is proven dead. Raises FileNotFoundError."""
    status = Status.model_validate(read_settled(f"{folder}/status.json"))
    if cause_of_death(status, folder) is None:
        return status
    # where it cannot be written, on a full disk, the verdict holds all the same
    with contextlib.suppress(OSError), FileLock(folder / ".lock", timeout=10):
        status = Status.model_validate(read_json(folder / "status.json"))  # it may have ended meanwhile
        cause = cause_of_death(status, folder)
        if cause is not None:
            state: State = "lost"
            if (folder / "stop").exists():
                state, cause = "stopped", "It did not answer the stop in time and was ended; what it had saved is kept."
            status = status.model_copy(update={"state": state, "reason": cause, "ended": time.time()})
            write_status(folder, status)
    return status


def _is_for_taking(status: Status, folder: Path) -> bool:
    """Whether the run waits for a worker: no process has it, or one that has died."""
    is_own = status.pid in (None, os.getpid())
    return status.is_live and (is_own or cause_of_death(status, folder) is not None)


def write_status(folder: Path, status: Status, *, is_durable: bool = True) -> None:
    """Replaces `status.json` in one step."""
    write_json(folder / "status.json", status.model_dump(mode="json"), is_durable=is_durable)


def ended_waiting(status: Status, what: str) -> str:
    """The reason of a run that ended before its turn. `what`: "Cancelled" or "Paused"; a resumed one had begun once."""
    return f"{what} before it started." if status.attempt == 1 else f"{what} while it waited; what it had is kept."


def next_attempt(status: Status, **changes: object) -> Status:
    """The status of a run that waits for a worker once more."""
    kept = {"device": status.device, "micro_batch": status.micro_batch, "attempt": status.attempt + 1}
    return Status(state="queued", created=time.time(), **{**kept, **changes})  # pyright: ignore[reportArgumentType]


class TooLate(SystemExit):
    """The run has ended, or another worker has taken it, since this one was started for it: it ends without a word."""


class StatusKeeper:
    """The worker's side: one writer of `status.json`, with a heartbeat thread while it lives.

    `is_heir`: it takes the run over from a worker that was just killed. Else raises TooLate where the run has ended or
    has a living worker: one that hung while it started, and was given up, may still come.
    """

    def __init__(self, folder: Path, *, is_heir: bool = False):
        self._folder, self._lock = folder, threading.Lock()
        self._stop = threading.Event()
        with FileLock(folder / ".lock", timeout=10):  # of two workers that come at once, one is too late
            status = Status.model_validate(read_json(folder / "status.json"))
            if not is_heir and not _is_for_taking(status, folder):
                raise TooLate(f"The run is {status.state}, with the worker {status.pid}. This one is not needed.")
            self._take(status)
        self._thread = threading.Thread(target=self._beat, daemon=True, name="heartbeat")
        self._thread.start()

    def _take(self, status: Status) -> None:
        self._status = status.model_copy(
            update={
                "pid": os.getpid(),
                "started": psutil.Process().create_time(),
                "host": socket.gethostname(),
                "boot_id": boot_id(),
                "is_parked": False,
                "oom_kills": oom_kills(),
            }
        )
        self.update()

    def update(self, *, is_durable: bool = True, **changes: object) -> None:
        """Changes fields and writes them at once."""
        with self._lock:
            self._status = self._status.model_copy(update={**changes, "heartbeat": time.time()})
            write_status(self._folder, self._status, is_durable=is_durable)

    def progress(self, phase: str, done: int, total: int, detail: str = "", time_left: float | None = None) -> None:
        """Where the job is; written with the next heartbeat, so it may be called at every step."""
        now = time.time()
        with self._lock:
            changes: dict[str, object] = {"phase": phase, "done": done, "total": total}
            changes |= {"detail": detail, "time_left": time_left}
            if phase != self._status.phase:
                changes |= {"phase_began": now, "done_before": done}
            self._status = self._status.model_copy(update=changes)

    def end(self, state: State, reason: str = "", *, is_bug: bool = False) -> None:
        """The last word. The heartbeat ends with it."""
        self._end_heartbeat()
        self.update(state=state, reason=reason, is_bug=is_bug, ended=time.time())

    def hand_on(self, **changes: object) -> None:
        """Makes the run wait for its next attempt, by another process. The heartbeat ends with it."""
        self._end_heartbeat()
        with self._lock:
            self._status = next_attempt(self._status, **changes)
            write_status(self._folder, self._status)

    def _end_heartbeat(self) -> None:
        self._stop.set()
        self._thread.join(timeout=5)

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_S):
            with contextlib.suppress(OSError):  # a full disk is reported by the job itself
                self.update(is_durable=False)
