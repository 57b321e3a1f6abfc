"""Decoded pictures and masks of a data set: flat arrays on disk that are read by memory-mapping.

`cache/<hash>/images.npy` (uint8 or uint16) and `masks.npy` (uint8) hold all pixels one after the other,
`index.json` says where each pair begins. The folder can be deleted: it is rebuilt from `originals/`.
Shape letters: H height, W width, C channels, K classes.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

import numpy as np

from unetlab import files
from unetlab.data.images import in_order, read_image
from unetlab.data.masks import Reading, apply, read_values
from unetlab.errors import UnreadableFile

LOW_PERCENT, HIGH_PERCENT = 0.5, 99.5  # a few hot or dead pixels must not set the contrast of a 16-bit set


class Files(Protocol):
    """A pair's files, relative to `originals/`."""

    @property
    def image(self) -> str: ...
    @property
    def mask(self) -> str: ...


class Failure(NamedTuple):
    """Why a pair is left out: the file, a code for machines, a sentence for people."""

    file: str
    code: str
    message: str


@dataclass
class Built:
    """What came out of decoding. `kept` are places in the list of pairs that was given."""

    pixels_hash: str
    kept: list[int]
    sizes: list[tuple[int, int]]
    class_pixels: list[list[int]]  # per pair: pixels of class 0 to K-1
    low: list[float]
    high: list[float]
    failures: list[Failure] = field(default_factory=list)


@dataclass(frozen=True)
class Cache:
    """Memory-mapped pixels of all pairs. Entry i of `offsets`, `sizes` and `class_pixels` belongs to pair i."""

    images: np.ndarray
    masks: np.ndarray
    channels: int
    offsets: list[int]
    sizes: list[tuple[int, int]]
    class_pixels: list[list[int]]

    def image(self, index: int) -> np.ndarray:
        """Stored intensities (H,W,C) of a picture; a view on the disk."""
        height, width = self.sizes[index]
        start = self.offsets[index] * self.channels
        return self.images[start : start + height * width * self.channels].reshape(height, width, self.channels)

    def mask(self, index: int) -> np.ndarray:
        """Class ids (H,W) of a mask; a view on the disk."""
        height, width = self.sizes[index]
        return self.masks[self.offsets[index] : self.offsets[index] + height * width].reshape(height, width)


