"""Decoded pixels of a data set, memory-mapped: every picture and mask is decoded once, whatever is decided later.

`cache/<shard>/pixels.bin` holds rasters one after the other, as the files have them; `index.json` says where each
begins and `facts.json` what was measured of it. A raster is named by the content of its file (and the page), so a
changed file is another raster, and pictures added later go into a shard of their own. The mapping of mask values to
classes is applied on reading. The folder can be deleted: `filling` fills it again from `originals/`.

Some files are read otherwise today than at first (docs/decisions/0015): their rasters have names of their own, with
REREAD at the end. So a manifest finds what it was written with, and the next examination finds what is right.
Shape letters: H height, W width, C channels.
"""

import hashlib
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from unetlab import files
from unetlab.data.readers.facts import ImageFacts, MaskFacts
from unetlab.data.readers.nodata import is_filled

Facts = ImageFacts | MaskFacts
REREAD = ".2"  # end of the keys of rasters that were read otherwise before
_IMAGE_FACTS = TypeAdapter(dict[str, ImageFacts])
_MASK_FACTS = TypeAdapter(dict[str, MaskFacts])


@dataclass(frozen=True)
class Entry:
    """Where a raster lies, and its shape; `palette` only for masks in palette mode.

    fill: what pixels without a measurement hold, in all channels. is_current: decoded as files are read today.
    """

    shard: str
    offset: int
    height: int
    width: int
    channels: int
    dtype: str
    palette: dict[int, int] = field(default_factory=dict)
    fill: float | None = None
    is_current: bool = True

    @property
    def num_bytes(self) -> int:
        return self.height * self.width * self.channels * np.dtype(self.dtype).itemsize


@dataclass
class Store:
    """All rasters of a data set, by key."""

    folder: Path
    entries: dict[str, Entry] = field(default_factory=dict)
    _maps: dict[str, np.ndarray] = field(default_factory=dict)

    def pixels(self, key: str) -> np.ndarray:
        """The raster (H,W,C) called `key`; a view on the disk."""
        entry = self.entries[key]
        if entry.shard not in self._maps:
            self._maps[entry.shard] = np.memmap(self.folder / "cache" / entry.shard / "pixels.bin", np.uint8, "r")
        flat = self._maps[entry.shard][entry.offset : entry.offset + entry.num_bytes]
        return flat.view(entry.dtype).reshape(entry.height, entry.width, entry.channels)

    def filled(self, key: str) -> np.ndarray | None:
        """bool (H,W): the pixels of the raster `key` that hold no measurement; None where all do."""
        fill = self.entries[key].fill
        return None if fill is None else is_filled(self.pixels(key), fill)

    def facts(self) -> dict[str, Facts]:
        """What was measured of every raster."""
        found: dict[str, Facts] = {}
        for shard in {entry.shard for entry in self.entries.values()}:
            stored = files.read_json(self.folder / "cache" / shard / "facts.json")
            found |= _IMAGE_FACTS.validate_python(stored["images"])
            found |= _MASK_FACTS.validate_python(stored["masks"])
        return found


def load(folder: Path) -> Store:
    """The rasters that the data set in `folder` holds already; none where the cache was deleted."""
    store = Store(folder)
    for path in sorted((folder / "cache").glob("[!.]*/index.json")):
        try:
            index = files.read_json(path)
            size = (path.parent / "pixels.bin").stat().st_size
        except (OSError, ValueError):  # damaged by hand: decoded again
            shutil.rmtree(path.parent, ignore_errors=True)
            continue
        for key, (offset, height, width, channels, dtype, palette, *fill) in index.items():
            table = {int(value): color for value, color in palette.items()}
            filled = float(fill[0]) if fill and fill[0] is not None else None
            entry = Entry(path.parent.name, offset, height, width, channels, dtype, table, filled, bool(fill))
            if offset + entry.num_bytes <= size and (entry.is_current or key not in store.entries):
                store.entries[key] = entry
    return store


def digest_of(key: str) -> str:
    """The digest of the file behind a key."""
    return key.partition(".")[0]


def first_key(key: str) -> str:
    """The key as it was before the file was read otherwise."""
    return key.removesuffix(REREAD)


def digest(content: bytes) -> str:
    """What names a file's content: the first half of its SHA-256."""
    return hashlib.sha256(content).hexdigest()[:32]
