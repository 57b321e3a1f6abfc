"""Pixels of a picture at which nothing was measured: NaN, infinities, the value that a file names, a far-off constant.

A pixel is filled as a whole: where one channel has no value, the pixel has none. Arrays only.
Shape letters: H height, W width, C channels.
"""

import numpy as np

DEEPEST = 65535  # the largest value that is kept as an integer
# What programs write for "nothing here": -9999 ESRI's ASCII grid and most climate tables (-999 and -99999 likewise),
# -32768 the voids of SRTM, -32767 and -2147483647 netCDF (NC_FILL_SHORT, NC_FILL_INT), -2147483648 GDAL for int32.
# Not among them: -1000, -1024, -2000 and -3024, which computed tomographs write for air and around the patient.
KNOWN_FILLS = frozenset({-999, -9999, -99999, -32767, -32768, -2147483647, -2147483648})
# No picture measures anything as large: 1e20 is CMIP's fill, 9.97e36 netCDF's (NC_FILL_FLOAT), 3.4e38 ESRI's.
BEYOND = 1e20
MIN_FILLED = 4  # pixels with one and the same value; fewer may be dead pixels of a sensor


def far_off(values: np.ndarray) -> list[float]:
    """The constants among the finite values (N,) of one channel that mark missing pixels, though the file does not say.

    One does where it is a number that programs write for that (KNOWN_FILLS, or BEYOND), lies at an end, in at least
    MIN_FILLED pixels or in all, and is further from the next value than all others are from each other. Nearer ones
    leave true values half of the intensity range or more. Unsigned integers, as cameras write them, have none: a
    constant at an end is black, or saturated.
    """
    if values.dtype.kind not in "if" or values.itemsize == 1:
        return []
    found: list[float] = []
    while len(values):
        ends = {float(values.min()), float(values.max())}
        fill = next((end for end in sorted(ends) if _is_far_off(end, values)), None)
        if fill is None:
            break
        found.append(fill)
        values = values[values != fill]
    return found


def filled_pixels(samples: np.ndarray, nodata: float | None) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """(bool (H,W) of the pixels of samples (H,W,C) that hold no measurement, or None; what marks them, in words).

    nodata: the value that the file names. One in 0..65535 may also be measured in a channel: there it counts where
    all channels hold it.
    """
    is_filled, marks = np.zeros(samples.shape, bool), []
    if samples.dtype.kind == "f":
        is_filled = np.isnan(samples)
        marks += ["NaN"] if is_filled.any() else []
        with np.errstate(over="ignore"):
            # float64 beyond the range of float32 too
            is_infinite = np.isinf(samples.astype(np.float32, copy=False))
        marks += ["infinity"] if is_infinite.any() else []
        is_filled |= is_infinite
    if nodata is not None:
        with np.errstate(over="ignore"):
            is_named = samples == nodata
        if 0 <= nodata <= DEEPEST:
            is_named &= is_named.all(axis=2, keepdims=True)
        marks += [f"{nodata:g}"] if (is_named & ~is_filled).any() else []
        is_filled |= is_named
    for channel in range(samples.shape[2] if _may_hide_fills(samples, is_filled) else 0):
        values = samples[:, :, channel]
        for fill in far_off(values[~is_filled[:, :, channel]]):
            marks.append(f"{fill:g}")
            is_filled[:, :, channel] |= values == fill
    if not is_filled.any():
        return None, ()
    return np.any(is_filled, axis=2), tuple(dict.fromkeys(marks))


def is_filled(pixels: np.ndarray, fill: float) -> np.ndarray:
    """bool (H,W): where kept pixels (H,W,C) hold `fill`, or NaN where that is NaN, in all channels."""
    is_equal = np.isnan(pixels) if np.isnan(fill) else pixels == fill
    return np.all(is_equal, axis=2)


def with_gaps(pixels: np.ndarray, fill: float) -> np.ndarray:
    """Kept pixels (H,W,C) as float32, NaN where they are filled."""
    values = pixels.astype(np.float32)
    values[is_filled(pixels, fill)] = np.nan
    return values


def _may_hide_fills(samples: np.ndarray, is_filled: np.ndarray) -> bool:
    """False for nearly all pictures, without a copy of them: their values end below what fills begin with."""
    if samples.dtype.kind not in "if":
        return False
    low, high = (float(end(where=~is_filled, initial=0)) for end in (samples.min, samples.max))
    return low <= max(KNOWN_FILLS) or high >= BEYOND


def _is_far_off(end: float, values: np.ndarray) -> bool:
    if end not in KNOWN_FILLS and abs(end) < BEYOND:
        return False
    is_end = values == end
    rest = values[~is_end]
    if not len(rest):
        return True
    low, high = float(rest.min()), float(rest.max())
    gap = low - end if end < low else end - high
    return int(np.count_nonzero(is_end)) >= MIN_FILLED and gap > high - low
