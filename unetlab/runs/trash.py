"""Deleted runs: for a week they can be brought back whole.

`<workspace>/runs/.trash/<nanoseconds>-<random>/<id>/`: one folder a deletion, beside the runs, so that a move is a
rename and needs no room on the disk.
"""

import contextlib
import os
import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from filelock import FileLock

from unetlab import files
from unetlab.errors import RunError
from unetlab.runs import jobs
from unetlab.runs.store import Run
from unetlab.workspace import Workspace

KEPT_DAYS = 7
FOLDER = ".trash"


@dataclass(frozen=True)
class Deletion:
    """Runs that were deleted together."""

    folder: Path

    @property
    def runs(self) -> list[str]:
        """Their ids; none once another tab has emptied the trash."""
        try:
            return sorted(os.listdir(self.folder))
        except FileNotFoundError:
            return []

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return sum(_size(f"{self.folder}/{run}") for run in self.runs)

    @property
    def titles(self) -> list[str]:
        """Their titles."""
        return [Run(self.folder / run).title for run in self.runs]

    @property
    def when(self) -> datetime:
        """The time of the deletion."""
        return datetime.fromtimestamp(int(self.folder.name.partition("-")[0]) / 1e9)

    @property
    def is_over(self) -> bool:
        """Whether it was kept long enough."""
        return time.time() - self.when.timestamp() > KEPT_DAYS * 24 * 3600


def delete(runs: Sequence[Run]) -> None:
    """Moves the runs into the trash, and deletes for good what has been there too long.

    Raises RunError, and moves none, while one of them is live or a live run still needs one.
    """
    runs = [run for run in runs if run.folder.exists()]  # another tab may have deleted some
    if not runs:
        return
    workspace = runs[0].workspace
    purge(workspace)
    needed = _needed(workspace)
    for run in runs:
        if run.status.is_live:
            raise RunError(f"{run.title} is {run.status.state}. Stop it first, then delete it. Nothing was deleted.")
        if user := needed.get(run.id):
            raise RunError(f"{run.title} is needed by {user.title}, which has not ended. Nothing was deleted.")
    with workspace.writing():
        folder = workspace.runs / FOLDER / f"{time.time_ns()}-{secrets.token_hex(4)}"
        folder.mkdir(parents=True)
        for run in runs:
            with FileLock(run.folder / ".lock", timeout=10):  # of a resume and a deletion at once, one is first
                if run.status.is_live:
                    raise RunError(f"{run.title} was started again meanwhile, so it was not deleted.")
                run.folder.rename(folder / run.id)


def deletions(workspace: Workspace) -> list[Deletion]:
    """What is in the trash, the newest deletion first."""
    place = workspace.runs / FOLDER
    names = sorted(os.listdir(place), reverse=True) if place.exists() else []
    return [found for name in names if name[0] != "." and (found := Deletion(place / name)).runs]


def restore(workspace: Workspace, run_ids: Sequence[str]) -> list[str]:
    """Brings runs back with all they hold. The ids of those that were in the trash.

    Raises RunError, after the others are back, for those in whose place there is something else.
    """
    restored, taken = [], []
    with workspace.writing():
        for deletion in deletions(workspace):
            for run in set(deletion.runs) & set(run_ids):
                source, target = deletion.folder / run, workspace.runs / run
                if target.exists():
                    taken.append(Run(source).title)
                    continue
                with contextlib.suppress(FileNotFoundError):  # another tab was first
                    source.rename(target)
                    restored.append(run)
            with contextlib.suppress(OSError):  # some of its runs stay
                deletion.folder.rmdir()
    if taken:
        raise RunError(f"A folder of the same name is there already, so these stay in the trash: {', '.join(taken)}.")
    return restored


def empty(workspace: Workspace) -> None:
    """Deletes all that is in the trash for good."""
    _remove(workspace, deletions(workspace))


def purge(workspace: Workspace) -> None:
    """Deletes for good what was in the trash for KEPT_DAYS."""
    _remove(workspace, [deletion for deletion in deletions(workspace) if deletion.is_over])


def _remove(workspace: Workspace, leaving: Sequence[Deletion]) -> None:
    for deletion in leaving:
        with contextlib.suppress(OSError):  # somebody else was first
            deletion.folder.rename(deletion.folder.with_name(f".{deletion.folder.name}"))  # nobody restores half of it
    for folder in (workspace.runs / FOLDER).glob(".*"):
        shutil.rmtree(folder, ignore_errors=True)


def _needed(workspace: Workspace) -> dict[str, Run]:
    """Run id -> the live run that will still read it: its sweep, or the weights it scores."""
    needed = {}
    for run in jobs.live_runs(workspace):
        config = run.config
        if config.lr_from and config.lr_from.lr is None:
            needed[config.lr_from.sweep] = run
        if config.weights_from:
            needed[config.weights_from.run] = run
    return needed


@lru_cache(1000)  # what is in the trash does not change
def _size(folder: str) -> int:
    return files.size_of(Path(folder))
