"""A data set as one zip: its files as they were dropped, and everything that was decided about them."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from unetlab import files
from unetlab.data.dataset import DataSet
from unetlab.data.inspection import Arrival, write_arrival
from unetlab.data.intake.sources import extract
from unetlab.data.manifest import Intensities, Manifest
from unetlab.errors import UnreadableFile

MANIFEST, ARRIVAL, ORIGINALS = "manifest.json", "arrival.json", "originals/"
MAX_TEXT = 64 * 2**20  # of a manifest: a set of 10,000 pairs has 6 MB


def export_zip(data: DataSet, target: Path, *, progress: Callable[[int, int], None] | None = None) -> None:
    """Writes `data` to `target`: originals, manifest and how they arrived, without the cache, which can be rebuilt.

    progress: (files written, files). Pictures are stored as they are: they are compressed already.
    """
    originals = data.folder / "originals"
    found = sorted(path for path in originals.rglob("*") if path.is_file())
    partial = target.with_name(f".{target.name}.part")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
            for name in (MANIFEST, ARRIVAL):
                if (data.folder / name).exists():
                    archive.write(data.folder / name, name, zipfile.ZIP_DEFLATED)
            for done, path in enumerate(found, start=1):
                archive.write(path, ORIGINALS + path.relative_to(originals).as_posix())
                if progress:
                    progress(done, len(found))
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def is_exported(path: Path) -> bool:
    """Whether `path` is a zip that `export_zip` wrote."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    return MANIFEST in names and any(name.startswith(ORIGINALS) for name in names)


def unpack(path: Path, folder: Path) -> list[str]:
    """Fills the staging folder `folder` from an exported zip; the next examination finds its decisions and splits.

    Returns the files that were not unpacked. The zip may come from a stranger: it is unpacked under the same caps
    as any other, and only the decisions in its manifest are trusted. Raises UnreadableFile.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = Manifest.model_validate(json.loads(_text(archive, MANIFEST)))
            arrival = Arrival()
            if ARRIVAL in archive.namelist():
                arrival = Arrival.model_validate(json.loads(_text(archive, ARRIVAL)))
    except (zipfile.BadZipFile, ValidationError, ValueError, KeyError, NotImplementedError, RuntimeError) as error:
        raise UnreadableFile(f"{path.name} is not a data set exported by this version of unetlab ({error}).") from error
    _, ignored = extract(path, folder)
    arrival.intensities = manifest.intensities if _are_sound(manifest.intensities) else None
    write_arrival(folder, arrival)
    # without a date it counts as not committed: everything that can be computed is recomputed from the files
    files.write_atomic(folder / MANIFEST, manifest.model_copy(update={"created": ""}).model_dump_json(indent=1))
    return [name for name in ignored if name not in (MANIFEST, ARRIVAL)]


def _are_sound(numbers: Intensities) -> bool:
    """Whether pictures can be mapped to 0..1 and normalised with these numbers of a stranger, in float32."""
    lists = (numbers.low, numbers.high, numbers.mean, numbers.std)
    if any(len(each) != numbers.channels for each in lists):
        return False
    with np.errstate(all="ignore"):
        low, high, mean, std = np.array(lists, np.float32)
        return bool(
            np.isfinite([low, high, mean, 1 / (high - low), 1 / std]).all() and (high > low).all() and (std > 0).all()
        )


def _text(archive: zipfile.ZipFile, name: str) -> str:
    with archive.open(name) as file:
        content = file.read(MAX_TEXT + 1)
    if len(content) > MAX_TEXT:
        raise ValueError(f"its {name} is larger than {files.size_text(MAX_TEXT)}")
    return content.decode("utf-8")
