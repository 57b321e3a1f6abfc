"""Reading a stored data set: pictures 0..1, class ids, split.

`<workspace>/datasets/NAME/` holds `originals/` as dropped, `manifest.json`, `versions/` with every manifest that
runs may have seen, `cache/` which can be rebuilt, and `drafts/` of the page's forms.
Shape letters: H height, W width, C channels, K classes.
"""

import difflib
import os
import shutil
import uuid
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from unetlab import files
from unetlab.data import cache, filling
from unetlab.data.class_ids import class_ids
from unetlab.data.describing import to_channels
from unetlab.data.inspection import make_report
from unetlab.data.labels.masks import IGNORE, Reading
from unetlab.data.manifest import SCHEMA_VERSION, Choices, ClassInfo, Manifest, Pair
from unetlab.errors import DataError
from unetlab.workspace import Workspace

__all__ = [
    "IGNORE",
    "ClassInfo",
    "DataSet",
    "Manifest",
    "Pair",
    "delete_dataset",
    "list_datasets",
    "open_dataset",
    "open_folder",
    "store_version",
]


class DataSet:
    """A stored data set. Opening reads the manifest only; pixels are memory-mapped when first asked for."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self.name = manifest.name

    @property
    def num_classes(self) -> int:
        return len(self.manifest.classes)

    @property
    def class_names(self) -> list[str]:
        return [info.name for info in self.manifest.classes]

    @property
    def channels(self) -> int:
        return self.manifest.channels

    @property
    def reading(self) -> Reading:
        """How mask values become classes."""
        if self.manifest.reading is None:
            raise DataError(f"The masks of '{self.name}' cannot be read yet: {self.manifest.findings[0].message}")
        return self.manifest.reading

    @property
    def background(self) -> int | None:
        """Class id of the background, which mean scores leave out; None when no class is."""
        return next((info.id for info in self.manifest.classes if info.is_background), None)

    def indices(self, split: str) -> list[int]:
        """Places in `manifest.pairs` of the pairs of a split (train, valid or test), in order."""
        return [index for index, pair in enumerate(self.manifest.pairs) if pair.split == split]

    def image(self, index: int) -> np.ndarray:
        """Picture `index` as float32 (H,W,C) in 0..1: the data set's `low` is 0, its `high` is 1, clipped.

        Where nothing was measured (NaN or a fill in the file) it is the mean of the set, which says nothing.
        """
        manifest = self.manifest
        low = np.array(manifest.low, np.float32)
        scale = 1 / (np.array(manifest.high, np.float32) - low)
        stored = self._store.pixels(manifest.pairs[index].image_key)
        pixels = to_channels(stored, manifest.channels, manifest.bits).astype(np.float32)
        pixels -= low
        pixels *= scale
        np.clip(pixels, 0, 1, out=pixels)
        filled = self._store.filled(manifest.pairs[index].image_key)
        if filled is not None:
            pixels[filled] = manifest.mean
        return pixels

    def mask(self, index: int) -> np.ndarray:
        """Class ids of mask `index` at its picture's size, uint8 (H,W); IGNORE where pixels are left out."""
        return class_ids(self.manifest.pairs[index], self.reading, self._store)

    def class_pixels(self, split: str) -> np.ndarray:
        """Pixels of each class in the masks of a split, as `mask` gives them, int64 (K,)."""
        counts = [self.manifest.pairs[index].class_pixels for index in self.indices(split)]
        return np.array(counts, np.int64).reshape(-1, self.num_classes).sum(axis=0)

    def facts(self) -> dict[str, cache.Facts]:
        """The measurements of every picture and mask, by the keys of `manifest.pairs`."""
        return self._store.facts()

    def statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each channel over training images in 0..1; deviations are never 0."""
        return self.manifest.mean, self.manifest.std

    def is_empty(self, index: int) -> bool:
        """Whether mask `index` shows no class but the background, ignored pixels aside."""
        counts = self.manifest.pairs[index].class_pixels
        return not any(count for class_id, count in enumerate(counts) if class_id != self.background)

    @cached_property
    def _store(self) -> cache.Store:
        store = cache.load(self.folder)
        keys = [key for pair in self.manifest.pairs for key in pair.file_keys]
        if all(key in store.entries for _, key in keys):
            return store
        changed = filling.refill(self.folder, keys)
        if changed:
            raise DataError(
                f"Files in {self.folder / 'originals'} have changed since '{self.name}' was imported: "
                f"{', '.join(changed[:3])}{' ...' if len(changed) > 3 else ''}. Put the old ones back, or replace the "
                "pictures on the Data page, which makes a new version of the set."
            )
        return cache.load(self.folder)


def open_dataset(workspace: Workspace, name: str, *, version: str | None = None) -> DataSet:
    """The data set called `name`, as it is now or at a version (a content hash that a run has seen).

    Raises DataError when there is none, and names the closest ones.
    """
    folder = files.child_folder(workspace.datasets, name, DataError)
    if not (folder / "manifest.json").exists():
        raise DataError(_not_there(name, workspace.datasets))
    return open_folder(folder, version=version)


def open_folder(folder: Path, *, version: str | None = None) -> DataSet:
    """The data set in a folder, also one that is still being put together. Raises DataError."""
    path = folder / "manifest.json"
    if version is not None:
        path = files.child_folder(folder / "versions", f"{version}.json", DataError)
    try:
        stored = files.read_json(path)
        number = stored["schema_version"]
        if number > SCHEMA_VERSION:
            raise DataError(
                f"Data set '{folder.name}' was written by a newer unetlab (schema {number}; this one reads up to "
                f"{SCHEMA_VERSION}). Update unetlab."
            )
        manifest = Manifest.model_validate(stored)
        return DataSet(folder, manifest if number == SCHEMA_VERSION else _upgraded(folder, manifest, stored))
    except FileNotFoundError:
        raise DataError(
            f"Data set '{folder.name}' has no version {version}: it was deleted and imported again since then."
        ) from None
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise DataError(
            f"The manifest of data set '{folder.name}' is damaged. Delete the set and import it again."
        ) from error


def list_datasets(workspace: Workspace) -> list[Manifest]:
    """Manifests of all data sets, newest first; folders without a readable manifest are passed over."""
    manifests = []
    for path in workspace.datasets.glob("[!.]*/manifest.json"):
        try:
            manifests.append(open_dataset(workspace, path.parent.name).manifest)
        except DataError:
            continue
    return sorted(manifests, key=lambda manifest: (manifest.created, manifest.name), reverse=True)


def delete_dataset(workspace: Workspace, name: str) -> None:
    """Deletes a data set with its originals. Raises DataError when there is none."""
    folder = files.child_folder(workspace.datasets, name, DataError)
    if not folder.is_dir():
        raise DataError(_not_there(name, workspace.datasets))
    leaving = workspace.datasets / f".deleted-{uuid.uuid4().hex}"
    os.rename(folder, leaving)  # gone at once, also when removing its files takes long or fails
    shutil.rmtree(leaving, ignore_errors=True)


def _upgraded(folder: Path, manifest: Manifest, stored: dict[str, Any]) -> Manifest:
    """A set of schema 1 examined again, with the decisions it holds; splits and intensities stay."""
    kept = {key: stored[key] for key in ("valid_fraction", "seed")}
    manifest.choices = Choices(reading=manifest.reading, **kept)
    files.write_atomic(folder / "manifest.json", manifest.model_dump_json(indent=1))
    upgraded = make_report(folder)
    store_version(folder, upgraded)
    return upgraded


def store_version(folder: Path, manifest: Manifest) -> None:
    """Makes `manifest` the current one of a data set, and keeps it for the runs that use it."""
    (folder / "versions").mkdir(exist_ok=True)
    content = manifest.model_dump_json(indent=1)
    files.write_atomic(folder / "versions" / f"{manifest.content_hash}.json", content)
    files.write_atomic(folder / "manifest.json", content)


def _not_there(name: str, parent: Path) -> str:
    known = sorted(path.parent.name for path in parent.glob("[!.]*/manifest.json"))
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.3)
    listed = near + [other for other in known if other not in near]
    there_are = f"There are: {', '.join(listed[:10])}." if listed else "There are none yet."
    return f"There is no data set '{name}'. {there_are}"
