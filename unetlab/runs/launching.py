"""Worker processes: started for one run, or kept warm and handed one; no run is lost on the way."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock

from unetlab.config import RunConfig
from unetlab.errors import ConfigError
from unetlab.runs import devices, ranks, warm
from unetlab.runs.status import LIVE, write_status
from unetlab.runs.store import Run, create_run
from unetlab.workspace import Workspace

# glibc gives the large tensors of each step back to the system and asks for them again in the next: on a CPU the page
# faults cost a seventh of a step of 128 px and a third of one of 256 px (docs/experiments.md)
KEEP_PAGES = {
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_MMAP_MAX_": "0",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}
_children: list[subprocess.Popen] = []  # kept only to be reaped: a finished child stays a zombie until asked about


def launch(run: Run) -> int:
    """Starts the worker of a queued run, or torchrun with one worker per device, and returns its process id."""
    count = _num_processes(run)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)] if count > 1 else []
    return _spawn(str(run.folder), log=run.folder / "worker.log", launcher=launcher)


def prepare(workspace: Workspace, config: RunConfig, *, name: str = "") -> Run:
    """A run whose workers the user starts with torchrun, on several machines; freeing.release starts them otherwise."""
    run = create_run(workspace, config, name=name, device=devices.resolve(config.train.device))
    write_status(run.folder, run.status.model_copy(update={"is_parked": True}))
    return run


def warm_up(workspace: Workspace) -> None:
    """Starts a worker that loads torch and waits for a job; pages that start jobs call it at every rerun.

    Does nothing if there is one already, after the memory was freed, or while a job that this process started runs:
    the worker would take its cores.
    """
    if warm.is_resting(workspace) or warm.living(workspace) or _has_started_a_live_run(workspace):
        return
    # only to save time: if nothing can be written, the first job says so
    with contextlib.suppress(OSError), FileLock(workspace.workers / ".lock", timeout=30):
        if not warm.living(workspace):
            _launch_warm(workspace)


def hand_over(run: Run, *, and_stay: bool = False) -> None:
    """Gives a queued run to a warm worker; if none waits, to a new one of its own.

    and_stay: the new one then waits for the next run, unless the memory was freed and no job for a device has started.
    """
    workspace = run.workspace
    if not and_stay:
        warm.end_rest(workspace)
    if _num_processes(run) > 1:
        launch(run)
        return
    if warm.claim(workspace, run.id):
        return
    if and_stay and not warm.is_resting(workspace):
        _launch_warm(workspace)
        if warm.claim(workspace, run.id):
            return
    launch(run)  # also if another run took the new one, or it died at once: then this run's log says why


def _num_processes(run: Run) -> int:
    """How many workers the job needs; one if its config cannot be read: that worker says what is wrong with it."""
    try:
        return run.config.num_processes
    except (ConfigError, OSError, ValueError):
        return 1


def _launch_warm(workspace: Workspace) -> None:
    folder = workspace.workers
    warm.register(workspace, _spawn("--warm", str(folder), log=folder / "worker.log"))


def _spawn(*arguments: str, log: Path, launcher: Sequence[str] = ()) -> int:
    reap()
    environment = KEEP_PAGES | ranks.environment()
    if launcher:  # the workers share the cores; torchrun would give each a single one
        cores = (os.cpu_count() or 1) // int(launcher[-1])
        environment.setdefault("OMP_NUM_THREADS", str(max(cores, 1)))
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, *launcher, "-m", "unetlab.worker", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            cwd=Path(__file__).resolve().parents[2],
        )
    _children.append(process)
    return process.pid


def rescue(workspace: Workspace) -> None:
    """Starts a worker for each run whose warm worker died or hung before it took the run."""
    for run_id, since in warm.take_back_lost_claims(workspace):
        run = Run(workspace.runs / run_id)
        with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
            status = run.status
            # queued since before the claim: otherwise a release or a resume has already given it another worker
            is_untaken = status.pid is None and not status.is_parked and status.created <= since
            if status.state == "queued" and is_untaken:
                launch(run)


def _has_started_a_live_run(workspace: Workspace) -> bool:
    """Whether a live job of the workspace has a worker that this process started."""
    reap()
    runs = [Run(Path(child.args[-1])) for child in _children]  # pyright: ignore[reportArgumentType, reportIndexIssue]
    here = [run.read("status.json") or {} for run in runs if run.folder.parent == workspace.runs]
    return any(status.get("state") in LIVE for status in here)


def reap() -> None:
    """Reaps workers that have ended."""
    for child in list(_children):  # one by one: another thread may add a worker meanwhile
        if child.poll() is not None:
            with contextlib.suppress(ValueError):  # the other thread has removed it
                _children.remove(child)
