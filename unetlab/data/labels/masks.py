"""Mask pixels to class ids: what is measured of a mask, and the reading that maps its values to classes.

Masks arrive decoded (`images.read_mask`); no file is opened here. What a set of masks holds together is in
`surveys`, which readings make sense for it in `readings`. Shape letters: H height, W width, C channels.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict

from unetlab.data.labels.instances import touching
from unetlab.data.labels.surveys import (
    Part,
    Survey,
    brightness,
    channels_of,
    colour_of,
    counts_of,
    is_complete,
    label_of,
    survey,
)
from unetlab.data.readers.facts import MAX_VALUES_KEPT, MaskFacts, Raster

__all__ = [
    "IGNORE",
    "MAX_VALUES",
    "Group",
    "Part",
    "Reading",
    "Survey",
    "apply",
    "class_pixels",
    "label_of",
    "measure_mask",
    "survey",
]

IGNORE = 255  # class id of pixels that loss and scores leave out
MAX_VALUES = 32  # more values than this are not taken for classes


class Group(BaseModel):
    """The mask values of one class, and its name when the masks were first read."""

    model_config = ConfigDict(frozen=True)
    name: str
    values: list[int] = []


class Reading(BaseModel):
    """How mask values become class ids; kept with the data set.

    values: groups[i].values are class i. threshold: class 1 where the value is above it (not above it, where
    `is_inverted`). nearest: the class of the nearest of all values named here. instances: groups[0].values are the
    background, everything else is class 1; with a third group, class 2 where two instances touch.
    `ignored` is the class the user leaves out of loss and scores, `strays` are values that are no class.
    """

    model_config = ConfigDict(frozen=True)
    key: str  # what --reading calls it
    meaning: str  # in plain words
    part: Part
    kind: Literal["values", "threshold", "nearest", "instances"]
    groups: list[Group]
    threshold: int | None = None
    is_inverted: bool = False
    ignored: Group | None = None
    strays: list[int] = []
    reasons: list[str] = []  # why it was proposed
    palette_name: str = ""  # the known colours or ids that named the classes

    @property
    def left_out(self) -> list[int]:
        """Values that become IGNORE."""
        return [*(self.ignored.values if self.ignored else []), *self.strays]


def measure_mask(raster: Raster) -> MaskFacts:
    """What is kept of a decoded mask (H,W,C), C as in Raster.

    `histogram`, where there is one, counts brightness for colours and value // 256 for 16-bit greys.
    """
    pixels = raster.pixels
    num_channels = pixels.shape[2]
    histogram = None
    if num_channels > 2:
        picture = _picture(pixels)
        found = picture.convert("RGB").getcolors(MAX_VALUES_KEPT)
        if found is None:
            values, num_values = _commonest(*np.unique(_packed(pixels), return_counts=True))
            histogram = picture.convert("RGB").convert("L").histogram()
        else:
            values = {red << 16 | green << 8 | blue: count for count, (red, green, blue) in found}  # type: ignore[misc]
            num_values = len(values)
    else:
        counts = _counts(pixels[:, :, 0])
        known = np.flatnonzero(counts)
        values, num_values = _commonest(known, counts[known])
        if num_values > MAX_VALUES_KEPT:
            padded = np.pad(counts, (0, 65536 - len(counts)))
            histogram = padded.reshape(256, 256).sum(axis=1).tolist()
    alpha = None
    if num_channels in (2, 4):
        alpha_counts = _counts(pixels[:, :, -1])
        alpha = {int(value): int(alpha_counts[value]) for value in np.flatnonzero(alpha_counts)}
    palette = {value: raster.palette[value] if value < len(raster.palette) else 0 for value in values}
    is_palette = bool(raster.palette) and num_channels == 1
    return MaskFacts(
        mode="colour" if num_channels > 2 else "palette" if is_palette else "grey",
        bits=16 if pixels.dtype == np.uint16 else 8,
        pages=raster.pages,
        is_lossy=raster.is_lossy,
        num_pixels=pixels.shape[0] * pixels.shape[1],
        values=values,
        num_values=num_values,
        histogram=histogram,
        alpha=alpha,
        palette=palette if is_palette else {},
    )


def apply(reading: Reading, pixels: np.ndarray, palette: Mapping[int, int] = {}) -> np.ndarray:
    """Class ids (H,W) uint8 for a mask (H,W,C); IGNORE for strays, the ignored class and unknown values.

    palette: colour 0xRRGGBB of each used index, where the mask is a palette image (`MaskFacts.palette`).
    """
    if reading.part == "colour" and pixels.shape[2] > 2:
        values = _packed(pixels)
        ids = (
            _nearest_colours(reading, values) if reading.kind == "nearest" else np.take(_colour_table(reading), values)
        )
    else:
        values, meaning = _channel(reading.part, pixels, palette)
        table = _classes(reading, meaning)
        if values.dtype == np.uint8:  # bytes.translate takes half the time of numpy's indexing
            ids = np.frombuffer(bytearray(values.tobytes().translate(table.tobytes())), np.uint8)
            ids = ids.reshape(values.shape)
        else:
            ids = np.take(table, values)
    if reading.kind == "instances" and len(reading.groups) > 2:
        ids[touching(values, ids == 1)] = 2
    return ids


def class_pixels(reading: Reading, facts: MaskFacts) -> list[int] | None:
    """Pixels of class 0 to K-1 of one mask from its facts; None when only the pixels can tell."""
    is_boundary = reading.kind == "instances" and len(reading.groups) > 2
    if is_boundary or not is_complete(facts, reading.part):
        return None
    counts = counts_of(facts, reading.part)
    ids = _classes(reading, np.array(list(counts), np.int64))
    sums = np.bincount(ids, weights=list(counts.values()), minlength=len(reading.groups))
    return sums[: len(reading.groups)].astype(np.int64).tolist()


def _channel(part: Part, pixels: np.ndarray, palette: Mapping[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """One channel (H,W) of a mask, and what each number that it may hold means in `part`."""
    num_channels = pixels.shape[2]
    if part == "alpha":
        opaque = np.full(pixels.shape[:2], 255, np.uint8)
        return (pixels[:, :, -1] if num_channels in (2, 4) else opaque), np.arange(256)
    if num_channels > 2:
        return np.asarray(_picture(pixels).convert("RGB").convert("L")), np.arange(256)
    values = pixels[:, :, 0]
    meaning = np.arange(65536 if values.dtype == np.uint16 else 256)
    if part == "value":
        return values, meaning
    colours = [colour_of(value, palette) for value in range(256)]
    known = colours if part == "colour" else [brightness(colour) for colour in colours]
    return values, np.array(known)[np.minimum(meaning, 255)]


def _classes(reading: Reading, values: np.ndarray) -> np.ndarray:
    """Class ids uint8 for values (N,) of the reading's part; IGNORE where there is none."""
    if reading.kind == "nearest":
        return _nearest_colours(reading, values) if reading.part == "colour" else _nearest_values(reading, values)
    if reading.kind == "threshold":
        ids = ((values > reading.threshold) != reading.is_inverted).astype(np.uint8)
        ids[np.isin(values, reading.left_out)] = IGNORE
        return ids
    ids = np.full(values.shape, _default(reading), np.uint8)
    for value, class_id in _class_of(reading).items():
        ids[values == value] = class_id
    return ids


