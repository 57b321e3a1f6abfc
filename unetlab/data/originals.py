"""The files that were brought: what lies in `originals/`, and which of it nothing was read from."""

import os
from collections.abc import Collection
from pathlib import Path

from unetlab.data.labels.class_files import is_class_file, read_class_file
from unetlab.data.manifest import Manifest
from unetlab.data.readers.images import is_picture


def file_names(folder: Path) -> list[str]:
    """All files below `originals/` of a data set, as names relative to it."""
    originals, found = folder / "originals", []
    for parent, folders, names in os.walk(originals):
        folders.sort()
        base = Path(parent).relative_to(originals)
        found += [(base / name).as_posix() for name in sorted(names)]
    return found


def unused(folder: Path, manifest: Manifest) -> list[str]:
    """Text files in `originals/` that the last examination read nothing from.

    Pictures and class files are none: those that are in no pair now may be after the next decision.
    """
    ignored = {*manifest.ignored_files}
    names = [name for name in file_names(folder) if name in ignored and not is_picture(name)]
    return [name for name in names if not (is_class_file(name) and read_class_file(folder / "originals" / name))]


def remove_unused(folder: Path, manifest: Manifest, *, among: Collection[str] | None = None) -> list[str]:
    """Deletes `unused` files (of the names `among`); the names. Notes, tables and JSON may be about anything."""
    removed = [name for name in unused(folder, manifest) if among is None or name in among]
    for name in removed:
        (folder / "originals" / name).unlink(missing_ok=True)
    return removed
