"""What is measured of each picture and mask when it is decoded, once, and kept beside its pixels.

Everything that is later said about a set (which readings its masks allow, shares, duplicates, empty masks)
is computed from these facts; no pixel is read again. Models only; `images` and `masks` do the measuring.
Shape letters: H height, W width, C channels.
"""

from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

MAX_VALUES_KEPT = 256  # commonest values of one mask that are kept by number; JPEG masks have many thousands


class Raster(NamedTuple):
    """One decoded picture or mask (H,W,C), upright, exactly as it is kept in the cache.

    A picture has 1 to 8 channels of uint8, uint16 or float32. A mask has 1 (grey, palette index; uint8 or uint16),
    2 (grey and alpha), 3 (RGB) or 4 (RGB and alpha; uint8).
    """

    pixels: np.ndarray
    mode: str  # what the file said: "L", "P", "RGB", "I;16", "TIFF uint16 x4", ...
    pages: int = 1
    is_lossy: bool = False
    palette: tuple[int, ...] = ()  # masks of mode P: colour 0xRRGGBB of each index
    num_invalid: int = 0  # pixels of a picture that hold no measurement; samples of a mask that were read as 0
    orientation: int = 1  # the EXIF orientation that was applied to make it upright
    fill: float | None = None  # what pixels without a measurement hold, in all channels; None where there are none
    marks: tuple[str, ...] = ()  # what marked them in the file: "NaN", "-9999"
    is_negative: bool = False  # a mask that the file asks to show the other way round, which was done at first

    @property
    def is_reread(self) -> bool:
        """True where the first unetlab read other pixels from the same file (docs/decisions/0015)."""
        return self.fill is not None or self.is_negative


class ImageFacts(BaseModel):
    """One decoded picture. Lists have one entry per channel, in the file's own units."""

    model_config = ConfigDict(frozen=True)
    mode: str  # what the file said: "L", "RGB", "I;16", "CMYK", "TIFF uint16 x4", ...
    bits: Literal[8, 16, 32]  # stored as uint8, uint16, float32
    pages: int = 1  # pages in the file this picture comes from
    low: list[float]
    high: list[float]
    mean: list[float]
    std: list[float]
    num_invalid: int = 0  # pixels that hold no measurement; all other facts leave them out
    marks: list[str] = []  # what marks them in the file: "NaN", "infinity", "-9999"
    orientation: int = 1  # EXIF; applied already
    num_levels: int  # distinct intensities, the largest count over channels (of a sample where bits > 8)
    thumb: str  # base64 of 16x16 uint8: grey, area-averaged, stretched to the picture's own range

    @property
    def channels(self) -> int:
        return len(self.low)


class MaskFacts(BaseModel):
    """One decoded mask. `values` are its commonest values with their pixels, at most MAX_VALUES_KEPT.

    mode `grey`: grey values of any depth. `palette`: palette indices, `palette` gives the colour 0xRRGGBB of each
    used index. `colour`: values are colours 0xRRGGBB. `histogram`: pixels per brightness 0..255, only where
    `num_values` is more than MAX_VALUES_KEPT. `alpha`: pixels per alpha value, where the file has an alpha channel.
    """

    model_config = ConfigDict(frozen=True)
    mode: Literal["grey", "palette", "colour"]
    bits: Literal[8, 16, 32] = 8
    pages: int = 1
    is_lossy: bool = False  # JPEG or lossy WebP: colours are smeared
    num_pixels: int
    values: dict[int, int]
    num_values: int
    histogram: list[int] | None = None
    alpha: dict[int, int] | None = None
    palette: dict[int, int] = {}
