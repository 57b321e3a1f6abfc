"""Worker processes: started for one run, or kept warm and handed one; none is lost between the two."""

import contextlib
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from unetlab.runs import warm
from unetlab.runs.store import Run, runs_folder

_children: list[subprocess.Popen] = []  # kept only to be reaped: a finished child stays a zombie until asked about


def launch(run: Run) -> int:
    """Starts the worker of a queued run and returns its process id."""
    return _spawn(str(run.folder), log=run.folder / "worker.log")


def warm_up() -> None:
    """Starts a worker that loads torch and waits for a preview, unless there is one; a page's first visit calls it."""
    with FileLock(warm.workers_folder() / ".lock", timeout=30):
        if not warm.living():
            _launch_warm()


def hand_over(run: Run) -> None:
    """Gives a queued run to a warm worker; one is started where none waits."""
    if warm.claim(run.id):
        return
    _launch_warm()
    if not warm.claim(run.id):  # another starter took it, or it died at once: this run's log shall say why
        launch(run)


def _launch_warm() -> None:
    folder = warm.workers_folder()
    warm.register(_spawn("--warm", str(folder), log=folder / "worker.log"))


def _spawn(*arguments: str, log: Path) -> int:
    reap()
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "unetlab.worker", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            cwd=Path(__file__).resolve().parents[2],
        )
    _children.append(process)
    return process.pid


def rescue() -> None:
    """Gives runs that a warm worker was given, and died or hung before it took them, a worker of their own."""
    for run_id in warm.take_back_lost_claims():
        run = Run(runs_folder() / run_id)
        with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
            if run.status.state == "queued":
                launch(run)


def reap() -> None:
    """Lets go of workers that have ended."""
    _children[:] = [child for child in _children if child.poll() is None]
