"""Picture and mask files to arrays: decoded under a pixel cap, turned upright, depth kept.

Shape letters: H height, W width, C channels.
"""

import logging
import os
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Literal

import imagecodecs
import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError
from PIL.ImageFile import ImageFile
from PIL.ImagePalette import ImagePalette

from unetlab.data.readers import tiff
from unetlab.data.readers.decoders import plain_samples
from unetlab.data.readers.facts import Raster
from unetlab.data.readers.measures import measure_image as measure_image
from unetlab.data.readers.pixels import first_picture_values, mask_values, picture_values, too_large, upright
from unetlab.data.readers.planes import EVERY_PAGE, class_numbers
from unetlab.errors import UnetlabError, UnreadableFile

JPEG_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})
SUFFIXES = JPEG_SUFFIXES | {".png", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".pgm", ".ppm", ".pbm", ".pnm"}
# Only these decoders are ever started: EPS, for one, would run Ghostscript on a stranger's file.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM")
MAX_PIXELS = 100_000_000  # one decoded RGB picture stays under 300 MB
ORIENTATION_TAG = 0x0112  # EXIF; 5 to 8 are turned by a quarter
GREY_MODES = frozenset({"1", "L", "LA", "La"})
DEEP_MODES = frozenset({"I", "I;16", "I;16B", "I;16L", "I;16N", "F"})

Use = Literal["picture", "mask"]


@dataclass(frozen=True)
class Header:
    """What a file says about its picture before it is decoded; height and width as shown upright.

    channels: as `read_image` gives them. bits: 32 for integers whose values must be seen to know (signed, 32 bits).
    """

    height: int
    width: int
    channels: int
    bits: int
    pages: int


def is_picture(name: str) -> bool:
    """True when the file name ends like a picture that can be read here."""
    return os.path.splitext(name)[1].lower() in SUFFIXES


def read_image(path: Path, *, content: bytes | None = None, page: int = 0, is_as_first: bool = False) -> Raster:
    """A picture (H,W,C) as uint8, uint16 or float32, upright; C is 1 to 8. The array may be read-only.

    Alpha is dropped, a palette becomes RGB (one channel if all its colours are grey), black and white becomes 0 and
    255, every colour space RGB. content: the file's bytes where they are known already. page: counts from 0 in TIFF.
    is_as_first: as the first unetlab read it, for sets that were imported then. Raises UnreadableFile naming the file.
    """
    return _read(path, content, page, "picture", is_as_first)


def read_mask(path: Path, *, content: bytes | None = None, page: int = 0, is_as_first: bool = False) -> Raster:
    """A mask (H,W,C) as facts.Raster describes: values, palette indices, or colours, never converted into each other.

    Black and white becomes 0 and 255, -1 as the only negative value 255, shares in 0..1 become 0 to 255. A mark that
    white is zero says how to show a mask, not which class a number is: values stay as stored.
    content, page, is_as_first: as for `read_image`; page EVERY_PAGE takes all together, one a class. Raises
    UnreadableFile naming the file.
    """
    return _read(path, content, page, "mask", is_as_first)


def read_header(path: Path) -> Header:
    """Size, channels, depth and pages of a picture without decoding it. Raises UnreadableFile."""
    with _explained(path), open(path, "rb") as source:
        if tiff.is_tiff(_start_of(source, path.name)):
            opened = tiff.open_tiff(source, path.name, max_pixels=MAX_PIXELS)
            channels = 3 if opened.colour_space else opened.channels - _drops_alpha(opened)
            if opened.palette is not None:
                channels = 1 if _is_grey(opened.palette) else 3
            bits = {"bool": 8, "uint8": 8, "uint16": 16}.get(opened.dtype.name, 32)
            return Header(opened.height, opened.width, channels, bits, opened.pages)
        with _picture(source, path.name) as picture:
            height, width = picture.height, picture.width
            # Asking a PNG for EXIF decodes all of it; ImageMagick writes it after the pixels.
            has_exif = picture.format != "PNG" or _has_exif(picture) or b"eXIf" in _whole(source)
            if has_exif and _orientation(picture) > 4:
                height, width = width, height
            bits = 32 if picture.mode == "F" else 16 if picture.mode in DEEP_MODES or _deep_png_mode(picture) else 8
            return Header(height, width, _num_channels(picture), bits, 1)