def _class_of(reading: Reading) -> dict[int, int]:
    """Class id of each value that the reading names."""
    named = {value: index for index, group in enumerate(reading.groups) for value in group.values}
    return named | dict.fromkeys(reading.left_out, IGNORE)


def _default(reading: Reading) -> int:
    """The class of values that the reading does not name."""
    return 1 if reading.kind == "instances" else IGNORE


def _nearest_values(reading: Reading, values: np.ndarray) -> np.ndarray:
    named = _class_of(reading)
    centres = np.array(list(named), np.int64)
    places = np.abs(values[:, None] - centres[None, :]).argmin(axis=1)
    return np.array(list(named.values()), np.uint8)[places]


def _nearest_colours(reading: Reading, values: np.ndarray) -> np.ndarray:
    """Class ids of colours 0xRRGGBB by distance in RGB, in the shape of `values`."""
    places = (values >> 17 & 127) << 14 | (values >> 9 & 127) << 7 | (values >> 1 & 127)
    return np.take(_nearest_table(tuple(_class_of(reading).items())), places)


@lru_cache(maxsize=2)
def _nearest_table(class_of: tuple[tuple[int, int], ...]) -> np.ndarray:
    """Class id of the nearest named colour for each colour at 7 bits a channel, uint8 (2**21,).

    Seven bits are exact but for one level of 256 beside the border of two classes, and take a tenth of the time.
    """
    centres = np.array([channels_of(colour) for colour, _ in class_of], np.float32) / 2
    levels = np.arange(128, dtype=np.float32)
    red, green, blue = (
        (levels[:, None] + 0.25 - centres[None, :, channel]) ** 2 for channel in range(3)
    )  # 0.25: the middle of the two levels that share 7 bits
    ids = np.array([class_id for _, class_id in class_of], np.uint8)
    nearest = [(plane + green[:, None] + blue[None, :]).argmin(axis=2) for plane in red]
    return ids[np.stack(nearest)].ravel()


