"""What resizing does to small objects, counted on the masks themselves.

Objects are connected areas of one foreground class. Pixels of a map are numbered row by row; a run is a stretch
of one value within a row. Shape letters: H height, W width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from unetlab.data.checks.findings import counted, of_all
from unetlab.data.geometry import SizeMode, fit_size

NARROW_PERCENT = 10  # the narrowest tenth: one stray pixel must not stand for all objects
NO_OBJECT = -1

Neighbours = Literal[4, 8]


@dataclass(frozen=True)
class Shrinking:
    """What a size does to the objects of some masks. Widths are those of the narrowest tenth, in px, 0 without any.

    mean_pieces: pieces of an object that breaks, on average; 0 when none does.
    """

    num_objects: int
    num_vanished: int
    num_broken: int
    mean_pieces: float
    width_before_px: float
    width_after_px: float
    sentence: str  # all of it in words


class _Areas(NamedTuple):
    """Connected areas of equal value. `run_of`: (H*W,) run of each pixel; the others have one entry per run."""

    run_of: np.ndarray
    starts: np.ndarray  # first pixel
    areas: np.ndarray  # number of its area, the first run of which bears that number
    joined: np.ndarray  # its pixels that belong to the same area as the pixel below


def effect(
    masks: Sequence[np.ndarray],
    *,
    image_size: int,
    size_mode: SizeMode,
    ignore: int = 255,
    background: int | None,
    neighbours: Neighbours = 4,
) -> Shrinking:
    """How many objects vanish or break when training scales the masks as `geometry.fit_size` says.

    masks: class ids uint8 (H,W), a dozen is enough. Objects are connected areas of each class but
    `background`; None counts every class. An object vanishes when nearest neighbour picks none of its pixels
    and breaks when the pixels picked are no longer connected. Modes `crop` and `tile` keep every pixel.
    neighbours: 4 joins pixels by their sides, 8 by their corners too (a slanting line of 1 px is one object).
    """
    num_objects = num_vanished = 0
    is_any_resized = False
    pieces_of_broken: list[int] = []
    before: list[float] = []
    after: list[float] = []
    for mask in masks:
        height, width = mask.shape
        size = fit_size(height, width, image_size) if size_mode == "resize" else mask.shape
        is_any_resized |= size != mask.shape
        is_object = (mask != ignore) if background is None else (mask != ignore) & (mask != background)
        objects, widths = _objects(np.where(is_object, mask.astype(np.int32), NO_OBJECT), neighbours)
        small = np.asarray(Image.fromarray(objects).resize((size[1], size[0]), Image.Resampling.NEAREST))
        pieces = _pieces(small, len(widths), neighbours)
        num_objects += len(pieces)
        num_vanished += int(np.sum(pieces == 0))
        pieces_of_broken += pieces[pieces > 1].tolist()
        before += widths.tolist()
        after += (widths * max(size) / max(height, width)).tolist()
    num_broken, mean_pieces = len(pieces_of_broken), float(np.mean(pieces_of_broken)) if pieces_of_broken else 0.0
    if not num_objects:
        sentence = "These masks hold no objects."
    elif size_mode != "resize":
        sentence = f"Size mode {size_mode} keeps every pixel of {counted(num_objects, 'object')}."
    elif not is_any_resized:
        sentence = f"No mask is larger than {image_size} px: nothing shrinks."
    else:
        vanish = of_all(num_vanished, num_objects, "object", "vanishes", "vanish")
        broken = of_all(num_broken, num_objects, "object", "breaks", "break")
        harm = [vanish] if num_vanished else []
        harm += [f"{broken} into {mean_pieces:.1f} pieces on average"] if num_broken else []
        kept = f"nothing of {counted(num_objects, 'object')} is lost"
        sentence = f"Resizing to {image_size} px: {', '.join(harm) or kept}."
    return Shrinking(
        num_objects=num_objects,
        num_vanished=num_vanished,
        num_broken=num_broken,
        mean_pieces=mean_pieces,
        width_before_px=float(np.percentile(before, NARROW_PERCENT)) if before else 0.0,
        width_after_px=float(np.percentile(after, NARROW_PERCENT)) if after else 0.0,
        sentence=sentence,
    )


def _objects(values: np.ndarray, neighbours: Neighbours) -> tuple[np.ndarray, np.ndarray]:
    """Number of each pixel's object, int32 (H,W), and the objects' widths in px, float64 (objects,).

    values: int32 (H,W). A width is the number of pixels per row or per column that an object spans on average,
    the smaller of the two: a slanting line of 2 px is 3 wide.
    """
    areas = _connect(values, neighbours)
    is_object = values.ravel()[areas.starts] != NO_OBJECT
    roots, numbers = np.unique(areas.areas[is_object], return_inverse=True)
    lengths = np.diff(np.append(areas.starts, values.size))[is_object]
    num_pixels = np.bincount(numbers, lengths, len(roots))
    num_rows = np.bincount(numbers, minlength=len(roots))
    num_columns = num_pixels - np.bincount(numbers, areas.joined[is_object], len(roots))
    of_run = np.full(len(areas.starts), NO_OBJECT, np.int32)
    of_run[is_object] = numbers
    return of_run[areas.run_of].reshape(values.shape), num_pixels / np.maximum(num_rows, num_columns)


def _pieces(labels: np.ndarray, num_objects: int, neighbours: Neighbours) -> np.ndarray:
    """Connected areas that each object has in `labels`, int64 (num_objects,)."""
    areas = _connect(labels, neighbours)
    is_root = areas.areas == np.arange(len(areas.areas))
    of_root = labels.ravel()[areas.starts[is_root]]
    return np.bincount(of_root[of_root != NO_OBJECT], minlength=num_objects)


def _connect(values: np.ndarray, neighbours: Neighbours) -> _Areas:
    """Connected areas of equal value in an int32 map (H,W), found by joining the runs of neighbouring rows."""
    flat, width = values.ravel(), values.shape[1]
    is_start = np.empty(flat.size, bool)
    is_start[1:] = flat[1:] != flat[:-1]
    is_start[::width] = True
    starts = np.flatnonzero(is_start)
    run_of = np.cumsum(is_start, dtype=np.int32) - 1
    # A stretch between two cuts lies in one run, and so does the row below it.
    cuts = np.flatnonzero(is_start[:-width] | is_start[width:])
    is_joined = flat[cuts] == flat[cuts + width]
    upper, lower = run_of[cuts[is_joined]], run_of[cuts[is_joined] + width]
    lengths = np.diff(np.append(cuts, flat.size - width))[is_joined]
    joined = np.bincount(upper, lengths, len(starts))
    if neighbours == 8:
        corners = np.flatnonzero(is_start[:-width] & is_start[width:])
        corners = corners[corners % width != 0]  # where four pixels meet: corner is the upper right one
        falling = corners[flat[corners - 1] == flat[corners + width]]
        rising = corners[flat[corners] == flat[corners + width - 1]]
        upper = np.concatenate([upper, run_of[falling - 1], run_of[rising]])
        lower = np.concatenate([lower, run_of[falling + width], run_of[rising + width - 1]])
    return _Areas(run_of, starts, _roots(len(starts), upper, lower), joined)


def _roots(num_runs: int, upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """The lowest run connected with each run, where upper[i] and lower[i] are joined. Union-find, all edges at once."""
    parents = np.arange(num_runs)
    while True:
        first, second = parents[upper], parents[lower]
        is_open = first != second
        if not is_open.any():
            return parents
        upper, lower = upper[is_open], lower[is_open]
        low, high = np.minimum(first, second)[is_open], np.maximum(first, second)[is_open]
        np.minimum.at(parents, high, low)
        while not np.array_equal(grand := parents[parents], parents):
            parents = grand
