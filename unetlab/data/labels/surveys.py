"""Every value in a set of masks: how often, in how many masks, and together with which others.

A mask pixel is one integer, whatever the file's mode. `part` says which:
value   grey value of any depth, or palette index
colour  0xRRGGBB
alpha   the alpha channel, where colour is the same everywhere
grey    brightness 0..255: greys saved as RGB, or a colour mask cut at a threshold
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np

from unetlab.data.readers.facts import MAX_VALUES_KEPT, MaskFacts

Part = Literal["value", "colour", "alpha", "grey"]

MAX_COUNTED = 65536  # distinct values of a set that are counted one by one; JPEG masks may have more colours
MAX_SET = 64  # masks with more values than this say nothing by which values they hold together
# JPEG gives a grey picture saved as RGB a breath of colour: channels differ by a few levels, in few pixels.
GREY_SPREAD, GREY_SHARE = 12, 0.001


@dataclass
class Survey:
    """Every value in a set of masks, with its pixels and the number of masks it occurs in.

    histogram: int64 (256,), pixels by value // bin_width; where part is `colour`, pixels by brightness.
    sets: how many masks hold exactly these values, for masks of at most MAX_SET values.
    gapless: highest id -> masks whose values are exactly 0 or 1 up to it, as instance ids are; 255 beside them
    does not count. `nearly_gapless` allows three ids in ten to lack.
    """

    part: Part = "value"
    pixels: dict[int, int] = field(default_factory=dict)  # value -> pixels, by value
    files: dict[int, int] = field(default_factory=dict)  # value -> number of masks
    num_masks: int = 0
    num_pixels: int = 0
    num_lossy: int = 0
    is_capped: bool = False  # `pixels` and `files` hold the commonest values only
    palette: dict[int, int] = field(default_factory=dict)  # used index -> colour, where masks are palette images
    bin_width: Literal[1, 256] = 1
    histogram: np.ndarray = field(default_factory=lambda: np.zeros(256, np.int64))
    sets: Counter[frozenset[int]] = field(default_factory=Counter)
    gapless: Counter[int] = field(default_factory=Counter)
    nearly_gapless: Counter[int] = field(default_factory=Counter)

    @cached_property
    def is_palette(self) -> bool:
        """True for palette images whose colours are more than greys."""
        return any(not is_grey(colour) for colour in self.palette.values())

    @property
    def own_colours(self) -> Mapping[int, int]:
        """Value -> colour, where a palette gives the values colours that are more than greys."""
        return self.palette if self.is_palette else {}

    @cached_property
    def common(self) -> list[int]:
        """All values, commonest first."""
        return sorted(self.pixels, key=lambda value: -self.pixels[value])

    def share(self, value: int) -> float:
        """The part of all pixels that has this value, 0..1."""
        return self.pixels[value] / self.num_pixels

    def above(self, threshold: int) -> int:
        """Pixels above a threshold (of brightness, where part is `colour`); estimated by bins where capped."""
        if self.part != "colour" and (not self.is_capped or threshold == 0):
            return self.num_pixels - sum(count for value, count in self.pixels.items() if value <= threshold)
        place = threshold // self.bin_width
        kept = {value: count for value, count in self.pixels.items() if value // self.bin_width == place}
        share = sum(count for value, count in kept.items() if value > threshold) / max(sum(kept.values()), 1)
        return int(self.histogram[place + 1 :].sum()) + round(share * int(self.histogram[place]))


def survey(facts: Iterable[MaskFacts]) -> Survey:
    """What the masks of a set hold together. Exact where no mask has more than MAX_VALUES_KEPT values."""
    masks = list(facts)
    part = _part_of(masks)
    result = Survey(part=part, num_masks=len(masks))
    pixels: Counter[int] = Counter()
    files: Counter[int] = Counter()
    is_wide = any(max(mask.values) > 255 or mask.num_values > 256 for mask in masks)
    result.bin_width = 256 if part == "value" and is_wide else 1
    for mask in masks:
        counts = counts_of(mask, part)
        is_exact = is_complete(mask, part)
        result.is_capped |= not is_exact
        for value, count in counts.items():
            if value not in pixels and len(pixels) >= MAX_COUNTED:
                result.is_capped = True
                continue
            pixels[value] += count
            files[value] += 1
        if part == "value":
            for index, colour in mask.palette.items():
                result.palette[index] = colour
        if is_exact and len(counts) <= MAX_SET:
            result.sets[frozenset(counts)] += 1
        if part != "colour":
            _note_ids(result, set(counts), len(counts) if is_exact else mask.num_values, is_exact=is_exact)
        result.num_pixels += mask.num_pixels
        result.num_lossy += mask.is_lossy
        result.histogram += _histogram_of(mask, counts, part, bin_width=result.bin_width)
    result.pixels = {value: pixels[value] for value in sorted(pixels)}
    result.files = {value: files[value] for value in sorted(files)}
    return result


def counts_of(mask: MaskFacts, part: Part) -> dict[int, int]:
    """Pixels per value of one mask, as `part` sees it; the commonest values where the facts keep no more."""
    if part == "alpha":
        return dict(mask.alpha or {255: mask.num_pixels})
    if part == "grey" and mask.histogram is not None and mask.mode == "colour":
        return {level: count for level, count in enumerate(mask.histogram) if count}
    if part == "value" or (part == "colour" and mask.mode == "colour"):
        return dict(mask.values)
    counts: Counter[int] = Counter()
    for value, count in mask.values.items():
        colour = colour_of(value, mask.palette) if mask.mode != "colour" else value
        counts[colour if part == "colour" else brightness(colour)] += count
    return dict(counts)


def is_complete(mask: MaskFacts, part: Part) -> bool:
    """True when `counts_of` holds every value of the mask."""
    has_all = mask.num_values <= MAX_VALUES_KEPT
    return has_all or part == "alpha" or (part == "grey" and mask.mode == "colour")


def colour_of(value: int, palette: Mapping[int, int]) -> int:
    """The colour 0xRRGGBB of a palette index, or of a grey value where there is no palette."""
    return palette.get(value, 0) if palette else min(value, 255) * 0x010101


def brightness(colour: int) -> int:
    """Pillow's own conversion of RGB to L (ITU-R 601-2), so that counts and decoded masks agree."""
    red, green, blue = channels_of(colour)
    return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16