def _colour_table(reading: Reading) -> np.ndarray:
    return _full_table(tuple(_class_of(reading).items()), _default(reading))


@lru_cache(maxsize=2)  # 16 MB each; all masks of a set are read with one table
def _full_table(class_of: tuple[tuple[int, int], ...], default: int) -> np.ndarray:
    """Class id of each of the 2**24 colours."""
    table = np.full(1 << 24, default, np.uint8)
    for colour, class_id in class_of:
        table[colour] = class_id
    return table


def _packed(pixels: np.ndarray) -> np.ndarray:
    """Colours 0xRRGGBB, uint32 (H,W), of pixels (H,W,3) or (H,W,4)."""
    packed = pixels[:, :, 0].astype(np.uint32)
    for channel in (1, 2):
        packed <<= 8
        packed |= pixels[:, :, channel]
    return packed


def _picture(pixels: np.ndarray) -> Image.Image:
    """A Pillow picture of uint8 (H,W,3) or (H,W,4)."""
    mode = "RGB" if pixels.shape[2] == 3 else "RGBA"
    height, width = pixels.shape[:2]
    return Image.frombuffer(mode, (width, height), np.ascontiguousarray(pixels), "raw", mode, 0, 1)


def _counts(channel: np.ndarray) -> np.ndarray:
    """Pixels of each number in a channel (H,W), int64."""
    flat = np.ascontiguousarray(channel).ravel()
    if flat.dtype != np.uint8 or len(flat) < 4:
        return np.bincount(flat)
    low, high = int(flat.min()), int(flat.max())
    num_high = np.count_nonzero(flat == high)
    if num_high + (np.count_nonzero(flat == low) if low < high else 0) == len(flat):
        counts = np.zeros(256, np.int64)  # two values, as most masks have, are counted in a quarter of the time
        counts[[low, high]] = len(flat) - num_high, num_high
        return counts
    # Counted as four bands side by side: neighbours are mostly equal, and one counter would wait for itself.
    columns, rest = divmod(len(flat), 4)
    bands = Image.frombuffer("RGBA", (columns, 1), flat[: 4 * columns], "raw", "RGBA", 0, 1).histogram()
    return np.array(bands).reshape(4, 256).sum(axis=0) + np.bincount(flat[len(flat) - rest :], minlength=256)


def _commonest(values: np.ndarray, counts: np.ndarray) -> tuple[dict[int, int], int]:
    """The commonest values with their pixels, by value, and how many values there are."""
    kept = np.sort(np.argsort(-counts, kind="stable")[:MAX_VALUES_KEPT])
    return dict(zip(values[kept].tolist(), counts[kept].tolist(), strict=True)), len(values)
