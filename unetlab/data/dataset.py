"""Reading a stored data set: pictures 0..1, class ids, split; and naming its classes.

`$UNETLAB_HOME/datasets/NAME/` holds `originals/` as dropped, `manifest.json`, and `cache/` which can be
rebuilt. Shape letters: H height, W width, C channels, K classes.
"""

import difflib
import hashlib
import os
import shutil
import uuid
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import ValidationError

from unetlab import files
from unetlab.data import cache
from unetlab.data.classes import class_infos, shown_values
from unetlab.data.manifest import SCHEMA_VERSION, ClassInfo, Manifest, Pair, Problem
from unetlab.data.masks import IGNORE, Group
from unetlab.errors import DataError

__all__ = [
    "IGNORE",
    "ClassInfo",
    "DataSet",
    "Manifest",
    "Pair",
    "Problem",
    "datasets_folder",
    "delete_dataset",
    "list_datasets",
    "open_dataset",
    "update_classes",
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
    def background(self) -> int | None:
        """Class id of the background, which mean scores leave out; None when no class is."""
        return next((info.id for info in self.manifest.classes if info.is_background), None)

    def indices(self, split: str) -> list[int]:
        """Places in `manifest.pairs` of the pairs of a split (train, valid or test), in order."""
        return [index for index, pair in enumerate(self.manifest.pairs) if pair.split == split]

    def image(self, index: int) -> np.ndarray:
        """Picture `index` as float32 (H,W,C) in 0..1: the data set's `low` is 0, its `high` is 1, clipped."""
        low = np.array(self.manifest.low, np.float32)
        scale = 1 / (np.array(self.manifest.high, np.float32) - low)
        pixels = self._cache.image(index).astype(np.float32)
        pixels -= low
        pixels *= scale
        return np.clip(pixels, 0, 1, out=pixels)

    def mask(self, index: int) -> np.ndarray:
        """Class ids of mask `index`, uint8 (H,W); IGNORE where pixels are left out."""
        return np.array(self._cache.mask(index))

    def class_pixels(self, split: str) -> np.ndarray:
        """Pixels of each class in the masks of a split, int64 (K,)."""
        counts = [self._cache.class_pixels[index] for index in self.indices(split)]
        return np.array(counts, np.int64).reshape(-1, self.num_classes).sum(axis=0)

    def statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each channel over training images in 0..1; deviations are never 0."""
        return self.manifest.mean, self.manifest.std

    @cached_property
    def _cache(self) -> cache.Cache:
        manifest = self.manifest
        try:
            return cache.load(self.folder, manifest.pixels_hash)
        except (OSError, ValueError, KeyError):  # missing, or damaged by hand
            shutil.rmtree(self.folder / "cache" / manifest.pixels_hash, ignore_errors=True)
        built = cache.build(
            self.folder,
            manifest.pairs,
            reading=manifest.reading,
            channels=manifest.channels,
            is_deep=manifest.bits == 16,
        )
        if built.pixels_hash != manifest.pixels_hash:
            shutil.rmtree(self.folder / "cache" / built.pixels_hash, ignore_errors=True)
            reason = built.failures[0].message if built.failures else "Their pixels are not those of the import."
            raise DataError(
                f"Files in {self.folder / 'originals'} have changed since '{self.name}' was imported. {reason} "
                "Import them again under a new name."
            )
        return cache.load(self.folder, manifest.pixels_hash)


def datasets_folder(root: Path | None = None) -> Path:
    """Where data sets live: `root`, or `datasets/` in the workspace. Created when missing."""
    folder = files.home() / "datasets" if root is None else root
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def open_dataset(name: str, *, root: Path | None = None) -> DataSet:
    """The data set called `name`. Raises DataError when there is none, naming the nearest ones there are."""
    parent = datasets_folder(root)
    folder = files.child_folder(parent, name, DataError)
    try:
        stored = files.read_json(folder / "manifest.json")
        version = stored["schema_version"]
        if version > SCHEMA_VERSION:
            raise DataError(
                f"Data set '{name}' was written by a newer unetlab (schema {version}; this one reads up to "
                f"{SCHEMA_VERSION}). Update unetlab."
            )
        return DataSet(folder, Manifest.model_validate(stored))
    except FileNotFoundError:
        raise DataError(_not_there(name, parent)) from None
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise DataError(f"The manifest of data set '{name}' is damaged. Delete the set and import it again.") from error


def list_datasets(*, root: Path | None = None) -> list[Manifest]:
    """Manifests of all data sets, newest first; folders without a readable manifest are passed over."""
    manifests = []
    for path in datasets_folder(root).glob("[!.]*/manifest.json"):
        try:
            manifests.append(open_dataset(path.parent.name, root=root).manifest)
        except DataError:
            continue
    return sorted(manifests, key=lambda manifest: (manifest.created, manifest.name), reverse=True)


def delete_dataset(name: str, *, root: Path | None = None) -> None:
    """Deletes a data set with its originals. Raises DataError when there is none."""
    parent = datasets_folder(root)
    folder = files.child_folder(parent, name, DataError)
    if not folder.is_dir():
        raise DataError(_not_there(name, parent))
    leaving = parent / f".deleted-{uuid.uuid4().hex}"
    os.rename(folder, leaving)  # gone at once, also when removing its files takes long or fails
    shutil.rmtree(leaving, ignore_errors=True)


def update_classes(
    name: str,
    *,
    names: dict[int, str] | None = None,
    background: int | Literal["keep"] | None = "keep",
    ignored: int | Literal["keep"] | None = "keep",
    root: Path | None = None,
) -> Manifest:
    """Renames classes, marks the background, or leaves one class out of loss and scores; the new manifest.

    All three take class ids as they are now. An ignored class leaves the list, the others close up, and its
    pixels become IGNORE; `ignored=None` brings it back as the last class. Raises DataError for an unknown id,
    a name that is empty or taken, and when fewer than two classes would be left.
    """
    dataset = open_dataset(name, root=root)
    manifest = dataset.manifest
    known = {info.id for info in manifest.classes}
    for class_id in [*(names or {}), background, ignored]:
        if class_id not in {*known, None, "keep"}:
            raise DataError(f"'{name}' has no class {class_id}; its classes are 0 to {len(known) - 1}.")
    labels = [(names or {}).get(info.id, info.name).strip() for info in manifest.classes]
    if len(set(labels)) < len(labels) or not all(labels):
        raise DataError(f"Class names must differ and not be empty; given: {', '.join(map(repr, labels))}.")
    old = manifest.reading
    groups = [Group(name=label, values=group.values) for label, group in zip(labels, old.groups, strict=True)]
    marked = dataset.background if background == "keep" else background
    background_group = None if marked is None else groups[marked]
    ignored_group = old.ignored
    if ignored != "keep":
        if old.kind == "threshold" and ignored is not None:
            raise DataError("Masks read with a threshold have two classes, and both are needed.")
        returning = [] if old.ignored is None else [old.ignored]
        ignored_group = None if ignored is None else groups[ignored]
        groups = [group for group in groups if group is not ignored_group] + returning
        if len(groups) < 2:
            raise DataError(f"Without '{labels[ignored or 0]}' one class would be left; at least 2 are needed.")
    if background_group is not None and background_group is ignored_group:
        if background != "keep":
            raise DataError(f"'{background_group.name}' cannot be both the background and ignored.")
        background_group = None
    new_background = next((i for i, group in enumerate(groups) if group is background_group), None)
    reading = old.model_copy(update={"groups": groups, "ignored": ignored_group})
    pixels_hash, pixels = manifest.pixels_hash, [info.pixels for info in manifest.classes]
    if [group.values for group in groups] != [group.values for group in old.groups]:
        is_deep = manifest.bits == 16
        built = cache.build(
            dataset.folder, manifest.pairs, reading=reading, channels=manifest.channels, is_deep=is_deep
        )
        pixels_hash, pixels = built.pixels_hash, np.sum(built.class_pixels, axis=0).tolist()
    left_out = [*(ignored_group.values if ignored_group else []), *reading.strays]
    updated = manifest.model_copy(
        update={
            "reading": reading,
            "classes": class_infos(reading, pixels, background=new_background),
            "ignored_pixels": sum(pair.height * pair.width for pair in manifest.pairs) - sum(pixels),
            "ignored_values": shown_values(reading, left_out),
            "pixels_hash": pixels_hash,
            "content_hash": content_hash(pixels_hash, [pair.split for pair in manifest.pairs]),
        }
    )
    files.write_json(dataset.folder / "manifest.json", updated.model_dump(mode="json"))
    if pixels_hash != manifest.pixels_hash:
        shutil.rmtree(dataset.folder / "cache" / manifest.pixels_hash, ignore_errors=True)
    return updated


def content_hash(pixels_hash: str, splits: Sequence[str]) -> str:
    """One hash over all pixels, class ids and the split: equal hashes mean scores that can be compared."""
    return hashlib.sha256(f"{pixels_hash} {' '.join(splits)}".encode()).hexdigest()[:32]


def _not_there(name: str, parent: Path) -> str:
    known = sorted(path.parent.name for path in parent.glob("[!.]*/manifest.json"))
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.3)
    listed = near + [other for other in known if other not in near]
    there_are = f"There are: {', '.join(listed[:10])}." if listed else "There are none yet."
    return f"There is no data set '{name}'. {there_are}"
