"""Picture files to arrays: decoded under a pixel cap, turned upright, depth kept.

Shape letters: H height, W width, C channels (1 grey, 3 RGB).
"""

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from unetlab.errors import UnetlabError, UnreadableFile

JPEG_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif"})
SUFFIXES = JPEG_SUFFIXES | {".png", ".tif", ".tiff", ".bmp", ".gif", ".webp", ".pgm", ".ppm", ".pbm", ".pnm"}
# Only these decoders are ever started: EPS, for one, would run Ghostscript on a stranger's file.
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM")
MAX_PIXELS = 100_000_000  # one decoded RGB picture stays under 300 MB
ORIENTATION_TAG = 0x0112  # EXIF; 5 to 8 are turned by a quarter

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Header:
    """What a file says about its picture before it is decoded; height and width as shown upright."""

    height: int
    width: int
    channels: int
    is_deep: bool  # 16 bits a pixel
    num_pages: int


def is_picture(name: str) -> bool:
    """True when the file name ends like a picture that can be read here."""
    return Path(name).suffix.lower() in SUFFIXES


def read_header(path: Path) -> Header:
    """Size, channels and depth of a picture without decoding it. Raises UnreadableFile."""
    return decode(path, _header)


def read_image(path: Path) -> np.ndarray:
    """A picture as (H,W,C): uint8, or uint16 where the file holds 16 bits. C is 1 (grey) or 3 (RGB).

    Alpha is dropped, a palette becomes RGB, black and white becomes 0 and 255, EXIF rotation is applied.
    Raises UnreadableFile naming the file.
    """
    return decode(path, _pixels)


def decode(path: Path, convert: Callable[[Image.Image], Result]) -> Result:
    """What `convert` makes of the opened picture. Raises UnreadableFile for anything wrong with the file."""
    # Pillow's remarks about odd files would reach the user's terminal, or stop a strict test run.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    try:
        with Image.open(path, formats=FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise UnreadableFile(_too_large(path, f"{picture.width}×{picture.height} px"))
            if picture.mode == "F":
                raise UnreadableFile(f"{path.name} holds 32-bit floating point numbers. Save it as 16-bit grey.")
            return convert(picture)
    except UnetlabError:
        raise
    except FileNotFoundError as error:
        raise UnreadableFile(f"{path.name} does not exist.") from error
    except Image.DecompressionBombError as error:
        raise UnreadableFile(_too_large(path, "far too many pixels")) from error
    except UnidentifiedImageError as error:
        raise UnreadableFile(_not_a_picture(path)) from error
    except Exception as error:  # decoders raise a dozen kinds of error on damaged bytes; all mean the same
        raise UnreadableFile(
            f"{path.name} is damaged or cut off ({error}). Replace it with a complete copy."
        ) from error


def upright(picture: Image.Image) -> Image.Image:
    """The picture turned as its EXIF orientation asks; the same picture when there is none."""
    turned = ImageOps.exif_transpose(picture)
    return picture if turned is None else turned


def deep_pixels(picture: Image.Image) -> np.ndarray:
    """Pixels of a 16-bit grey picture (modes I;16, I) as uint16 (H,W), without Pillow's clipping at 255."""
    values = np.asarray(picture)
    if values.min() < 0 or values.max() > 65535:
        raise ValueError(f"its values {values.min()} to {values.max()} do not fit in 16 bits, 0 to 65535")
    return values.astype(np.uint16)


def in_order(function: Callable[[Item], Result], items: Iterable[Item], *, workers: int = 2) -> Iterator[Result]:
    """`function` of each item, in the items' order, computed in threads (Pillow decodes outside the GIL).

    At most four results a worker wait in memory, however many items there are.
    """
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) >= 4 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def is_deep_mode(mode: str) -> bool:
    """True for Pillow's modes of 16 bits a pixel and more."""
    return mode == "I" or mode.startswith("I;16")


def _header(picture: Image.Image) -> Header:
    height, width = picture.height, picture.width
    # Asking a PNG for EXIF that it did not announce would decode all of it.
    has_exif = picture.format != "PNG" or "exif" in picture.info
    if has_exif and picture.getexif().get(ORIENTATION_TAG, 1) in (5, 6, 7, 8):
        height, width = width, height
    is_deep = is_deep_mode(picture.mode)
    is_grey = is_deep or picture.mode in ("1", "L", "LA", "La")
    num_pages = getattr(picture, "n_frames", 1) if picture.format == "TIFF" else 1
    return Header(height, width, 1 if is_grey else 3, is_deep, num_pages)


def _pixels(picture: Image.Image) -> np.ndarray:
    picture = upright(picture)
    if is_deep_mode(picture.mode):
        return deep_pixels(picture)[:, :, None]
    is_grey = picture.mode in ("1", "L", "LA", "La")
    wanted = "L" if is_grey else "RGB"
    pixels = np.array(picture if picture.mode == wanted else picture.convert(wanted))
    return pixels[:, :, None] if is_grey else pixels


def _too_large(path: Path, size: str) -> str:
    return (
        f"{path.name} has {size}; at most {MAX_PIXELS // 1_000_000} million pixels are decoded. "
        "Cut the picture into tiles."
    )


def _not_a_picture(path: Path) -> str:
    if path.stat().st_size == 0:
        return f"{path.name} is empty (0 bytes). Copy it again."
    return f"{path.name} is not a picture, whatever its name says. Known formats: {', '.join(FORMATS)}."
