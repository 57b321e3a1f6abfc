"""Outlines to pixels: polygons and run lengths, drawn over one another.

A pixel belongs to a polygon when its centre lies inside; pixel (row r, column c) covers r to r+1 and c to c+1 of
the plane, so its centre is (c + 0.5, r + 0.5). This is the convention of COCO's own tools; Pillow's ImageDraw,
which cuts coordinates to integers and paints the outline too, would make every object a pixel wider and higher.
Shape letters: H height, W width, N points.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

MAX_COORDINATE = 1e7  # px; further out is a mistake in the file
EDGES_AT_ONCE = 512  # bounds the memory for outlines of very many points
MAX_DIGITS = 7  # of five bits in a compressed run length: enough for 2**34 pixels


class Area(NamedTuple):
    """The pixels of one object: `inside` is a bool array whose first pixel lies at row `top`, column `left`."""

    top: int
    left: int
    inside: np.ndarray

    @property
    def num_pixels(self) -> int:
        return int(np.count_nonzero(self.inside))


def fill(polygons: Sequence[np.ndarray], height: int, width: int) -> Area:
    """The union of polygons, each float (N,2) of x and y in px, by the even-odd rule; what lies outside is cut off."""
    points = np.concatenate(polygons)
    left, top = _first_centre(points.min(axis=0), width, height)
    right, bottom = _first_centre(points.max(axis=0), width, height)
    inside = np.zeros((bottom - top, right - left), bool)
    if inside.size:
        for polygon in polygons:
            inside |= _fill_one(polygon - [left, top], *inside.shape)
    return Area(top, left, inside)


def from_runs(counts: Sequence[int], height: int, width: int) -> Area:
    """The pixels of COCO run lengths: outside and inside in turn, column by column. Raises ValueError."""
    runs = np.asarray(counts)
    is_number = runs.ndim == 1 and runs.dtype.kind in "iu"
    if not is_number or ((runs < 0) | (runs > height * width)).any() or int(runs.sum()) != height * width:
        raise ValueError(f"the run lengths do not add up to {height}×{width} px")
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    inside = flat.reshape(width, height).T
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not len(rows):
        return Area(0, 0, np.zeros((0, 0), bool))
    top, left = int(rows[0]), int(columns[0])
    return Area(top, left, inside[top : rows[-1] + 1, left : columns[-1] + 1].copy())


def unpacked_counts(text: str) -> list[int]:
    """Run lengths from COCO's compressed string. Raises ValueError.

    Five bits a character from '0' on, the sixth says that more follow; from the fourth number on, each is the
    difference to the last but one. Source: pycocotools, rleFrString in maskApi.c.
    """
    counts: list[int] = []
    number = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift >= 5 * MAX_DIGITS:
            raise ValueError("the compressed run lengths are damaged")
        number |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            number -= (1 << shift) if bits & 16 else 0
            counts.append(number + counts[-2] if len(counts) > 2 else number)
            number = shift = 0
    if shift:
        raise ValueError("the compressed run lengths are cut off")
    return counts


def paint(areas: Sequence[tuple[Area, int]], height: int, width: int) -> np.ndarray:
    """Areas with their values on a ground of 0, uint8 (H,W); later ones lie on earlier ones."""
    canvas = np.zeros((height, width), np.uint8)
    for area, value in areas:
        rows, columns = area.inside.shape
        canvas[area.top : area.top + rows, area.left : area.left + columns][area.inside] = value
    return canvas


def _first_centre(point: np.ndarray, width: int, height: int) -> tuple[int, int]:
    """Column and row of the first pixel whose centre is not before the point."""
    column, row = np.ceil(point - 0.5)
    return int(np.clip(column, 0, width)), int(np.clip(row, 0, height))


def _fill_one(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Even-odd fill, bool (H,W): each edge turns over all pixels to its right, on the lines it crosses."""
    turns = np.zeros((height, width + 1), np.uint8)
    ends = np.roll(points, -1, axis=0)
    for first in range(0, len(points), EDGES_AT_ONCE):
        (x0, y0), (x1, y1) = points[first : first + EDGES_AT_ONCE].T, ends[first : first + EDGES_AT_ONCE].T
        top = np.clip(np.ceil(np.minimum(y0, y1) - 0.5), 0, height).astype(int)
        bottom = np.clip(np.ceil(np.maximum(y0, y1) - 0.5), 0, height).astype(int)
        crossed = bottom - top
        edge = np.repeat(np.arange(len(x0)), crossed)
        row = np.arange(len(edge)) - np.repeat(np.cumsum(crossed) - crossed, crossed) + top[edge]
        x = x0[edge] + (row + 0.5 - y0[edge]) * ((x1 - x0)[edge] / (y1 - y0)[edge])
        column = np.clip(np.ceil(x - 0.5), 0, width).astype(int)
        np.bitwise_xor.at(turns, (row, column), np.uint8(1))
    return np.bitwise_xor.accumulate(turns, axis=1)[:, :width].astype(bool)
