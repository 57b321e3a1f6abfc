"""Label maps and the ways in which people and programs save them, as decoded masks (no file is written)."""

import io
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from unetlab.data.labels.masks import Reading, Survey, apply, measure_mask, survey
from unetlab.data.readers.facts import Raster

# fmt: off
COLOURS = np.array([
    (0, 0, 0), (255, 0, 0), (0, 160, 255), (60, 60, 10), (250, 250, 90), (20, 200, 60), (128, 0, 200),
    (255, 140, 0), (90, 90, 90), (255, 255, 255), (0, 60, 30), (240, 120, 190),
], np.uint8)
# fmt: on
Encode = Callable[[np.ndarray], Raster]


def raster(pixels: np.ndarray, mode: str = "", *, palette: Sequence[int] = (), is_lossy: bool = False) -> Raster:
    """A decoded mask of pixels (H,W) or (H,W,C)."""
    pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
    names = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
    mode = mode or ("P" if palette else "I;16" if pixels.dtype == np.uint16 else names[pixels.shape[2]])
    return Raster(np.ascontiguousarray(pixels), mode, palette=tuple(palette), is_lossy=is_lossy)


def jpeg(pixels: np.ndarray, quality: int = 90) -> Raster:
    """The mask after being saved as JPEG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return raster(np.array(Image.open(file)), is_lossy=True)


def scaled(pixels: np.ndarray, size: tuple[int, int], how: Image.Resampling) -> Raster:
    """The mask after a program has resized it with softened edges."""
    return raster(np.array(Image.fromarray(pixels).resize(size, how)))


def discs(
    num_classes: int, *, seed: int = 0, count: int = 6, size: int = 128, radius: tuple[int, int] = (8, 20)
) -> list[np.ndarray]:
    """Label maps (size,size) uint8 with discs of every class on class 0."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    maps = []
    for _ in range(count):
        labels = np.zeros((size, size), np.uint8)
        for class_id in [*range(1, num_classes)] * 2:
            row, column = rng.integers(0, size, 2)
            labels[(rows - row) ** 2 + (columns - column) ** 2 < rng.integers(*radius) ** 2] = class_id
        maps.append(labels)
    return maps


def squares(count: int, *, size: int = 96, side: int = 5) -> np.ndarray:
    """Ids 1 to count, one square each in a grid with gaps, on 0: uint16 (size,size)."""
    ids = np.zeros((size, size), np.uint16)
    per_row = size // (side + 1)
    for number in range(count):
        row, column = divmod(number, per_row)
        ids[row * (side + 1) :, column * (side + 1) :][:side, :side] = number + 1
    return ids


def surveyed(rasters: Sequence[Raster]) -> Survey:
    return survey(measure_mask(mask) for mask in rasters)


def decoded(reading: Reading, rasters: Sequence[Raster]) -> list[np.ndarray]:
    """Class ids of each mask."""
    return [apply(reading, mask.pixels, measure_mask(mask).palette) for mask in rasters]
