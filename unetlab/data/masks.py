"""Mask files to class ids: what values a set of masks holds, and the reading that maps them to classes.

A mask pixel is one integer, whatever the file's mode. `part` says which:
value   grey value (modes 1, L, LA, I;16, I) or palette index (mode P)
colour  0xRRGGBB
alpha   the alpha channel, where colour is the same everywhere
grey    brightness 0..255: greys saved as RGB, or a colour mask cut at a threshold
Black and white (mode 1) is 0 and 255. Shape letters: H height, W width.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from pydantic import BaseModel, ConfigDict

from unetlab.data.images import decode, deep_pixels, in_order, is_deep_mode, upright
from unetlab.errors import UnreadableFile

IGNORE = 255  # class id of pixels that loss and scores leave out
MAX_VALUES = 32  # more values than this are not taken for classes: the user is asked
MAX_COUNTED = 4096  # distinct values counted one by one; JPEG masks have many thousands of colours

Part = Literal["value", "colour", "alpha", "grey"]


class Group(BaseModel):
    """The mask values of one class, and its name when the masks were first read."""

    model_config = ConfigDict(frozen=True)
    name: str
    values: list[int] = []


class Reading(BaseModel):
    """How mask values become class ids; kept with the data set.

    kind `values`: groups[i].values are class i. kind `threshold`: class 1 where the value is above it.
    `ignored` is the class the user leaves out of loss and scores, `strays` are values that are no class.
    """

    model_config = ConfigDict(frozen=True)
    key: str  # what --reading calls it
    meaning: str  # in plain words
    part: Part
    kind: Literal["values", "threshold"]
    groups: list[Group]
    threshold: int | None = None
    ignored: Group | None = None
    strays: list[int] = []


@dataclass
class Survey:
    """Every value in a set of masks, with its pixels and the number of masks it occurs in."""

    part: Part = "value"
    pixels: dict[int, int] = field(default_factory=dict)  # value -> pixels, by value
    files: dict[int, int] = field(default_factory=dict)  # value -> number of masks
    num_masks: int = 0
    is_capped: bool = False  # more than MAX_COUNTED values: `pixels` holds the first ones met
    is_palette: bool = False
    histogram: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))  # pixels per value or brightness
    unreadable: dict[Path, str] = field(default_factory=dict)  # file -> reason

    @property
    def num_pixels(self) -> int:
        return int(self.histogram.sum())


def survey(paths: Iterable[Path], *, progress: Callable[[int], None] | None = None) -> Survey:
    """Counts the values of all masks, reading each once. Files that cannot be read are listed in `unreadable`.

    progress: called with the number of masks read so far.
    """
    counts = _Counts()
    unreadable: dict[Path, str] = {}
    for done, (path, counted) in enumerate(in_order(_count_one, paths), start=1):
        if isinstance(counted, str):
            unreadable[path] = counted
        else:
            counts.add(counted)
        if progress:
            progress(done)
    result = counts.survey()
    result.unreadable = unreadable
    return result


def read_values(path: Path, part: Part) -> np.ndarray:
    """The pixels of a mask as integers (H,W): uint8, uint16 or, for colours, uint32. Raises UnreadableFile."""
    return decode(path, partial(_values, part=part))


def apply(reading: Reading, values: np.ndarray) -> np.ndarray:
    """Class ids (H,W) uint8 for mask values (H,W); IGNORE for strays, the ignored class and unknown values."""
    if reading.kind == "threshold":
        return (values > reading.threshold).astype(np.uint8)
    class_of = {value: index for index, group in enumerate(reading.groups) for value in group.values}
    if not class_of:
        return np.full(values.shape, IGNORE, np.uint8)
    known = np.array(sorted(class_of))
    ids = np.array([class_of[value] for value in known], np.uint8)
    if known[-1] < 65536 and values.dtype != np.uint32:
        table = np.full(65536, IGNORE, np.uint8)
        table[known] = ids
        return table[values]
    places = np.minimum(np.searchsorted(known, values), len(known) - 1)
    return np.where(known[places] == values, ids[places], np.uint8(IGNORE))


def label_of(value: int, part: Part) -> str:
    """A mask value as people write it: `3`, or `#ff8000` for a colour."""
    return f"#{value:06x}" if part == "colour" else str(value)


@dataclass
class _Tally:
    """Pixels and files per value, up to MAX_COUNTED values."""

    pixels: Counter[int] = field(default_factory=Counter)
    files: Counter[int] = field(default_factory=Counter)
    is_capped: bool = False

    def add(self, counted: Mapping[int, int]) -> None:
        for value, count in counted.items():
            if value not in self.pixels and len(self.pixels) >= MAX_COUNTED:
                self.is_capped = True
                continue
            self.pixels[value] += count
            self.files[value] += 1


@dataclass
class _Counted:
    """One mask: the values of its mode, and the same pixels as colours, brightness and alpha."""

    mode: Literal["grey", "palette", "colour"]
    values: dict[int, int]
    colours: dict[int, int]
    grey: np.ndarray  # int64 (256,)
    alpha: dict[int, int] | None = None
    palette: dict[int, int] = field(default_factory=dict)  # used index -> colour


class _Counts:
    """Sums over the masks read so far. Which part carries the classes is known only after the last one."""

    def __init__(self) -> None:
        self.modes: Counter[str] = Counter()
        self.values, self.colours, self.alpha = _Tally(), _Tally(), _Tally()
        self.num_alpha = 0
        self.palette: dict[int, int] = {}
        self.is_palette_mixed = False
        self.value_histogram = np.zeros(65536, np.int64)
        self.grey_histogram = np.zeros(256, np.int64)

    def add(self, mask: _Counted) -> None:
        self.modes[mask.mode] += 1
        self.values.add(mask.values)
        for value, count in mask.values.items():
            self.value_histogram[value] += count
        self.colours.add(mask.colours)
        self.grey_histogram += mask.grey
        if mask.alpha is not None:
            self.num_alpha += 1
            self.alpha.add(mask.alpha)
        for index, colour in mask.palette.items():
            self.is_palette_mixed |= self.palette.setdefault(index, colour) != colour

    def survey(self) -> Survey:
        num_masks = self.modes.total()
        is_all_grey = all(_is_grey(colour) for colour in self.colours.pixels)
        if self.num_alpha == num_masks and len(self.colours.pixels) == 1 and len(self.alpha.pixels) > 1:
            histogram = np.zeros(256, np.int64)
            for value, count in self.alpha.pixels.items():
                histogram[value] = count
            return _surveyed("alpha", self.alpha, num_masks, histogram)
        if not self.modes["colour"] and not self.is_palette_mixed:
            result = _surveyed("value", self.values, num_masks, self.value_histogram)
            result.is_palette = any(not _is_grey(colour) for colour in self.palette.values())
            return result
        if not is_all_grey:
            return _surveyed("colour", self.colours, num_masks, self.grey_histogram)
        # Greys saved as RGB; or palettes that differ from file to file, whose indices mean nothing.
        brightness = _Tally(
            pixels=Counter({colour & 255: count for colour, count in self.colours.pixels.items()}),
            files=Counter({colour & 255: count for colour, count in self.colours.files.items()}),
        )
        return _surveyed("grey", brightness, num_masks, self.grey_histogram)


def _surveyed(part: Part, tally: _Tally, num_masks: int, histogram: np.ndarray) -> Survey:
    order = sorted(tally.pixels)
    return Survey(
        part=part,
        pixels={value: tally.pixels[value] for value in order},
        files={value: tally.files[value] for value in order},
        num_masks=num_masks,
        is_capped=tally.is_capped,
        histogram=histogram,
    )


def _count_one(path: Path) -> tuple[Path, _Counted | str]:
    try:
        return path, decode(path, _count)
    except UnreadableFile as error:
        return path, str(error)


def _count(picture: Image.Image) -> _Counted:
    picture = upright(picture)
    alpha = _tally_of(np.asarray(picture.getchannel("A"))) if picture.mode in ("LA", "RGBA") else None
    if is_deep_mode(picture.mode) or picture.mode in ("1", "L", "LA", "P"):
        values = _tally_of(_values(picture, part="value"))
        entries = {value: min(value, 255) * 0x010101 for value in values}
        if picture.mode == "P":
            table = np.array(picture.getpalette("RGB") or [], np.uint32).reshape(-1, 3) @ (65536, 256, 1)
            entries = {index: int(table[index]) if index < len(table) else 0 for index in values}
        colours: Counter[int] = Counter()
        grey = np.zeros(256, np.int64)
        for value, count in values.items():
            colours[entries[value]] += count
            grey[_brightness(entries[value])] += count
        is_palette = picture.mode == "P"
        mode = "palette" if is_palette else "grey"
        return _Counted(mode, values, colours, grey, alpha, entries if is_palette else {})
    found = _tally_of(_values(picture, part="colour"))
    brightness = _values(picture, part="grey")
    return _Counted("colour", {}, found, np.bincount(brightness.ravel(), minlength=256), alpha)


def _tally_of(values: np.ndarray) -> dict[int, int]:
    if values.dtype == np.uint32:
        found, counts = np.unique(values, return_counts=True)
    else:
        per_value = np.bincount(values.ravel())
        found = np.flatnonzero(per_value)
        counts = per_value[found]
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def _values(picture: Image.Image, *, part: Part) -> np.ndarray:
    picture = upright(picture)
    if part == "alpha":
        return np.array(picture.getchannel("A"))
    if part == "value" and is_deep_mode(picture.mode):
        return deep_pixels(picture)
    if (part == "value" and picture.mode == "P") or (part in ("value", "grey") and picture.mode == "L"):
        return np.array(picture)
    if is_deep_mode(picture.mode):
        picture = Image.fromarray(np.minimum(deep_pixels(picture), 255).astype(np.uint8))
    if part in ("value", "grey"):
        return np.array(picture.convert("RGB").convert("L"))
    channels = np.asarray(picture.convert("RGB")).astype(np.uint32)
    return channels[:, :, 0] << 16 | channels[:, :, 1] << 8 | channels[:, :, 2]


def _is_grey(colour: int) -> bool:
    return colour >> 16 == (colour >> 8) & 255 == colour & 255


def _brightness(colour: int) -> int:
    """Pillow's own conversion of RGB to L (ITU-R 601-2), so that counts and decoded masks agree."""
    red, green, blue = colour >> 16, colour >> 8 & 255, colour & 255
    return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16
