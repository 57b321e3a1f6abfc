"""Workers that wait with torch loaded, and how a run is handed to one of them.

`<workspace>/workers/`, P a process id. P's files have one content: process id, its start, what it inherited.

| file        | made by                                      | says                                       |
|-------------|----------------------------------------------|--------------------------------------------|
| P.json      | who started P; P, each time a job has ended  | P waits for a job                          |
| P.RUN.claim | renamed from P.json by who started the run   | P is to do the run; it has not seen it yet |
| P.RUN.busy  | renamed from P.RUN.claim by P                | P does the run                             |
| resting     | who freed the memory                         | no worker waits until a device gets a job  |
| worker.log  | waiting workers                              | why one of them ended                      |

Every step is one rename, which only one process can win: a worker never gets two runs, a run never two workers.
"""

import contextlib
import ctypes
import gc
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from unetlab import files
from unetlab.runs import cuda_devices
from unetlab.runs.status import is_same_process, process_started
from unetlab.workspace import Workspace

IDLE = "idle worker"  # used in place of a run's id for a worker without a run
POLL_S = 0.02
TAKE_LIMIT_S = 20.0  # less than status.START_LIMIT_S, after which a run that no worker took is lost
# a process keeps these from its start; they determine threads, devices and kernels, and so results
INHERITED = (
    "ATEN_",
    "CUDA_",
    "DNNL_",
    "GOMP_",
    "HIP_",
    "KMP_",
    "MKL_",
    "NVIDIA_",
    "OMP_",
    "ONEDNN_",
    "PYTORCH_",
    "ROCR_",
    "TORCH_",
    "UNETLAB_LOCKS",
)


class Claim(NamedTuple):
    """A run that was handed to a worker, and when (seconds since the epoch)."""

    run_id: str
    since: float


def register(workspace: Workspace, pid: int) -> None:
    """Registers a worker that was just started as waiting for a job."""
    content = {"pid": pid, "started": process_started(pid), "inherited": inherited()}
    files.write_json(workspace.workers / f"{pid}.json", content, is_durable=False)


def inherited() -> dict[str, Any]:
    """What workers inherit from this process and their results depend on: settings of libraries, the cores."""
    environment = os.environ | cuda_devices.ORDER
    settings = {name: value for name, value in environment.items() if name.startswith(INHERITED)}
    return {"settings": settings, "cores": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []}


def claim(workspace: Workspace, run_id: str) -> bool:
    """Hands a run to a waiting worker that inherited what one started here would; False when there is none."""
    mine = inherited()
    for path in workspace.workers.glob("*.json"):
        if _content_of_living(path).get("inherited") == mine:
            with contextlib.suppress(FileNotFoundError):  # another process was faster, or the worker has just left
                now = time.time()
                os.utime(path, (now, now))  # TAKE_LIMIT_S counts from here
                path.rename(path.with_name(f"{path.stem}.{run_id}.claim"))
                return True
    return False


def living(workspace: Workspace) -> dict[int, str]:
    """Process id -> run id, or IDLE, of every living worker here. Registrations of dead ones are removed."""
    found = {}
    for path in _registrations(workspace):
        pid, run_id = _parts(path)
        if _is_alive(path):
            found[pid] = run_id
        elif run_id == IDLE:  # others name a run that may need another worker: launching.rescue
            path.unlink(missing_ok=True)
    return found


def take_back_lost_claims(workspace: Workspace) -> list[Claim]:
    """Runs handed to a worker that has died since, or did not take them in time; each is returned once.

    Runs that their worker had begun are among them: a run's status says whether it needs another worker.
    """
    lost = []
    for path in _registrations(workspace):
        if path.suffix == ".json":
            continue
        with contextlib.suppress(FileNotFoundError):  # taken in this moment, by the worker or another reader
            since = path.stat().st_mtime
            is_late = path.suffix == ".claim" and time.time() - since > TAKE_LIMIT_S
            if is_late or not _is_alive(path):
                path.unlink()
                lost.append(Claim(_parts(path)[1], since))
    return lost


def dismiss(workspace: Workspace, pid: int) -> None:
    """Ends a worker that waits; one that was given a run just now is left alone."""
    path = workspace.workers / f"{pid}.json"
    if _is_alive(path):  # and not another process that got its number
        with contextlib.suppress(FileNotFoundError, psutil.Error):
            path.unlink()  # first: from now on it is given no run
            psutil.Process(pid).kill()  # it holds nothing, and this also ends one that hangs


def rest(workspace: Workspace) -> None:
    """From now on no waiting worker is started until a device gets a job: the memory is wanted for something else."""
    (workspace.workers / "resting").touch()


def end_rest(workspace: Workspace) -> None:
    """Allows waiting workers again: a device gets a job, and is likely to get another."""
    (workspace.workers / "resting").unlink(missing_ok=True)


def is_resting(workspace: Workspace) -> bool:
    """Whether the memory was freed and no device got a job since."""
    return (workspace.workers / "resting").exists()


def give_back_memory() -> int:
    """Frees what the last job left in this process; returns the bytes of RAM that it still holds."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    return psutil.Process().memory_info().rss


class Seat:
    """The worker's own side. `folder` is given, not looked up: looking it up would recreate a deleted home."""

    def __init__(self, folder: Path, pid: int) -> None:
        self._folder, self._pid = folder, pid
        self._waiting = folder / f"{pid}.json"

    @property
    def is_claimed(self) -> bool:
        """Whether a run waits to be taken."""
        return any(self._folder.glob(f"{self._pid}.*.claim"))

    def next_run(self, *, idle_s: float) -> str | None:
        """Waits until this worker is given a run; the run's id.

        None: leave. No run came in `idle_s` seconds, or the registration is gone and maybe the workspace with it.
        """
        deadline = time.monotonic() + idle_s
        while self._waiting.exists():
            if time.monotonic() > deadline:
                with contextlib.suppress(FileNotFoundError):  # it was claimed just now
                    self._waiting.unlink()
                break
            time.sleep(POLL_S)
        for path in self._folder.glob(f"{self._pid}.*.claim"):
            with contextlib.suppress(FileNotFoundError):  # taken back: it took too long
                path.rename(path.with_suffix(".busy"))
                return _parts(path)[1]
        return None

    def wait_again(self) -> None:
        """Registers as waiting again after a job; does nothing if the registration is gone with the workspace."""
        for path in self._folder.glob(f"{self._pid}.*.busy"):
            path.rename(self._waiting)

    def leave(self) -> None:
        """Removes the registration; a claim stays, so that its run can be rescued."""
        for path in (self._waiting, *self._folder.glob(f"{self._pid}.*.busy")):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Sends what this process prints, C libraries included, to `path`; afterwards to where it went before."""
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


def _registrations(workspace: Workspace) -> Iterator[Path]:
    return (path for path in workspace.workers.glob("*") if path.suffix in (".json", ".claim", ".busy"))


def _parts(path: Path) -> tuple[int, str]:
    """Process id and run id, or IDLE, of a file's name; ids of runs may have dots."""
    pid, _, run_id = path.stem.partition(".")
    return int(pid), run_id or IDLE


def _is_alive(path: Path) -> bool:
    return bool(_content_of_living(path))


def _content_of_living(path: Path) -> dict[str, Any]:
    """What a worker's file says; empty if the worker has died."""
    try:
        content = files.read_json(path)
    except (OSError, ValueError):
        return {}
    is_alive = content["started"] is not None and is_same_process(content["pid"], content["started"])
    return content if is_alive else {}
