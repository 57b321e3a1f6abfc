"""The job `import`: copies, examines, and commits if asked to. Called by worker.py; no torch."""

from collections.abc import Callable
from pathlib import Path

from unetlab.data import changes, importing
from unetlab.data.inspection import decide, stored_report
from unetlab.data.manifest import Choices, Manifest
from unetlab.errors import DataError
from unetlab.options import ImportOptions
from unetlab.workspace import Workspace


class _Cancelled(Exception):
    """The import was asked to stop. Raised by the progress callable, which importing calls between files."""


def run_import(
    workspace: Workspace,
    options: ImportOptions,
    *,
    on_progress: Callable[[str, int, int], None],
    should_stop: Callable[[], bool],
) -> bool:
    """Fills the folder, writes the report there, and commits a staging folder as `options.name` unless it has errors.

    A folder that already has a report is changed: files are added, and `options.choices` are applied as by
    `changes.revise`. Returns whether it was cancelled. A staging folder that got no first report is removed,
    whatever the reason; an existing report stays as it was. Raises DataError and UnreadableFile.
    """
    folder = workspace.datasets / options.folder

    def progress(phase: str, done: int, total: int) -> None:
        if should_stop():
            raise _Cancelled
        on_progress(phase, done, total)

    try:
        if stored_report(folder) is None:
            manifest = _first_report(folder, options, progress)
        else:
            manifest = _next_report(folder, options, progress)
    except _Cancelled:
        return True
    except MemoryError:
        raise DataError(
            "The memory of this machine ran out while the pictures were read. Free some, or import fewer at a time."
        ) from None
    is_staging = options.folder.startswith(importing.STAGING_PREFIX)
    if is_staging and options.name is not None and all(found.severity != "error" for found in manifest.findings):
        with importing.working_on(folder):
            importing.commit(folder, name=options.name, note=options.note)
    return False


def _first_report(folder: Path, options: ImportOptions, progress: importing.Progress) -> Manifest:
    with importing.working_on(folder):
        try:
            decide(Choices(), options.choices)  # before anything is copied
            sources, masks = _sources(options)
            importing.stage_into(folder, sources, masks=masks, progress=progress)
            before = stored_report(folder)  # that of an exported data set
            choices = decide(before.choices if before else Choices(), options.choices)
            return importing.examine(folder, choices=choices, reading=options.reading, progress=progress)
        except BaseException:
            importing.discard(folder)
            raise


def _next_report(folder: Path, options: ImportOptions, progress: importing.Progress) -> Manifest:
    decide(Choices(), options.choices)
    sources, masks = _sources(options)
    manifest = changes.add_files(folder, sources, masks=masks, progress=progress) if sources else None
    if manifest is None or options.choices or options.reading:
        manifest = changes.revise(folder, options.choices, reading=options.reading, progress=progress)
    return manifest


def _sources(options: ImportOptions) -> tuple[list[Path], Path | None]:
    return [Path(source) for source in options.sources], Path(options.masks) if options.masks else None