def _read(path: Path, content: bytes | None, page: int, use: Use, is_as_first: bool) -> Raster:
    with _explained(path), open(path, "rb") if content is None else BytesIO(content) as source:
        if tiff.is_tiff(_start_of(source, path.name)):
            return _read_tiff(source, path.name, page, use, is_as_first)
        _check_page(path.name, page, 1)
        with _picture(source, path.name) as picture:
            is_lossy = picture.format in ("JPEG", "MPO") or (picture.format == "WEBP" and _is_lossy_webp(source))
            return _raster(picture, source, path.name, use)._replace(is_lossy=is_lossy)


def _read_tiff(source: BinaryIO, name: str, page: int, use: Use, is_as_first: bool) -> Raster:
    opened = tiff.open_tiff(source, name, max_pixels=MAX_PIXELS)
    if page == EVERY_PAGE:
        return _one_a_class(opened, (opened.read(number, as_stored=True) for number in range(opened.pages)))
    _check_page(name, page, opened.pages)
    if opened.colour_space:
        raster = _raster(opened.picture(page), source, name, use)
        return raster._replace(mode=opened.mode, pages=opened.pages, is_lossy=opened.is_lossy)
    samples = opened.read(page, as_stored=use == "mask" and not is_as_first)
    if use == "picture":
        samples = samples[:, :, :-1] if _drops_alpha(opened) else samples
        values = (first_picture_values if is_as_first else picture_values)(samples, nodata=opened.nodata)
        return Raster(mode=opened.mode, pages=opened.pages, is_lossy=opened.is_lossy, **values._asdict())
    if opened.channels not in (1, 3) and not opened.has_alpha:
        try:
            return _one_a_class(opened, np.split(samples, opened.channels, axis=2))
        except UnreadableFile as error:
            raise UnreadableFile(
                f"{name} has {opened.channels} channels; a mask has one channel of class values, RGB colours, or one "
                "channel a class. Save it as one channel in which each class has its own number."
            ) from error
    values, num_invalid = mask_values(samples, name, nodata=opened.nodata)
    is_negative = opened.is_negative and not is_as_first
    return Raster(values, opened.mode, opened.pages, opened.is_lossy, num_invalid=num_invalid, is_negative=is_negative)


def _one_a_class(opened: tiff.OpenTiff, planes: Iterable[np.ndarray]) -> Raster:
    numbers = class_numbers(planes, opened.name)
    if numbers.shape[2] > 1:
        raise UnreadableFile(f"The pages of {opened.name} have {numbers.shape[2]} channels each; planes have one.")
    return Raster(numbers, opened.mode, opened.pages, opened.is_lossy)


def _raster(picture: Image.Image, source: BinaryIO, name: str, use: Use) -> Raster:
    mode = picture.mode
    wanted = _wanted_mode(picture, use)
    palette: tuple[int, ...] = ()
    if deep := _deep_png_mode(picture):
        content = _whole(source)
        samples = imagecodecs.png_decode(content)
        has_exif = _has_exif(picture) or b"eXIf" in content
        mode = f"{deep};16"
    else:
        plain = plain_samples(picture, _whole(source)) if picture.mode == wanted else None
        samples = np.asarray(_converted(picture, wanted)) if plain is None else plain
        has_exif = picture.format != "PNG" or _has_exif(picture)
        if wanted == "P":
            palette = _colours(picture)
    samples = samples[:, :, None] if samples.ndim == 2 else samples
    orientation = _orientation(picture) if has_exif else 1
    samples = upright(samples, orientation) if orientation != 1 else samples
    if use == "mask":
        values, num_invalid = mask_values(samples, name)
        return Raster(values, mode, palette=palette, num_invalid=num_invalid, orientation=orientation)
    samples = samples[:, :, :-1] if samples.shape[2] in (2, 4) else samples
    return Raster(mode=mode, orientation=orientation, **picture_values(samples)._asdict())


def _wanted_mode(picture: Image.Image, use: Use) -> str:
    """Pillow's mode to convert to before pixels are taken; must be asked before the picture is loaded."""
    mode = picture.mode
    if mode in DEEP_MODES:
        return mode
    if use == "mask":
        exact = {"1": "L", "L": "L", "P": "P", "LA": "LA", "La": "LA", "PA": "RGBA", "RGBA": "RGBA", "RGBa": "RGBA"}
        return exact.get(mode, "RGB")
    return "L" if _num_channels(picture) == 1 else "RGB"