def channels_of(colour: int) -> tuple[int, int, int]:
    """Red, green and blue, 0..255 each, of a colour 0xRRGGBB."""
    return colour >> 16, colour >> 8 & 255, colour & 255


def is_grey(colour: int) -> bool:
    """True where red, green and blue are equal."""
    return colour % 0x010101 == 0


def label_of(value: int, part: Part) -> str:
    """A mask value as people write it: `3`, or `#ff8000` for a colour."""
    return f"#{value:06x}" if part == "colour" else str(value)


def red_ids(survey: Survey) -> dict[int, int]:
    """Colour -> red, where ids are saved in the red channel alone, as CARLA and Lyft do; else empty."""
    is_red = survey.part == "colour" and all(colour & 0xFFFF == 0 for colour in survey.pixels)
    return {colour: colour >> 16 for colour in survey.pixels} if is_red and max(survey.pixels) >> 16 < 64 else {}


def _part_of(masks: Sequence[MaskFacts]) -> Part:
    """Which part of the pixels carries the classes; known only when all masks were seen."""
    alphas = {value for mask in masks for value in (mask.alpha or {})}
    has_one_look = all(mask.alpha is not None and mask.num_values == 1 for mask in masks)
    if has_one_look and len(alphas) > 1 and len({value for mask in masks for value in mask.values}) == 1:
        return "alpha"
    if all(mask.mode != "colour" for mask in masks) and not _has_contradicting_palettes(masks):
        return "value"
    # Greys saved as RGB; or palettes that differ from file to file, whose indices mean nothing.
    is_smeared = any(mask.is_lossy for mask in masks)
    total = coloured = 0
    for mask in masks:
        for colour, count in counts_of(mask, "colour").items():
            total += count
            if max(channels_of(colour)) - min(channels_of(colour)) > (GREY_SPREAD if is_smeared else 0):
                coloured += count
    return "grey" if coloured <= (GREY_SHARE * total if is_smeared else 0) else "colour"


def _has_contradicting_palettes(masks: Sequence[MaskFacts]) -> bool:
    palette: dict[int, int] = {}
    return any(palette.setdefault(index, colour) != colour for mask in masks for index, colour in mask.palette.items())


def _note_ids(survey: Survey, values: set[int], num_values: int, *, is_exact: bool) -> None:
    """Counts the mask under its highest id, where its values look like instance ids."""
    ids = values - {255} if 255 in values and max(values - {255}, default=255) < 254 else values
    num_values -= len(values) - len(ids)
    top = max(ids, default=0)
    if top == 0:
        return
    # Of a mask with more values than are kept only the commonest are known: gaps show as ids above their number.
    if top == num_values - (0 in ids) if is_exact else top <= num_values:
        survey.gapless[top] += 1
    if num_values >= 10 and num_values >= 0.7 * top:
        survey.nearly_gapless[top] += 1


def _histogram_of(mask: MaskFacts, counts: Mapping[int, int], part: Part, *, bin_width: int) -> np.ndarray:
    """Pixels per bin of a mask, int64 (256,); of brightness where part is `colour`."""
    if mask.histogram is not None and part != "alpha":
        return np.array(mask.histogram, np.int64)
    histogram = np.zeros(256, np.int64)
    for value, count in counts.items():
        histogram[brightness(value) if part == "colour" else value // bin_width] += count
    return histogram
