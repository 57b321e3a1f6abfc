"""Sample values to the values that are kept: pictures as uint8, uint16 or float32, masks as class values.

Arrays only; files are read in `images` and `tiff`. Shape letters: H height, W width, C channels.
"""

from typing import NamedTuple

import numpy as np

from unetlab.data.readers.nodata import DEEPEST, filled_pixels
from unetlab.errors import UnreadableFile

IGNORED = 255  # what -1 in a mask becomes: "leave this pixel out", by the custom of PASCAL VOC and Cityscapes


def too_large(name: str, size: str, max_pixels: int) -> str:
    """What to say of a picture that is not decoded because of its size."""
    return (
        f"{name} has {size}; at most {max_pixels // 1_000_000} million pixels are decoded. Cut the picture into tiles."
    )


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels (H,W,C) turned and mirrored as EXIF orientation 1 to 8 asks; any other number changes nothing."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    is_upside_down = orientation in (3, 4, 7, 8)
    is_mirrored = orientation in (2, 3, 6, 7)
    pixels = pixels[::-1] if is_upside_down else pixels
    pixels = pixels[:, ::-1] if is_mirrored else pixels
    return np.ascontiguousarray(pixels)


class PictureValues(NamedTuple):
    """Values (H,W,C) as they are kept. Filled pixels hold `fill` in all channels, which no other pixel does.

    fill: NaN in floats; None where every pixel was measured. num_invalid: filled pixels. marks: what marked them in
    the file, in words.
    """

    pixels: np.ndarray
    fill: float | None = None
    num_invalid: int = 0
    marks: tuple[str, ...] = ()


def picture_values(samples: np.ndarray, *, nodata: float | None = None) -> PictureValues:
    """The samples (H,W,C) of a picture as uint8, uint16 or float32, with those pixels marked that were not measured.

    uint8 and uint16 stay, booleans become 0 and 255, other integers uint16 where all lie in 0..65535 and float32
    elsewhere, floats float32. nodata: the value of missing pixels that the file names; `nodata.filled_pixels` says
    which others are missing.
    """
    if samples.dtype == np.bool_:
        return PictureValues(samples.astype(np.uint8) * np.uint8(255))
    is_plain = samples.dtype in (np.uint8, np.uint16)
    if is_plain and nodata is None:
        return PictureValues(samples)
    is_filled, marks = filled_pixels(samples, nodata)
    counted = {} if is_filled is None else {"num_invalid": int(np.count_nonzero(is_filled)), "marks": marks}
    if is_plain:
        return PictureValues(samples, nodata, **counted) if counted else PictureValues(samples)
    if samples.dtype.kind in "iu":
        kept = np.dtype(np.uint8 if samples.itemsize == 1 else np.uint16)
        measured = samples if is_filled is None else samples[~is_filled]
        low, high = measured.min(initial=0), measured.max(initial=0)
        top = int(np.iinfo(kept).max)
        if low >= 0 and high <= (top if is_filled is None else top - 1):
            pixels = samples.astype(kept)
            if is_filled is None:
                return PictureValues(pixels)
            pixels[is_filled] = top  # free: no pixel that was measured is as large
            return PictureValues(pixels, top, **counted)
    with np.errstate(over="ignore", invalid="ignore"):
        pixels = samples.astype(np.float32)
    if is_filled is None:
        return PictureValues(pixels)
    pixels[is_filled] = np.nan
    return PictureValues(pixels, np.nan, **counted)


def first_picture_values(samples: np.ndarray, *, nodata: float | None = None) -> PictureValues:
    """What `picture_values` gave at first: NaN, infinities and `nodata` were 0, constants were values like others."""
    if samples.dtype == np.bool_ or samples.dtype in (np.uint8, np.uint16):
        return picture_values(samples)
    with np.errstate(over="ignore", invalid="ignore"):
        is_invalid = ~np.isfinite(samples.astype(np.float32)) | (samples == _beyond_classes(nodata))
    values, num_invalid = _without(samples, is_invalid)
    is_whole = samples.dtype.kind in "iu" and values.min() >= 0 and values.max() <= DEEPEST
    kept = (np.uint8 if samples.itemsize == 1 else np.uint16) if is_whole else np.float32
    return PictureValues(values.astype(kept), num_invalid=num_invalid)


def mask_values(samples: np.ndarray, name: str, *, nodata: float | None = None) -> tuple[np.ndarray, int]:
    """(class values (H,W,C) as uint8 or uint16, how many samples were invalid) of a mask's samples (H,W,C).

    One channel: uint8 where the samples have 8 bits, else uint16. Booleans and shares in 0..1 become 0 to 255, other
    floats are rounded, -1 as the only negative value becomes 255 (ignore). NaN, infinities and `nodata` become 0, but a
    `nodata` in 0..65535 stays: it may be a class. More channels are colours: always uint8. Raises UnreadableFile where
    values would be lost.
    """
    nodata = _beyond_classes(nodata)
    if samples.dtype == np.bool_:
        return samples.astype(np.uint8) * np.uint8(255), 0
    if samples.shape[2] > 1:
        return _colours(samples, name), 0
    if samples.dtype in (np.uint8, np.uint16):
        return samples, 0
    if samples.dtype.kind == "f":
        values, num_invalid = _without(samples, ~np.isfinite(samples) | (samples == nodata))
        rounded = np.rint(values)
        if values.min() >= 0 and values.max() <= 1 and (rounded != values).any():
            return np.rint(values * 255).astype(np.uint8), num_invalid
        samples = rounded
    else:
        samples, num_invalid = _without(samples, samples == nodata)
    low, high = samples.min(), samples.max()
    if low == -1 and high < IGNORED and not ((samples < 0) & (samples != -1)).any():
        kept = np.uint8 if samples.itemsize == 1 else np.uint16
        return np.where(samples < 0, IGNORED, samples).astype(kept), num_invalid
    if low < 0 or high > DEEPEST:
        raise UnreadableFile(
            f"{name} holds mask values from {low:g} to {high:g}; a mask has whole numbers from 0 to {DEEPEST}, "
            "and -1 for pixels to leave out. Number its classes anew, starting at 0."
        )
    return samples.astype(np.uint8 if samples.itemsize == 1 else np.uint16), num_invalid


def _colours(samples: np.ndarray, name: str) -> np.ndarray:
    if samples.dtype == np.uint8:
        return samples
    if samples.dtype.kind in "iu" and samples.min() >= 0:
        if samples.max() <= 255:
            return samples.astype(np.uint8)
        if samples.dtype == np.uint16 and not (samples % 257).any():  # 65535 = 255 · 257
            return (samples // 257).astype(np.uint8)
    raise UnreadableFile(
        f"{name} is a colour mask of {samples.dtype} samples; colours of masks have 8 bits a channel, and these "
        "cannot be reduced without loss. Save it as 8-bit RGB, or as one channel of class numbers."
    )


def _beyond_classes(nodata: float | None) -> float | None:
    return None if nodata is None or 0 <= nodata <= DEEPEST else nodata


def _without(samples: np.ndarray, is_invalid: np.ndarray) -> tuple[np.ndarray, int]:
    num_invalid = int(np.count_nonzero(is_invalid))
    if num_invalid:
        samples = samples.copy()
        samples[is_invalid] = 0
    return samples, num_invalid
