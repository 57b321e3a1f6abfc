"""Pictures for people: overlays, error maps, thumbnails; and masks as PNG.

Shape letters: H height, W width, C channels.
"""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from unetlab.data.labels.masks import IGNORE

# Okabe and Ito: told apart by all common forms of colour blindness, and both by brightness as well.
MISSED_COLOR = "#e69f00"
FALSE_COLOR = "#0072b2"
WRONG_CLASS_COLOR = "#cc79a7"
OUTLINE_COLOR = "#ffffff"
OUTLINE_SHADOW = "#000000"
OUTLINED_PX = 256  # width for each of which an outline reaches a pixel further: 1 to 2 px where 144 are shown


def overlay(
    image: np.ndarray,
    mask: np.ndarray,
    colors: Sequence[str | None],
    *,
    opacity: float = 0.45,
    truth: np.ndarray | None = None,
    background: int | None = None,
) -> np.ndarray:
    """The picture tinted by class, uint8 RGB (H,W,3).

    image: float (H,W,C) in 0..1. mask: class ids (H,W). colors: "#rrggbb" per class id; None leaves a class
    untinted, as are the `background` class and IGNORE. truth: class ids (H,W) drawn as a white outline with a
    dark rim, so that it shows on any colour; as wide as a thumbnail of the picture needs it.
    """
    picture = to_rgb(image).astype(np.float32)
    for class_id, color in enumerate(colors):
        if color is None or class_id == background:
            continue
        where = mask == class_id
        picture[where] += opacity * (rgb(color) - picture[where])
    result = picture.round().astype(np.uint8)
    if truth is not None:
        reach = round(truth.shape[1] / OUTLINED_PX)
        edge = _grown(outline(truth), reach)
        result[_grown(edge, reach // 2 or 1) & ~edge] = rgb(OUTLINE_SHADOW)
        result[edge] = rgb(OUTLINE_COLOR)
    return result


def error_map(
    image: np.ndarray, prediction: np.ndarray, truth: np.ndarray, *, background: int | None = None, fade: float = 0.6
) -> np.ndarray:
    """Where a prediction is wrong, uint8 RGB (H,W,3): right pixels show a pale grey picture.

    MISSED_COLOR: truth is an object, prediction the background. FALSE_COLOR: the reverse. WRONG_CLASS_COLOR:
    one class taken for another; all errors, when there is no background. Ignored pixels are hatched.
    """
    grey = to_rgb(image).astype(np.float32).mean(axis=2, keepdims=True)
    result = np.repeat(255 - (255 - grey) * (1 - fade), 3, axis=2).round().astype(np.uint8)
    counted = truth != IGNORE
    wrong = (prediction != truth) & counted
    missed = wrong & (prediction == background) if background is not None else np.zeros_like(wrong)
    false = wrong & (truth == background) if background is not None else np.zeros_like(wrong)
    result[wrong & ~missed & ~false] = rgb(WRONG_CLASS_COLOR)
    result[missed] = rgb(MISSED_COLOR)
    result[false] = rgb(FALSE_COLOR)
    rows, columns = np.indices(truth.shape)
    result[~counted & ((rows + columns) % 6 < 2)] = (128, 128, 128)
    return result


def to_rgb(image: np.ndarray) -> np.ndarray:
    """A float image (H,W,C) in 0..1 as uint8 RGB (H,W,3): grey repeated, two channels and a black one, or the
    first three."""
    channels = image.shape[2]
    if channels == 1:
        image = np.repeat(image, 3, axis=2)
    elif channels == 2:
        image = np.concatenate([image, np.zeros_like(image[:, :, :1])], axis=2)
    return (np.clip(image[:, :, :3], 0, 1) * 255).round().astype(np.uint8)


def outline(mask: np.ndarray) -> np.ndarray:
    """True (H,W) on the border pixels of regions of one class, one pixel wide on either side."""
    edge = np.zeros(mask.shape, bool)
    across, down = mask[:, 1:] != mask[:, :-1], mask[1:] != mask[:-1]
    edge[:, 1:] |= across
    edge[1:] |= down
    return edge


def thumbnail(picture: np.ndarray, size: int = 160) -> np.ndarray:
    """A uint8 picture (H,W,3) with its long side at most `size` px, aspect kept."""
    small = Image.fromarray(picture)
    small.thumbnail((size, size))
    return np.array(small)


def tiled(rows: Sequence[Sequence[np.ndarray]], *, gap_px: int = 4) -> np.ndarray:
    """Rows of uint8 pictures (H,W,3) as one picture on white; sizes may differ."""
    heights = [max(picture.shape[0] for picture in row) for row in rows]
    widths = [sum(picture.shape[1] + gap_px for picture in row) - gap_px for row in rows]
    sheet = np.full((sum(heights) + gap_px * (len(rows) - 1), max(widths), 3), 255, np.uint8)
    top = 0
    for row, height in zip(rows, heights, strict=True):
        left = 0
        for picture in row:
            sheet[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
            left += picture.shape[1] + gap_px
        top += height + gap_px
    return sheet


def jpeg(picture: np.ndarray, *, quality: int = 85) -> bytes:
    """The JPEG bytes of a uint8 picture (H,W,3) or (H,W)."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def class_ids_png(mask: np.ndarray) -> bytes:
    """The PNG bytes of class ids uint8 (H,W), lossless; light compression, written every epoch."""
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(mask, np.uint8)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def rgb(color: str) -> np.ndarray:
    """`#rrggbb` as three numbers 0..255."""
    return np.array([int(color[place : place + 2], 16) for place in (1, 3, 5)], np.float32)


def _grown(area: np.ndarray, times: int) -> np.ndarray:
    """The area and its four neighbours, so many times."""
    grown = area.copy()
    for _ in range(times):
        before = grown.copy()
        grown[1:] |= before[:-1]
        grown[:-1] |= before[1:]
        grown[:, 1:] |= before[:, :-1]
        grown[:, :-1] |= before[:, 1:]
    return grown
