"""What a reading makes of the masks, before anything is decided: of their values, and of a few pictures.

Shape letters: H height, W width, N values.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from unetlab.data import drawing
from unetlab.data.dataset import DataSet
from unetlab.data.labels import masks
from unetlab.data.labels.classes import PALETTE, choose_background, class_infos
from unetlab.data.labels.masks import IGNORE, MAX_VALUES, Part, Reading, Survey
from unetlab.data.labels.surveys import channels_of
from unetlab.data.manifest import ClassInfo, Pair
from unetlab.data.readers.images import read_image, read_mask
from unetlab.errors import UnreadableFile

SHOWN_PX = 320


class Example(NamedTuple):
    """A picture, and the same one tinted by class as it is read now and as it would be; uint8 (h,w,3)."""

    name: str
    picture: np.ndarray
    now: np.ndarray
    then: np.ndarray


def fates(reading: Reading, values: Sequence[int], part: Part) -> np.ndarray:
    """Class id that each mask value becomes, uint8 (N,); IGNORE where it is left out. `part`: what the values are."""
    numbers = np.array(values, np.int64)[None, :, None]
    if part == "colour":
        pixels = np.concatenate([numbers >> shift & 255 for shift in (16, 8, 0)], axis=2).astype(np.uint8)
    elif part == "alpha":
        pixels = np.concatenate([np.zeros_like(numbers), numbers], axis=2).astype(np.uint8)
    else:
        pixels = numbers.astype(np.uint8 if numbers.max(initial=0) < 256 else np.uint16)
    if reading.kind == "instances":  # values side by side in a row are not objects that touch
        reading = reading.model_copy(update={"groups": reading.groups[:2]})
    return masks.apply(reading, pixels)[0]


def classes_of(reading: Reading, survey: Survey) -> list[ClassInfo]:
    """The classes that a reading would give, with their colours; pixels are estimates where masks hold many values."""
    counts = np.array(list(survey.pixels.values()), np.float64)
    ids = fates(reading, list(survey.pixels), survey.part)
    pixels = np.bincount(ids, counts, IGNORE + 1)[: len(reading.groups)].astype(np.int64).tolist()
    background, _ = choose_background(reading, pixels)
    return class_infos(reading, pixels, background=background, palette=survey.own_colours)


def compare(data: DataSet, reading: Reading, classes: Sequence[ClassInfo], *, count: int = 3) -> list[Example]:
    """Up to `count` pictures as they are read now and as `reading` with its `classes` would read them.

    Those come first whose masks have ignored pixels, then those with many classes.
    """
    other = DataSet(data.folder, data.manifest.model_copy(update={"reading": reading, "classes": list(classes)}))
    pairs = data.manifest.pairs
    chosen = sorted(range(len(pairs)), key=lambda index: _telling(pairs[index]), reverse=True)[:count]
    return [
        Example(
            pairs[index].name,
            drawing.thumbnail(drawing.to_rgb(data.image(index)), SHOWN_PX),
            _tinted(data, index),
            _tinted(other, index),
        )
        for index in sorted(chosen)
    ]


def of_file(path: Path, size: int = SHOWN_PX) -> np.ndarray:
    """A picture or mask file as a person can see it, uint8 (h,w,3): few values are spread to colours far apart.

    Raises UnreadableFile.
    """
    with contextlib.suppress(UnreadableFile):  # no mask may hold the fractions of some pictures
        raster = read_mask(path)
        pixels = raster.pixels[:, :, 0]
        if raster.pixels.shape[2] < 3 and len(values := np.unique(pixels)) <= MAX_VALUES:
            table = [raster.palette[value] for value in values] if raster.palette else _spread(len(values))
            colors = np.array([channels_of(color) for color in table], np.uint8)
            return drawing.thumbnail(colors[np.searchsorted(values, pixels)], size)
    pixels = read_image(path).pixels.astype(np.float32)
    low, high = (0, 255) if pixels.max(initial=0) < 256 else np.nanpercentile(pixels, (0.5, 99.5))
    return drawing.thumbnail(drawing.to_rgb(np.nan_to_num((pixels - low) / max(high - low, 1))), size)


def _spread(number: int) -> list[int]:
    """Black and white, or black and the colours of our classes."""
    return [0, 0xFFFFFF][:number] if number < 3 else [0, *(int(color[1:], 16) for color in PALETTE[: number - 1])]


def _telling(pair: Pair) -> tuple[bool, int, int]:
    """How much a mask shows of a reading: ignored pixels, classes, and how little the largest class fills."""
    present = [count for count in pair.class_pixels if count]
    has_ignored = sum(present) < pair.height * pair.width
    return has_ignored, len(present), -max(present, default=0)


def _tinted(data: DataSet, index: int) -> np.ndarray:
    colors = [info.color for info in data.manifest.classes]
    drawn = drawing.overlay(data.image(index), data.mask(index), colors, opacity=0.6, background=data.background)
    return drawing.thumbnail(drawn, SHOWN_PX)
