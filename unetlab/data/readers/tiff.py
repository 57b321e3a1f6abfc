"""TIFF files to arrays: which pages and channels a file declares, and the samples of one page.

The chain of directories is walked here before anything else sees it: tifffile follows some cycles for ever and
believes every size. It then decodes single directories. What ImageJ, OME and tifffile itself write into the
description says which directories are channels of one picture; without that, directories are pages.
Shape letters: H height, W width, C channels.
"""

import math
import re
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import tifffile
from PIL import Image
from tifffile.tifffile import jpeg_shape

from unetlab.data.readers import tiff_axes
from unetlab.data.readers.pixels import too_large, upright
from unetlab.data.readers.tiff_axes import MAX_CHANNELS
from unetlab.data.readers.tiff_directories import Directory, size_of, walk
from unetlab.errors import UnreadableFile

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # classic and BigTIFF, in both byte orders
MAX_BYTES = 400_000_000  # of one decoded page; 100 million pixels of float32
# Compressions by number: TIFF 6.0, and libtiff's tiff.h for those above 32767.
LOSSY = frozenset({6, 7})  # JPEG, old and new
# None, fax codes, LZW, JPEG, Deflate (two numbers), PackBits, LZMA, Zstandard.
READ = LOSSY | {1, 2, 3, 4, 5, 8, 32773, 32946, 34925, 50000}
ORIENTATION, GDAL_NODATA = 274, 42113  # tags
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, LAB = (
    0,
    1,
    2,
    3,
    5,
    6,
    8,
)  # photometric interpretations, TIFF 6.0


