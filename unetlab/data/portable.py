"""A data set as one zip: its files as they were dropped, and everything that was decided about them."""

import json
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from unetlab import files
from unetlab.data.dataset import DataSet
from unetlab.data.inspection import Arrival, write_arrival
from unetlab.data.intake.archives import look_into
from unetlab.data.intake.archives import unpack as unpack_archive
from unetlab.data.intake.sources import measure, need_space
from unetlab.data.labels.masks import IGNORE
from unetlab.data.manifest import Choices, Intensities, Manifest, Pair
from unetlab.data.originals import file_names, unused
from unetlab.errors import UnreadableFile

MANIFEST, ARRIVAL, ORIGINALS = "manifest.json", "arrival.json", "originals/"
MAX_TEXT = 64 * 2**20  # of a manifest: a set of 10,000 pairs has 6 MB


def export_zip(data: DataSet, target: Path, *, progress: Callable[[int, int], None] | None = None) -> None:
    """Writes `data` to `target`: originals that are used, manifest and how they arrived; the rest can be rebuilt.

    progress: (files written, files). Pictures are stored as they are: they are compressed already.
    """
    originals = data.folder / "originals"
    left_out = {*unused(data.folder, data.manifest)}
    found = [originals / name for name in sorted(file_names(data.folder)) if name not in left_out]
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


def unpack(path: Path, folder: Path) -> None:
    """Fills the staging folder `folder` from an exported zip; the next examination finds its decisions and splits.

    The zip may come from a stranger. Originals are unpacked under the same caps as from any other archive; of its
    manifest only what somebody decided is taken over, and whatever can be computed from the originals is computed
    again. Raises UnreadableFile, and DataError for a disk that is too small.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            manifest = Manifest.model_validate(json.loads(_text(archive, MANIFEST)))
            arrival = Arrival()
            if ARRIVAL in archive.namelist():
                arrival = Arrival.model_validate(json.loads(_text(archive, ARRIVAL)))
    except (zipfile.BadZipFile, ValidationError, ValueError, KeyError, NotImplementedError, RuntimeError) as error:
        raise UnreadableFile(f"{path.name} is not a data set exported by this version of unetlab ({error}).") from error
    contents = look_into(path)
    originals = [member for member in contents.kept if member.name.startswith(ORIGINALS)]
    needed = measure([path])
    need_space(folder, needed.copy_bytes + needed.decoded_bytes)
    for _ in unpack_archive(replace(contents, kept=originals), folder):
        pass
    others = {*contents.ignored, *(member.name for member in contents.kept)} - {member.name for member in originals}
    write_arrival(
        folder,
        Arrival(
            is_boxed=arrival.is_boxed,
            ignored_files=sorted(others - {MANIFEST, ARRIVAL}),
            intensities=manifest.intensities if _are_sound(manifest.intensities) else None,
        ),
    )
    # without a date it counts as not committed, and nothing in it but decisions and splits is looked at
    name = manifest.name if re.fullmatch(files.ID_PATTERN, manifest.name) else folder.name
    decided = Manifest(name=name, created="", choices=_sound(manifest.choices), pairs=_splits_only(manifest))
    files.write_atomic(folder / MANIFEST, decided.model_dump_json(indent=1))


def _splits_only(manifest: Manifest) -> list[Pair]:
    return [
        Pair(name=pair.name, image=pair.image, mask=pair.mask, matched_by="", page=pair.page, split=pair.split)
        for pair in manifest.pairs
    ]


def _sound(choices: Choices) -> Choices:
    """The choices; without their reading, where no mask can be read so."""
    reading = choices.reading
    if reading is None:
        return choices
    values = [value for group in [*reading.groups, reading.ignored] if group for value in group.values]
    values += [*reading.strays, *([reading.threshold] if reading.threshold is not None else [])]
    is_sound = (
        2 <= len(reading.groups) < IGNORE
        and all(0 <= value < 2**24 for value in values)
        and (reading.kind != "threshold" or reading.threshold is not None)
        and (reading.kind != "nearest" or any(group.values for group in reading.groups))
    )
    return choices if is_sound else choices.model_copy(update={"reading": None})


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
