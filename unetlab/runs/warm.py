"""Workers that wait with torch loaded, and how a run is handed to one of them.

`$UNETLAB_HOME/workers/`, P a process id. The content is the same in all of them: process id, its start, since when.

| file        | made by                                      | says                                       |
|-------------|----------------------------------------------|--------------------------------------------|
| P.json      | who started P; P, each time a job has ended  | P waits for a job                          |
| P.RUN.claim | renamed from P.json by who started the run   | P shall do the run; it has not seen it yet |
| P.RUN.busy  | renamed from P.RUN.claim by P                | P does the run                             |
| worker.log  | waiting workers                              | why one of them ended                      |

Every step is one rename, which only one process can win: a worker never gets two runs, a run never two workers.
"""

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from unetlab import files
from unetlab.runs.status import process_started

IDLE = "idle worker"  # stands where a run's id would, for a worker without one
POLL_S = 0.02
TAKE_LIMIT_S = 20.0  # less than status.START_LIMIT_S, at which a run that nobody took is lost


def workers_folder() -> Path:
    """`$UNETLAB_HOME/workers`, created when missing."""
    folder = files.home() / "workers"
    folder.mkdir(exist_ok=True)
    return folder


def register(pid: int) -> None:
    """Says that a worker that was just started will wait for a job."""
    content = {"pid": pid, "started": process_started(pid), "since": time.time()}
    files.write_json(workers_folder() / f"{pid}.json", content, is_durable=False)


def claim(run_id: str) -> bool:
    """Hands a run to a waiting worker; False when there is none."""
    for path in workers_folder().glob("*.json"):
        if _is_alive(path):
            with contextlib.suppress(FileNotFoundError):  # somebody else was faster, or it has just left
                os.utime(path)  # TAKE_LIMIT_S counts from here
                path.rename(path.with_name(f"{path.stem}.{run_id}.claim"))
                return True
    return False


def living() -> dict[int, str]:
    """Process id -> run id, or IDLE, of every living worker here. What dead ones left is swept, but for claims."""
    found = {}
    for path in _registrations():
        pid, run_id = _parts(path)
        if _is_alive(path):
            found[pid] = run_id
        elif path.suffix != ".claim":  # a claim's run needs another worker: launching.rescue
            path.unlink(missing_ok=True)
    return found


def take_back_lost_claims() -> list[str]:
    """Ids of runs that were handed to a worker which died or did not take them in time; each is told once."""
    lost = []
    for path in workers_folder().glob("*.claim"):
        with contextlib.suppress(FileNotFoundError):  # taken in this moment, by the worker or another reader
            if not _is_alive(path) or time.time() - path.stat().st_mtime > TAKE_LIMIT_S:
                path.unlink()
                lost.append(_parts(path)[1])
    return lost


def dismiss(pid: int) -> None:
    """Ends a worker that waits; one that was given a run in this moment is left alone."""
    path = workers_folder() / f"{pid}.json"
    if _is_alive(path):  # and not another process that got its number
        with contextlib.suppress(FileNotFoundError, psutil.Error):
            path.unlink()  # first: nobody may hand it a run any more
            psutil.Process(pid).kill()  # it holds nothing, and this ends also one that hangs


class Seat:
    """The worker's own side. `folder` is given, not looked up: looking it up would bring a deleted home back."""

    def __init__(self, folder: Path, pid: int) -> None:
        self._folder, self._pid = folder, pid
        self._waiting = folder / f"{pid}.json"

    @property
    def is_claimed(self) -> bool:
        """Whether a run waits to be taken."""
        return any(self._folder.glob(f"{self._pid}.*.claim"))

    def next_run(self, *, idle_s: float) -> str | None:
        """The id of the run that this worker is given, as soon as there is one.

        None: leave. Nothing came in `idle_s` seconds, or the registration is gone and maybe the workspace with it.
        """
        deadline = time.monotonic() + idle_s
        while self._waiting.exists():
            if time.monotonic() > deadline:
                with contextlib.suppress(FileNotFoundError):  # it was claimed in this moment
                    self._waiting.unlink()
                break
            time.sleep(POLL_S)
        for path in self._folder.glob(f"{self._pid}.*.claim"):
            with contextlib.suppress(FileNotFoundError):  # taken back: it took too long
                path.rename(path.with_suffix(".busy"))
                return _parts(path)[1]
        return None

    def wait_again(self) -> None:
        """Says that the job is done; without a registration, such as in a deleted workspace, does nothing."""
        for path in self._folder.glob(f"{self._pid}.*.busy"):
            path.rename(self._waiting)

    def leave(self) -> None:
        """Takes the registration away; a claim stays, for whoever rescues its run."""
        for path in (self._waiting, *self._folder.glob(f"{self._pid}.*.busy")):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """What this process prints goes to `path`, also what C libraries print; afterwards to where it went before."""
    streams = (sys.stdout, sys.stderr)
    before = [os.dup(stream.fileno()) for stream in streams]
    with path.open("ab") as log:
        for stream in streams:
            os.dup2(log.fileno(), stream.fileno())
    try:
        yield
    finally:
        for stream, handle in zip(streams, before, strict=True):
            stream.flush()
            os.dup2(handle, stream.fileno())
            os.close(handle)


def _registrations() -> Iterator[Path]:
    return (path for path in workers_folder().iterdir() if path.suffix in (".json", ".claim", ".busy"))


def _parts(path: Path) -> tuple[int, str]:
    """Process id and run id, or IDLE, of a file's name; ids of runs may have dots."""
    pid, _, run_id = path.stem.partition(".")
    return int(pid), run_id or IDLE


def _is_alive(path: Path) -> bool:
    try:
        content = files.read_json(path)
    except (OSError, ValueError):
        return False
    started = process_started(content["pid"])
    return started is not None and content["started"] is not None and abs(started - content["started"]) <= 1.0
