"""A few pairs of an inspected import, drawn as a reading would have them: seen before anything is decided."""

import numpy as np

from unetlab.data import drawing, images, masks
from unetlab.data.classes import choose_background, class_infos
from unetlab.data.inspection import Inspection
from unetlab.data.masks import IGNORE, Reading


def draw_examples(found: Inspection, reading: Reading, *, count: int = 4) -> list[tuple[str, np.ndarray]]:
    """(name, picture with its mask, uint8 RGB) of up to `count` pairs spread over the set."""
    originals = found.folder / "originals"
    chosen = found.pairs[:: max(len(found.pairs) // count, 1)][:count]
    ids = [masks.apply(reading, masks.read_values(originals / pair.mask, reading.part)) for pair in chosen]
    pixels = np.sum([np.bincount(mask.ravel(), minlength=256)[:IGNORE] for mask in ids], axis=0)
    pixels = pixels[: len(reading.groups)].tolist()
    background, _ = choose_background(reading, pixels)
    colors = [info.color for info in class_infos(reading, pixels, background=background)]
    drawn = []
    for pair, mask in zip(chosen, ids, strict=True):
        pixels_of_picture = images.read_image(originals / pair.image)
        picture = pixels_of_picture.astype(np.float32) / max(int(pixels_of_picture.max()), 1)
        drawn.append((pair.name, drawing.overlay(picture, mask, colors, background=background)))
    return drawn
