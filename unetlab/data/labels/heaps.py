"""The few values that smeared masks were drawn with: JPEG, softened edges and resizing leave a heap around each.

Pure arithmetic on counts of grey levels and colours.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from unetlab.data.labels.surveys import channels_of

# A heap holds at least this share of the pixels, and twice as many in its core as in the shell around it: what lies
# between two classes is spread evenly, also where it adds up.
HEAP_SHARE = 0.002
PEAK = 2.0
CORE, SHELL, APART = 4, 9, 16  # grey levels
COLOUR_CORE, COLOUR_SHELL, COLOURS_APART = 10, 24, 40  # distances in RGB, 0..442
THIN_EDGE = 0.1  # a softened edge holds less than this part of the smaller of the things it divides
BLEND_DISTANCE = 4  # from the line, as rounding and gamma bend it
MAX_COLOURS = 2048  # commonest colours that are looked at
MAX_CANDIDATES = 256


def otsu(histogram: np.ndarray) -> int:
    """The threshold that separates two heaps best (Otsu 1979: largest variance between them).

    The middle of all equally good ones, where nothing lies between the heaps.
    """
    levels = np.arange(len(histogram))
    below = np.cumsum(histogram).astype(np.float64)
    above = below[-1] - below
    total_below = np.cumsum(histogram * levels).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (total_below / below - (total_below[-1] - total_below) / above) ** 2
    between = np.where(np.isfinite(between), between, -1)
    best = np.flatnonzero(between >= between.max() * (1 - 1e-12))
    return int(best[len(best) // 2])


def middle_share(histogram: np.ndarray, threshold: int) -> float:
    """The part of the pixels, 0..1, that lies in the middle half between the two heaps that a threshold divides."""
    levels = np.arange(len(histogram))
    low = np.average(levels[: threshold + 1], weights=histogram[: threshold + 1])
    high = np.average(levels[threshold + 1 :], weights=histogram[threshold + 1 :])
    is_middle = (levels > low + (high - low) / 4) & (levels < high - (high - low) / 4)
    return float(histogram[is_middle].sum() / histogram.sum())


def grey_heaps(histogram: np.ndarray) -> list[int]:
    """The grey levels that masks were drawn with, in order, from pixels per level (256,)."""
    sums = np.concatenate([[0], np.cumsum(histogram)])

    def mass(level: int, reach: int) -> int:
        return int(sums[min(level + reach + 1, len(histogram))] - sums[max(level - reach, 0)])

    heaps: list[int] = []
    for level in np.argsort(-histogram, kind="stable").tolist():
        core = mass(level, CORE)
        is_heap = core >= HEAP_SHARE * sums[-1] and core >= PEAK * (mass(level, SHELL) - core)
        if histogram[level] and is_heap and all(abs(level - other) >= APART for other in heaps):
            heaps.append(level)
    return sorted(heaps)


def colour_heaps(pixels: Mapping[int, int], *, count: int | None = None) -> list[int]:
    """The colours 0xRRGGBB that masks were drawn with, largest heap first. count: that many, however small."""
    common = sorted(pixels, key=lambda colour: -pixels[colour])[:MAX_COLOURS]
    points = np.array([channels_of(colour) for colour in common], np.float32)
    weights = np.array([pixels[colour] for colour in common], np.float64)
    total = sum(pixels.values())
    heaps: list[int] = []
    masses: list[float] = []
    for place in range(min(len(common), MAX_CANDIDATES if count is None else MAX_COLOURS)):
        distances = np.linalg.norm(points - points[place], axis=1)
        if any(distances[heap] < COLOURS_APART for heap in heaps):
            continue
        core = weights[distances <= COLOUR_CORE].sum()
        shell = weights[distances <= COLOUR_SHELL].sum() - core
        if count is not None or (core >= HEAP_SHARE / 2 * total and core >= PEAK * shell):
            heaps.append(place)
            masses.append(core)
    order = sorted(range(len(heaps)), key=lambda number: -masses[number])[:count]
    return [_rounded(common[heaps[number]]) for number in order]


def without_blends(colours: Sequence[int], pixels: Mapping[int, int]) -> list[int]:
    """The colours, largest first, less those that are thin blends of larger ones: edges softened in a few steps."""
    kept: list[int] = []
    for colour in sorted(colours, key=lambda colour: -pixels.get(colour, 0)):
        is_thin = len(kept) > 1 and pixels.get(colour, 0) < THIN_EDGE * min(pixels.get(other, 0) for other in kept)
        if not (is_thin and is_blend(colour, kept)):
            kept.append(colour)
    return kept


def covered(pixels: Mapping[int, int], colours: Sequence[int]) -> float:
    """The part of the pixels, 0..1, whose colour is near one of `colours`."""
    points = np.array([channels_of(colour) for colour in pixels], np.float32)
    centres = np.array([channels_of(colour) for colour in colours], np.float32)
    distances = np.linalg.norm(points[:, None] - centres[None], axis=2).min(axis=1)
    weights = np.array(list(pixels.values()), np.float64)
    return float(weights[distances <= COLOUR_SHELL].sum() / weights.sum())


def present(pixels: Mapping[int, int], colours: Sequence[int]) -> list[int]:
    """Those of `colours` that have pixels of nearly their own colour, at least a tenth of a heap."""
    points = np.array([channels_of(colour) for colour in pixels], np.float32)
    weights = np.array(list(pixels.values()), np.float64)
    found = []
    for colour in colours:
        distances = np.linalg.norm(points - np.array(channels_of(colour), np.float32), axis=1)
        if weights[distances <= COLOUR_CORE].sum() >= HEAP_SHARE / 10 * weights.sum():
            found.append(colour)
    return found


def spread(pixels: Mapping[int, int], count: int) -> list[int]:
    """At most `count` of the commonest grey values, none within APART of another."""
    found: list[int] = []
    for value in sorted(pixels, key=lambda value: -pixels[value]):
        if len(found) < count and all(abs(value - other) >= APART for other in found):
            found.append(value)
    return found


def snapped(colours: Sequence[int], known: Sequence[int]) -> dict[int, int]:
    """For each of `colours` the known colour it is nearest to; empty unless all are near, each to another one."""
    if not known:
        return {}
    centres = np.array([channels_of(colour) for colour in known], np.float32)
    found: dict[int, int] = {}
    for colour in colours:
        distances = np.linalg.norm(centres - np.array(channels_of(colour), np.float32), axis=1)
        if distances.min() <= COLOUR_SHELL:
            found[colour] = known[int(distances.argmin())]
    return found if len(set(found.values())) == len(colours) else {}


def is_blend(colour: int, ends: Sequence[int]) -> bool:
    """True when the colour lies on the straight line between two of `ends`, as softened edges do."""
    point = np.array(channels_of(colour), np.float64)
    for first, second in combinations([np.array(channels_of(end), np.float64) for end in ends], 2):
        line = second - first
        share = float((point - first) @ line / (line @ line))
        if 0 < share < 1 and np.linalg.norm(first + share * line - point) <= BLEND_DISTANCE:
            return True
    return False


def _rounded(colour: int) -> int:
    """The colour with channels near black or white made so: JPEG turns 255 into 254."""
    red, green, blue = (0 if channel <= 3 else 255 if channel >= 252 else channel for channel in channels_of(colour))
    return red << 16 | green << 8 | blue
