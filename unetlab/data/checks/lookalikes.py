"""Pictures that are nearly the same, found from their 16x16 thumbs; no pixel is read again.

Two pictures of one kind share their layout (sky above road, a bright disc on black), so plain correlation takes
strangers for copies: two different made-up retinas correlate at 0.985, a picture and itself moved by 2 px at 0.98.
Compared are therefore details: each cell of a thumb less the mean of its four neighbours. And a pair counts only
as far as it is more alike than a usual pair of the same set.
"""

import base64
from collections.abc import Sequence

import numpy as np

SIDE = 16
# Measured: a change of brightness or gamma, JPEG at quality 50, half the size and slight noise give 0.87 to 1, a crop
# by 2 px of 256 gives 0.9 to 0.99, a move by 2 px both ways 0.8 to 0.97. Strangers stay below 0.4 (CrackForest, made
# textures), neighbouring slices of ISBI below 0.66; CamVid frames of a standing car reach 0.99 and are found.
# Crops by 5 %, mirrored and turned copies are not found; in a set of retinas moved ones are not found either.
LIKENESS = 0.85
MAX_USUAL = 0.9  # where most pictures are copies of one another, the usual pair must not set the measure
MAX_MATCHES = 8
MIN_DETAIL = 0.5  # grey levels of 255; below it a thumb is flat, and its details are rounding
NUM_SAMPLED = 400
ROWS_AT_ONCE = 512  # 512 x 10,000 correlations are 20 MB


def near_duplicates(
    thumbs: Sequence[str], *, limit: float = LIKENESS, sides: Sequence[str] | None = None
) -> list[tuple[int, int, float]]:
    """Pairs of places (first below second) whose pictures are nearly the same, with their likeness, most alike first.

    thumbs: base64 of 16x16 uint8. sides: when given, only pairs from different sides count (train, valid, test).
    Likeness is at most 1 (the same picture); 0 is as alike as a usual pair of this set. A picture is paired
    with its `MAX_MATCHES` most alike at most, so each that has a match appears. Flat thumbs never match.
    """
    details, is_flat = _details(thumbs)
    usual = _usual(details[~is_flat])
    codes = None if sides is None else np.unique(np.asarray(sides, str), return_inverse=True)[1]
    found: dict[tuple[int, int], float] = {}
    for start in range(0, len(details), ROWS_AT_ONCE):
        rows = np.arange(start, min(start + ROWS_AT_ONCE, len(details)))
        correlations = details[rows] @ details.T
        correlations[np.arange(len(rows)), rows] = -1  # a picture is not its own copy
        if codes is not None:
            correlations[codes[rows][:, None] == codes[None, :]] = -1
        likeness = (correlations - usual) / (1 - usual)
        likeness = likeness[hit := likeness.max(1) > limit]
        nearest = np.argpartition(-likeness, min(MAX_MATCHES, len(details)) - 1, axis=1)[:, :MAX_MATCHES]
        values = np.take_along_axis(likeness, nearest, axis=1)
        for row, places, row_values in zip(rows[hit].tolist(), nearest.tolist(), values.tolist(), strict=True):
            for place, value in zip(places, row_values, strict=True):
                if value > limit:
                    found[min(row, place), max(row, place)] = value
    alike = [(first, second, min(1.0, value)) for (first, second), value in found.items()]
    return sorted(alike, key=lambda match: (-match[2], match[:2]))


def neighbour_likeness(thumbs: Sequence[str], neighbours: Sequence[tuple[int, int]]) -> float:
    """Median likeness of the given pairs of places; 0 is as alike as a usual pair of this set. 0 without any."""
    details, is_flat = _details(thumbs)
    usual = _usual(details[~is_flat])
    pairs = np.array([pair for pair in neighbours if not is_flat[list(pair)].any()], int)
    if not len(pairs):
        return 0.0
    correlations = np.sum(details[pairs[:, 0]] * details[pairs[:, 1]], axis=1)
    return float((np.median(correlations) - usual) / (1 - usual))


def _details(thumbs: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Each thumb's details as a vector of length 1, float32 (N,256), and which thumbs are flat, bool (N,)."""
    raw = np.frombuffer(b"".join(base64.b64decode(thumb) for thumb in thumbs), np.uint8)
    cells = raw.reshape(len(thumbs), SIDE, SIDE).astype(np.float32)
    padded = np.pad(cells, ((0, 0), (1, 1), (1, 1)), "edge")
    around = padded[:, :-2, 1:-1] + padded[:, 2:, 1:-1] + padded[:, 1:-1, :-2] + padded[:, 1:-1, 2:]
    details = (cells - around / 4).reshape(len(thumbs), SIDE * SIDE)
    details -= details.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(details, axis=1, keepdims=True)
    is_flat = lengths[:, 0] < MIN_DETAIL * SIDE  # length = spread x 16, the root of 256 cells
    details /= np.maximum(lengths, 1e-6)
    details[is_flat] = 0
    return details, is_flat


def _usual(details: np.ndarray) -> float:
    """Median correlation of two pictures of the set, from at most NUM_SAMPLED of them; 0 to MAX_USUAL."""
    sample = details[:: max(1, -(-len(details) // NUM_SAMPLED))]
    if len(sample) < 2:
        return 0.0
    correlations = (sample @ sample.T)[np.triu_indices(len(sample), 1)]
    return float(np.clip(np.median(correlations), 0, MAX_USUAL))