def build(
    folder: Path,
    pairs: Sequence[Files],
    *,
    reading: Reading,
    channels: int,
    is_deep: bool,
    progress: Callable[[int], None] | None = None,
) -> Built:
    """Decodes all pairs of the data set in `folder` into `cache/<hash>/`, holding a few pictures in memory.

    A pair that cannot be decoded, or whose picture and mask differ in size, is left out and told in `failures`.
    progress: called with the number of pairs done.
    """
    parent = folder / "cache"
    parent.mkdir(exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=parent, prefix=".building-"))
    try:
        built = _decode_into(temporary, folder / "originals", pairs, reading, channels, is_deep, progress)
        target = parent / built.pixels_hash
        if target.exists():  # another process was faster; the hash says that both are the same
            shutil.rmtree(temporary)
        else:
            os.rename(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return built


def load(folder: Path, pixels_hash: str) -> Cache:
    """The cache of the data set in `folder`. Raises FileNotFoundError when it has to be built first."""
    path = folder / "cache" / pixels_hash
    index = files.read_json(path / "index.json")
    sizes = [(height, width) for height, width in index["sizes"]]
    starts = np.cumsum([0] + [height * width for height, width in sizes])
    return Cache(
        images=np.load(path / "images.npy", mmap_mode="r"),
        masks=np.load(path / "masks.npy", mmap_mode="r"),
        channels=index["channels"],
        offsets=starts[:-1].tolist(),
        sizes=sizes,
        class_pixels=index["class_pixels"],
    )


def to_channels(image: np.ndarray, channels: int, *, is_deep: bool) -> np.ndarray:
    """A decoded picture (H,W,C) as the data set stores it: grey repeated for RGB, 8 bits spread over 16."""
    if is_deep and image.dtype == np.uint8:
        image = image.astype(np.uint16) * 257  # 255 becomes 65535
    return np.repeat(image, channels, axis=2) if image.shape[2] == 1 and channels > 1 else image


def _decode_into(
    target: Path,
    originals: Path,
    pairs: Sequence[Files],
    reading: Reading,
    channels: int,
    is_deep: bool,
    progress: Callable[[int], None] | None,
) -> Built:
    built = Built("", [], [], [], [0.0] * channels, [255.0] * channels)
    digest = hashlib.sha256()
    histogram = np.zeros((channels, 65536), np.int64)
    decode = partial(_decode_pair, originals=originals, reading=reading, channels=channels, is_deep=is_deep)
    with open(target / "images.npy", "wb") as image_file, open(target / "masks.npy", "wb") as mask_file:
        images = _ArrayFile(image_file, np.uint16 if is_deep else np.uint8)
        masks = _ArrayFile(mask_file, np.uint8)
        for place, decoded in enumerate(in_order(decode, pairs)):
            if isinstance(decoded, Failure):
                built.failures.append(decoded)
            else:
                image, mask = decoded
                built.kept.append(place)
                built.sizes.append(mask.shape)
                counts = np.bincount(mask.ravel(), minlength=256)[: len(reading.groups)]
                built.class_pixels.append(counts.tolist())
                if is_deep:
                    for channel in range(channels):
                        histogram[channel] += np.bincount(image[:, :, channel].ravel(), minlength=65536)
                for array, file in ((image, images), (mask, masks)):
                    digest.update(repr((array.shape, array.dtype.str)).encode())
                    digest.update(np.ascontiguousarray(array).data)
                    file.append(array)
            if progress:
                progress(place + 1)
        images.finish()
        masks.finish()
    if is_deep and built.kept:
        built.low, built.high = _contrast(histogram)
    built.pixels_hash = digest.hexdigest()[:32]
    index = {"channels": channels, "sizes": built.sizes, "class_pixels": built.class_pixels}
    files.write_json(target / "index.json", index)
    return built


def _decode_pair(
    pair: Files, *, originals: Path, reading: Reading, channels: int, is_deep: bool
) -> "tuple[np.ndarray, np.ndarray] | Failure":
    """Picture (H,W,C) and class ids (H,W), or why the pair cannot be used."""
    name = pair.image
    try:
        image = read_image(originals / pair.image)
        name = pair.mask
        mask = apply(reading, read_values(originals / pair.mask, reading.part))
    except UnreadableFile as error:
        return Failure(name, "unreadable", str(error))
    if image.shape[:2] != mask.shape:
        return differing_sizes(pair, image.shape[:2], mask.shape)
    return to_channels(image, channels, is_deep=is_deep), mask


def differing_sizes(pair: Files, image_size: Sequence[int], mask_size: Sequence[int]) -> Failure:
    """The sentence about a picture and a mask that are not of one size; sizes are (height, width)."""
    return Failure(
        pair.image,
        "sizes-differ",
        f"{pair.image} has {image_size[1]}×{image_size[0]} px, its mask {pair.mask} "
        f"{mask_size[1]}×{mask_size[0]} px. The pair is left out: export both at the same size.",
    )


def _contrast(histogram: np.ndarray) -> tuple[list[float], list[float]]:
    """Per channel the intensities below which LOW_PERCENT and HIGH_PERCENT of all pixels lie."""
    low, high = [], []
    for counts in histogram:
        share = np.cumsum(counts) / counts.sum()
        bottom = int(np.searchsorted(share, LOW_PERCENT / 100))
        top = int(np.searchsorted(share, HIGH_PERCENT / 100))
        low.append(float(bottom))
        high.append(float(max(top, bottom + 1)))
    return low, high


class _ArrayFile:
    """A flat .npy file that grows by appending; `finish` completes its header."""

    def __init__(self, file: BinaryIO, dtype: type[np.generic]) -> None:
        self.file = file
        self.dtype = np.dtype(dtype)
        self.length = 0
        self._write_header()

    def append(self, array: np.ndarray) -> None:
        self.file.write(np.ascontiguousarray(array, self.dtype).data)
        self.length += array.size

    def finish(self) -> None:
        self.file.seek(0)
        self._write_header()

    def _write_header(self) -> None:
        # numpy leaves room for a growing first axis, so that this header has the same size each time.
        description = {"descr": self.dtype.str, "fortran_order": False, "shape": (self.length,)}
        np.lib.format.write_array_header_1_0(self.file, description)
