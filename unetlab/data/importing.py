"""Files to a stored data set: staged, examined, and committed in one step or not at all.

A staging folder has the layout of a data set from the start, so that both can be inspected and fixed in the same
way.
"""

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from unetlab import files
from unetlab.data import portable
from unetlab.data.dataset import store_version
from unetlab.data.inspection import (
    NO_PAIR_YET,
    decide,
    examine,
    keep_used_only,
    read_arrival,
    stored_report,
    write_arrival,
)
from unetlab.data.intake.sources import stage
from unetlab.data.manifest import Choices, Manifest
from unetlab.errors import DataError, NoPairs
from unetlab.workspace import Workspace

__all__ = [
    "Progress",
    "commit",
    "discard",
    "examine",
    "free_folder",
    "import_dataset",
    "stage_into",
    "staging_folder",
    "sweep_staging",
    "working_on",
]

STAGING_PREFIX = ".staging-"
UNPAIRED = {"no-pairs", *NO_PAIR_YET}
FORGOTTEN_S = 24 * 3600  # age at which an abandoned report is removed
DISCARD_S = 2.0
NOT_BEGUN_S = 60.0  # an empty folder waits for its worker, which needs seconds to start and take it

Progress = Callable[[str, int, int], None]  # (phase, done, total); what it raises cancels


def staging_folder(workspace: Workspace) -> Path:
    """A new empty folder beside the data sets, for an import to fill. Raises WorkspaceError."""
    with workspace.writing():
        return Path(tempfile.mkdtemp(dir=workspace.datasets, prefix=STAGING_PREFIX))


def workspace_of(folder: Path) -> Workspace:
    """The workspace that a data set's folder, or a staging folder, belongs to."""
    return Workspace(folder.parents[1])


def stage_into(
    folder: Path, sources: Sequence[Path], *, masks: Path | None = None, progress: Progress | None = None
) -> None:
    """Copies the sources into `originals/` of a staging folder.

    sources: folders, archives or files, or the zip of an exported data set; masks: a folder or archive with the
    masks, if they are separate.
    progress: phase "copying". Raises DataError (no such source, disk too small) and UnreadableFile (archives).
    """
    if len(sources) == 1 and masks is None and portable.is_exported(Path(sources[0])):
        portable.unpack(Path(sources[0]), folder)
        return
    originals = folder / "originals"
    originals.mkdir(exist_ok=True)
    report = None if progress is None else lambda done, total: progress("copying", done, total)
    staged = stage([Path(source) for source in sources], masks=masks, into=originals, progress=report)
    arrival = read_arrival(folder)
    arrival.is_boxed = masks is not None
    arrival.ignored_files, arrival.notes = sorted(staged.ignored), staged.notes
    write_arrival(folder, arrival)


def commit(folder: Path, *, name: str, note: str = "") -> Manifest:
    """Makes an examined staging folder the data set `name`, in one rename.

    Raises DataError when the name is taken or not allowed, or the report has errors (NoPairs where no picture has
    a mask); the staging folder stays for another try.
    """
    target = free_folder(workspace_of(folder), name)
    manifest = Manifest.model_validate(files.read_json(folder / "manifest.json"))
    refuse_errors(manifest)
    manifest = manifest.model_copy(
        update={"name": name, "note": note, "created": datetime.now(UTC).isoformat(timespec="milliseconds")}
    )
    keep_used_only(folder, manifest)
    store_version(folder, manifest)
    os.chmod(folder, 0o755)  # mkdtemp makes it private
    try:
        os.rename(folder, target)
    except OSError:
        free_folder(workspace_of(folder), name)  # says so when another import took the name meanwhile
        raise
    return manifest


def import_dataset(
    workspace: Workspace,
    sources: Sequence[Path],
    *,
    masks: Path | None = None,
    name: str,
    reading: str | None = None,
    valid_fraction: float | None = None,
    seed: int | None = None,
    progress: Progress | None = None,
    note: str = "",
) -> Manifest:
    """Imports sources as data set `name`, all or nothing; parameters and errors as `stage_into` and `commit`.

    reading: a key of `readings.alternatives`, or a parametrised one, to use instead of the proposal.
    """
    free_folder(workspace, name)  # before the work rather than after it
    sweep_staging(workspace)
    folder = staging_folder(workspace)
    try:
        with working_on(folder):
            stage_into(folder, sources, masks=masks, progress=progress)
            before = stored_report(folder)  # an exported set brings its decisions
            given = {"valid_fraction": valid_fraction, "seed": seed}
            change = {key: value for key, value in given.items() if value is not None}
            choices = decide(before.choices if before else Choices(), change)
            examine(folder, choices=choices, reading=reading, progress=progress)
            return commit(folder, name=name, note=note)
    finally:
        discard(folder)


def discard(folder: Path) -> None:
    """Removes a staging folder; does nothing if it was committed."""
    deadline = time.monotonic() + DISCARD_S
    while folder.name.startswith(STAGING_PREFIX) and folder.exists() and time.monotonic() < deadline:
        # a signal may have cut short the wait for threads, which still finish the file they are at
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def working_on(folder: Path) -> Iterator[None]:
    """Locks a folder while it is being filled, so that no other process removes or changes it meanwhile.

    Raises DataError when another process holds it. The system releases it when this process ends, however it ends.
    """
    lock = FileLock(
        workspace_of(folder).locks
        / f"{folder.name}-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]}.lock"
    )
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise DataError(f"'{folder.name}' is being changed by another job. Wait until it ends, then retry.") from None
    try:
        yield
    finally:
        lock.release()
        if not folder.exists():  # committed under its name, or discarded: this lock is not needed again
            Path(lock.lock_file).unlink(missing_ok=True)


def sweep_staging(workspace: Workspace, *, forgotten_s: float = FORGOTTEN_S) -> int:
    """Removes what killed imports and deletions left behind, and abandoned reports; returns the number removed."""
    parent = workspace.datasets
    leftovers = [path for path in parent.glob(".deleted-*") if path.is_dir()]
    for folder in parent.glob(f"{STAGING_PREFIX}*"):
        if not folder.is_dir():
            continue
        try:
            with working_on(folder):
                age_s = time.time() - folder.stat().st_mtime
                has_report, is_begun = (folder / "manifest.json").exists(), (folder / "originals").exists()
                if age_s > (forgotten_s if has_report else 0 if is_begun else NOT_BEGUN_S):
                    leftovers.append(folder)
        except DataError:
            continue
    for path in leftovers:
        shutil.rmtree(path, ignore_errors=True)
    return len(leftovers)


def free_folder(workspace: Workspace, name: str) -> Path:
    """The folder for a new data set. Raises DataError when the name is not allowed or is taken; suggests a free one."""
    parent = workspace.datasets
    folder = files.child_folder(parent, name, DataError)
    if folder.exists():
        number = next(n for n in range(2, 10_000) if not (parent / f"{name}-{n}").exists())
        raise DataError(f"There is a data set '{name}' already. Use another name, such as '{name}-{number}'.")
    return folder


def refuse_errors(manifest: Manifest) -> None:
    """Raises DataError with everything that makes a set unusable; NoPairs if no picture has a mask."""
    errors = [finding for finding in manifest.findings if finding.severity == "error"]
    if errors:
        kind = NoPairs if not manifest.pairs and any(finding.code in UNPAIRED for finding in errors) else DataError
        raise kind("\n".join(f"{finding.message} {finding.advice}".strip() for finding in errors))