def _num_channels(picture: Image.Image) -> int:
    if picture.mode in ("P", "PA") and picture.palette:
        return 1 if _is_grey(_entries(picture.palette)) else 3
    mode = _deep_png_mode(picture) or picture.mode
    return 1 if mode in GREY_MODES or mode in DEEP_MODES else 3


def _entries(palette: ImagePalette) -> np.ndarray:
    """Colours uint8 (N,3) of a palette as it lies in the file, before Pillow has loaded the picture."""
    layout, content = palette.getdata()
    num_entries = len(content) // len(layout)
    return np.frombuffer(content, np.uint8)[: num_entries * len(layout)].reshape(num_entries, -1)[:, :3]


def _is_grey(entries: np.ndarray) -> bool:
    return bool((entries == entries[:, :1]).all())


def _converted(picture: Image.Image, wanted: str) -> Image.Image:
    if picture.mode == "LAB":
        lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        picture = ImageCms.profileToProfile(picture, lab, rgb, outputMode="RGB") or picture
    return picture if picture.mode == wanted else picture.convert(wanted)


def _colours(picture: Image.Image) -> tuple[int, ...]:
    """The colour 0xRRGGBB of each of 256 palette indices; black where the palette ends before."""
    table = np.zeros(768, np.int64)
    entries = (picture.getpalette("RGB") or [])[:768]
    table[: len(entries)] = entries
    return tuple((table.reshape(256, 3) @ (65536, 256, 1)).tolist())


def _deep_png_mode(picture: Image.Image) -> str:
    """LA, RGB or RGBA for a PNG of 16 bits and several channels, which Pillow would cut to 8; else empty."""
    if picture.format != "PNG" or not isinstance(picture, ImageFile) or not picture.tile:
        return ""
    mode, _, depth = str(picture.tile[0].args).partition(";")
    return mode if depth == "16B" and mode != "I" else ""


def _is_lossy_webp(source: BinaryIO) -> bool:
    chunk = re.search(rb"VP8[ L]", _whole(source))
    return chunk is not None and chunk[0] == b"VP8 "


def _whole(source: BinaryIO) -> bytes:
    source.seek(0)
    return source.read()


def _has_exif(picture: Image.Image) -> bool:
    return not picture.info.keys().isdisjoint(("exif", "Raw profile type exif", "XML:com.adobe.xmp"))


def _orientation(picture: Image.Image) -> int:
    try:
        return picture.getexif().get(ORIENTATION_TAG, 1)
    except Exception:  # Pillow raises many kinds; a broken EXIF block says nothing about the pixels
        return 1


def _drops_alpha(opened: tiff.OpenTiff) -> bool:
    return opened.has_alpha and opened.dtype == np.uint8


def _start_of(source: BinaryIO, name: str) -> bytes:
    start = source.read(4)
    if not start:
        raise UnreadableFile(f"{name} is empty (0 bytes). Copy it again.")
    return start


def _check_page(name: str, page: int, pages: int) -> None:
    if not 0 <= page < pages:
        raise UnreadableFile(f"{name} has {pages} pages, counted from 0; page {page} was asked for.")


@contextmanager
def _picture(source: BinaryIO, name: str) -> Iterator[Image.Image]:
    with Image.open(source, formats=FORMATS) as picture:
        if picture.width * picture.height > MAX_PIXELS:
            raise UnreadableFile(too_large(name, f"{picture.width}×{picture.height} px", MAX_PIXELS))
        yield picture


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Raises UnreadableFile naming the file for anything that goes wrong inside."""
    # The libraries' remarks about odd files would reach the user's terminal, or stop a strict test run.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    for library in ("tifffile", "imagecodecs"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    try:
        yield
    except UnetlabError:
        raise
    except FileNotFoundError as error:
        raise UnreadableFile(f"{path.name} does not exist.") from error
    except Image.DecompressionBombError as error:
        raise UnreadableFile(too_large(path.name, "far too many pixels", MAX_PIXELS)) from error
    except UnidentifiedImageError as error:
        raise UnreadableFile(
            f"{path.name} is not a picture, whatever its name says. Known formats: {', '.join(FORMATS)}."
        ) from error
    except Exception as error:  # decoders raise a dozen kinds of error on damaged bytes; all mean the same
        raise UnreadableFile(
            f"{path.name} is damaged or cut off ({error}). Replace it with a complete copy."
        ) from error
