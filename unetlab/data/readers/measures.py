"""What is measured of a decoded picture: range, spread and levels of each channel, and a thumb to compare by.

Shape letters: H height, W width, C channels.
"""

import base64
from itertools import pairwise

import numpy as np
from PIL import Image

from unetlab.data.readers.facts import ImageFacts, Raster
from unetlab.data.readers.nodata import with_gaps

THUMB_PX = 16
MAX_MEASURED = 32768  # pixels; more change mean and deviation of a picture by less than a grey level
MAX_SAMPLED = 65536  # values of a channel among which levels are counted where there may be more than 256
DTYPE_BITS = {"uint8": 8, "uint16": 16, "float32": 32}


def measure_image(raster: Raster) -> ImageFacts:
    """The facts of a picture, over the pixels that were measured; zeros and one level where none was.

    Pictures of more than MAX_MEASURED pixels are measured on every n-th row; all rows count where those are constant.
    """
    height, width, _ = raster.pixels.shape
    whole = raster.pixels if raster.fill is None else with_gaps(raster.pixels, raster.fill)
    pixels = whole[:: -(-height * width // MAX_MEASURED)]
    stats = _stats(pixels)
    if (stats[0] == stats[1]).all() and len(pixels) < height:
        pixels = whole
        stats = _stats(pixels)
    low, high, mean, std, num_levels = stats.tolist()
    return ImageFacts(
        mode=raster.mode,
        bits=DTYPE_BITS[raster.pixels.dtype.name],  # pyright: ignore[reportArgumentType]
        pages=raster.pages,
        low=low,
        high=high,
        mean=mean,
        std=std,
        num_invalid=raster.num_invalid,
        marks=list(raster.marks),
        orientation=raster.orientation,
        num_levels=int(max(num_levels)),
        thumb=_thumb(pixels if raster.fill is None else np.where(np.isnan(pixels), mean, pixels), min(low), max(high)),
    )


def _stats(pixels: np.ndarray) -> np.ndarray:
    """low, high, mean, std, number of levels (5,C) of pixels (H,W,C), without NaN."""
    if pixels.dtype == np.uint8:
        parts = [pixels] if pixels.shape[2] in (1, 3) else [pixels[:, :, [c]] for c in range(pixels.shape[2])]
        # Pillow counts in C, in a tenth of the time that numpy takes to reduce (H,W,3).
        return _of_counts(np.array([_picture_of(part).histogram() for part in parts]).reshape(-1, 256))
    channels = np.ascontiguousarray(np.moveaxis(pixels, 2, 0))
    return np.array([_of_values(values.ravel()) for values in channels]).T


def _picture_of(pixels: np.ndarray) -> Image.Image:
    height, width, channels = pixels.shape
    mode = "L" if channels == 1 else "RGB"
    return Image.frombuffer(mode, (width, height), np.ascontiguousarray(pixels), "raw", mode, 0, 1)


def _of_counts(counts: np.ndarray) -> np.ndarray:
    """low, high, mean, std, number of levels (5,C) of pixels per value (C,256)."""
    values = np.arange(256)
    is_used = counts > 0
    num_pixels = counts.sum(1)
    mean = counts @ values / num_pixels
    # Sums of squares are exact integers here; the difference of large floats would not be.
    variance = (counts @ values**2 * num_pixels - (counts @ values) ** 2) / num_pixels**2
    low, high = is_used.argmax(1), 255 - is_used[:, ::-1].argmax(1)
    return np.array([low, high, mean, np.sqrt(variance), is_used.sum(1)])


def _of_values(values: np.ndarray) -> tuple[float, float, float, float, int]:
    """low, high, mean, std, number of levels of one channel (N,) of uint16 or float32, without NaN."""
    if values.dtype.kind == "f" and np.isnan(values).any():
        values = values[~np.isnan(values)]
        if not len(values):
            return 0.0, 0.0, 0.0, 0.0, 1
    sample = values[:: -(-len(values) // MAX_SAMPLED)]
    mean, std = values.mean(dtype=np.float64), values.std(dtype=np.float64)
    return float(values.min()), float(values.max()), float(mean), float(std), len(np.unique(sample))


def _thumb(pixels: np.ndarray, low: float, high: float) -> str:
    """Base64 of 16x16 grey: means of areas and channels, low to high stretched to 0..255; zeros if equal."""
    is_plain = pixels.dtype == np.uint8 and pixels.shape[2] in (1, 3) and min(pixels.shape[:2]) >= THUMB_PX
    grey = _box_means(pixels) if is_plain else _means(pixels)
    stretched = (grey - low) * (255 / (high - low)) if high > low else np.zeros_like(grey)
    return base64.b64encode(np.rint(stretched).clip(0, 255).astype(np.uint8).tobytes()).decode()


def _box_means(pixels: np.ndarray) -> np.ndarray:
    """The same by Pillow in one call: numpy's many short ones make threads wait for one another."""
    small = _picture_of(pixels).resize((THUMB_PX, THUMB_PX), Image.Resampling.BOX)
    return np.asarray(small, np.float64).reshape(THUMB_PX, THUMB_PX, -1).mean(axis=2)


def _means(pixels: np.ndarray) -> np.ndarray:
    """Means of 16x16 areas and all channels."""
    for axis in (0, 1):
        if pixels.shape[axis] < THUMB_PX:
            pixels = pixels.take(np.arange(THUMB_PX) * pixels.shape[axis] // THUMB_PX, axis)
    height, width, channels = pixels.shape
    lines = pixels.reshape(height, width * channels)
    tops, heights = _parts(height)
    rows = np.stack([_sum(lines[top : top + size]) for top, size in zip(tops, heights, strict=True)])
    lefts, widths = _parts(width)
    sums = np.add.reduceat(rows, [left * channels for left in lefts], axis=1, dtype=np.float64)
    return sums / (np.outer(heights, widths) * channels)


def _parts(length: int) -> tuple[list[int], list[int]]:
    """(starts, sizes) of 16 nearly equal parts of 0..length."""
    edges = [place * length // THUMB_PX for place in range(THUMB_PX + 1)]
    return edges[:-1], [end - start for start, end in pairwise(edges)]


def _sum(lines: np.ndarray) -> np.ndarray:
    is_small = lines.dtype == np.uint8 and len(lines) <= 257  # 257 · 255 is the largest uint16, which adds fastest
    return lines.sum(0, dtype=np.uint16 if is_small else np.float64)