@dataclass(frozen=True)
class OpenTiff:
    """An open TIFF whose pixels are not decoded yet; height and width as shown upright.

    planes: (pages, channels) index of the directory that holds them; for channels that lie inside a directory
    there is one column.
    """

    name: str
    source: BinaryIO
    file: tifffile.TiffFile
    key: tifffile.TiffPage  # the first of `directories`; all others are alike
    directories: list[Directory]
    planes: np.ndarray
    is_transposed: bool  # written (H,W,C) as H directories of W by C pixels
    height: int
    width: int
    channels: int
    nodata: float | None

    @property
    def pages(self) -> int:
        return len(self.planes)

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.key.dtype)

    @property
    def is_lossy(self) -> bool:
        return int(self.key.compression) in LOSSY

    @property
    def has_alpha(self) -> bool:
        """True when the last channel is announced as alpha, or is the fourth beside RGB and not announced."""
        if self.planes.shape[1] > 1:
            return False
        samples, extra = self.key.samplesperpixel, tuple(int(sample) for sample in self.key.extrasamples)
        if samples == 2:
            return extra in ((1,), (2,))
        return samples == 4 and self.key.photometric == RGB and extra in ((), (1,), (2,), (999,))

    @property
    def is_boolean_array(self) -> bool:
        """True where tifffile wrote an array of booleans: it says white is zero, and means True and False."""
        return self.key.bitspersample == 1 and str(self.key.software).startswith("tifffile")

    @property
    def is_one_run(self) -> bool:
        """True when one directory stands for all planes, which follow each other without a gap (ImageJ)."""
        return len(self.directories) < self.planes.size

    @property
    def mode(self) -> str:
        """Pillow's name for the samples where it has one, else like "TIFF uint16 x4"."""
        if self.colour_space:
            return self.colour_space.upper() if self.colour_space == "RGBa" else self.colour_space
        plain = {("uint8", 1): "L", ("uint8", 3): "RGB", ("uint16", 1): "I;16", ("float32", 1): "F", ("bool", 1): "1"}
        if self.has_alpha and self.dtype == np.uint8:
            return "LA" if self.channels == 2 else "RGBA"
        return plain.get((self.dtype.name, self.channels), f"TIFF {self.dtype.name} x{self.channels}")

    @property
    def palette(self) -> np.ndarray | None:
        """Colours uint8 (N,3) where the samples are palette indices of at most 8 bits; else None."""
        colors = self.key.colormap
        if self.key.photometric != PALETTE or self.channels != 1 or self.dtype.itemsize > 1 or colors is None:
            return None
        return (colors.T >> (8 if colors.max() > 255 else 0)).astype(np.uint8)  # some writers scale to 255, not 65535

    @property
    def colour_space(self) -> str:
        """Pillow's mode of 8-bit samples that are neither grey nor RGB: P, CMYK, LAB, YCbCr or RGBa; else empty."""
        if self.palette is not None:
            return "P"
        if self.dtype != np.uint8 or self.planes.shape[1] > 1:
            return ""
        if self.has_alpha and self.channels == 4 and tuple(self.key.extrasamples) == (1,):
            return "RGBa"  # premultiplied by alpha
        # tifffile turns YCbCr to RGB where it decodes JPEG
        spaces = {(CMYK, 4): "CMYK", (LAB, 3): "LAB", (YCBCR, 3): "" if self.is_lossy else "YCbCr"}
        return spaces.get((int(self.key.photometric), self.channels), "")

    @property
    def is_negative(self) -> bool:
        """True where the mark white-is-zero asks to show samples of up to 8 bits the other way round."""
        is_marked = self.key.photometric == WHITE_IS_ZERO and self.dtype in (np.uint8, np.bool_)
        return is_marked and not self.is_boolean_array

    def read(self, page: int, *, as_stored: bool = False) -> np.ndarray:
        """The samples of one page (H,W,C), upright, in the file's own type.

        Greys of 2 and 4 bits are scaled to 0..255 as PNG has it. Negatives are turned around, to be looked at; not so
        as_stored, for numbers that mean something.
        """
        planes = [self._plane(int(index)) for index in self.planes[page]]
        samples = np.stack([plane[:, :, 0] for plane in planes]) if self.is_transposed else np.dstack(planes)
        photometric, bits = self.key.photometric, self.key.bitspersample
        if photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO) and bits in (2, 4):
            samples = samples * np.uint8(255 // (2**bits - 1))
        if self.is_negative and not as_stored:
            samples = ~samples
        return upright(samples, _orientation(self.key))

    def picture(self, page: int) -> Image.Image:
        """One page as a Pillow picture of mode `colour_space`."""
        samples = self.read(page).astype(np.uint8)
        height, width, _ = samples.shape
        picture = Image.frombytes(self.colour_space, (width, height), samples.tobytes())
        if self.palette is not None:
            picture.putpalette(self.palette.tobytes())
        return picture

    def _plane(self, index: int) -> np.ndarray:
        key = self.key
        if self.is_one_run:
            handle = self.file.filehandle
            handle.seek(key.dataoffsets[0] + index * key.nbytes)
            samples = handle.read_array(self.file.byteorder + self.dtype.char, math.prod(key.shaped))
            samples = samples.reshape(key.shaped).astype(self.dtype)
        else:
            directory = _page(self.file, self.directories[index].offset)
            _check_segments(directory, size_of(self.source))
            samples = directory.asarray(squeeze=False, maxworkers=1)
        # tifffile's five axes: separate samples, depth (1), H, W, samples side by side
        separate, _, height, width, contiguous = samples.shape
        return samples.transpose(2, 3, 0, 1, 4).reshape(height, width, separate * contiguous)


def is_tiff(start: bytes) -> bool:
    """True when a file that begins with these bytes (at least 4) is a TIFF, whatever its name says."""
    return start[:4] in MAGIC


def open_tiff(source: BinaryIO, name: str, *, max_pixels: int) -> OpenTiff:
    """What a TIFF declares, checked before anything is decoded. name: what errors call the file.

    Raises UnreadableFile for pictures beyond `max_pixels` or of more than 8 channels, other errors for damage.
    """
    every = list(walk(source))
    first = min(every, key=lambda directory: (directory.is_secondary, -directory.area))
    directories = [directory for directory in every if directory[1:] == first[1:]]
    source.seek(0)
    file = tifffile.TiffFile(source, is_lsm=False, is_scanimage=False, is_ndpi=False)
    key = _page(file, first.offset)
    _check_samples(key, name, max_pixels)
    axes = tiff_axes.declared(str(file.pages.first.description), tuple(key.shape))
    num_planes, num_declared = len(directories), math.prod(axes.values())
    if num_planes == 1 and key.is_contiguous and key.dataoffsets[0] + num_declared * key.nbytes <= size_of(source):
        num_planes = num_declared
    planes = tiff_axes.arrange(axes, num_planes, key.samplesperpixel)
    height, width, channels = key.imagelength, key.imagewidth, key.samplesperpixel * planes.shape[1]
    is_transposed = axes == {tiff_axes.ROWS: num_planes}
    if is_transposed:
        height, width, channels = num_planes, key.imagelength, key.imagewidth
        planes = planes.reshape(1, num_planes)
    if channels > MAX_CHANNELS:
        words = ", ".join(f"{axis} {size}" for axis, size in axes.items() if size > 1) or "all in one directory"
        raise UnreadableFile(
            f"{name} has {channels} channels ({words}); at most {MAX_CHANNELS} are read. Save the channels that "
            "matter as a file of their own; slices of a stack belong in pages (axis Z or T), not in channels."
        )
    num_bytes = height * width * channels * np.dtype(key.dtype).itemsize
    if height * width > max_pixels or num_bytes > MAX_BYTES:
        raise UnreadableFile(
            f"{name} takes {num_bytes // 1_000_000} MB when decoded ({width}×{height} px, {channels} channels of "
            f"{key.dtype}); at most {MAX_BYTES // 1_000_000} MB are. Cut the picture into tiles."
        )
    if _orientation(key) in (5, 6, 7, 8):
        height, width = width, height
    nodata = _nodata(key)
    return OpenTiff(name, source, file, key, directories, planes, is_transposed, height, width, channels, nodata)


def _page(file: tifffile.TiffFile, offset: int) -> tifffile.TiffPage:
    file.filehandle.seek(offset)
    return tifffile.TiffPage(file, 0)


def _check_samples(key: tifffile.TiffPage, name: str, max_pixels: int) -> None:
    if int(key.compression) not in READ:
        raise UnreadableFile(
            f"{name} is compressed by {getattr(key.compression, 'name', key.compression)}, which is not read here. "
            "Save it without compression or with LZW."
        )
    if key.dtype is None or np.dtype(key.dtype).kind not in "buif" or key.imagedepth != 1:
        raise UnreadableFile(
            f"{name} holds samples of a kind that is not read here ({key.bitspersample} bits, {key.dtype}, depth "
            f"{key.imagedepth}). Save it as 8 or 16-bit integers or as 32-bit floating point, one page a slice."
        )
    if key.imagewidth * key.imagelength > max_pixels:
        raise UnreadableFile(too_large(name, f"{key.imagewidth}×{key.imagelength} px", max_pixels))
    if key.nbytes < 1 or key.nbytes > MAX_CHANNELS * MAX_BYTES:
        raise ValueError(f"{key.imagewidth}×{key.imagelength} px of {key.samplesperpixel} samples")


def _check_segments(page: tifffile.TiffPage, size: int) -> None:
    """ValueError where strips or tiles are missing, end beyond the file, or are many times as large as the picture."""
    if min(len(page.dataoffsets), len(page.databytecounts)) < math.prod(page.chunked):
        raise ValueError(f"{len(page.dataoffsets)} of {math.prod(page.chunked)} parts are there")
    ends = np.asarray(page.dataoffsets, np.float64) + np.asarray(page.databytecounts, np.float64)
    if ends.max(initial=0) > size:
        raise ValueError(f"its pixels end at byte {ends.max():.0f} of {size}")
    height, width = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    most = 4 * page.imagewidth * page.imagelength * page.samplesperpixel + 2**24
    if page.is_tiled and not 0 < len(page.dataoffsets) * height * width * page.tiledepth <= most:
        raise ValueError(f"tiles of {width}×{height} px")
    if page.compression in LOSSY:
        for offset, num_bytes in zip(page.dataoffsets, page.databytecounts, strict=True):
            page.parent.filehandle.seek(offset)
            _, inner_height, inner_width, _ = jpeg_shape(page.parent.filehandle.read(num_bytes))
            if inner_height > height or inner_width > width:
                raise ValueError(f"a JPEG of {inner_width}×{inner_height} px in a part of {width}×{height} px")


def _orientation(page: tifffile.TiffPage) -> int:
    value = page.tags.valueof(ORIENTATION)
    return value if isinstance(value, int) else 1


def _nodata(page: tifffile.TiffPage) -> float | None:
    """GDAL's value for "nothing measured here". It says the same of NaN, which needs no name."""
    text = re.fullmatch(r"\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*", str(page.tags.valueof(GDAL_NODATA)))
    return float(text[1]) if text else None
