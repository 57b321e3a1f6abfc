"""Class ids of a pair as loss and scores count them, and how many pixels each class has.

All counts of a set come from here: those of a stored mask would be others where it is scaled to its picture.
Shape letters: H height, W width, K classes.
"""

from collections.abc import Sequence

import numpy as np

from unetlab.data import geometry
from unetlab.data.cache import Store
from unetlab.data.checks import polarity
from unetlab.data.labels import masks
from unetlab.data.labels.masks import IGNORE, Reading
from unetlab.data.manifest import Pair
from unetlab.data.readers.facts import MaskFacts
from unetlab.data.readers.pixels import upright


def class_ids(pair: Pair, reading: Reading, store: Store) -> np.ndarray:
    """Class ids uint8 (H,W) of a pair at its picture's size; IGNORE where the mask says so or nothing was measured."""
    ids = masks.apply(reading, store.pixels(pair.mask_key), store.entries[pair.mask_key].palette)
    ids = upright(ids[:, :, None], pair.mask_orientation)[:, :, 0]
    ids = geometry.resize_mask(ids, (pair.height, pair.width))
    filled = store.filled(pair.image_key)
    if filled is not None:
        ids[filled] = IGNORE
    return ids


def class_pixels(pair: Pair, reading: Reading, store: Store, facts: MaskFacts) -> list[int]:
    """Pixels of class 0 to K-1 in `class_ids`: from the facts of the mask, or counted where only the ids can tell."""
    stored = store.entries[pair.mask_key]
    size = (stored.width, stored.height) if pair.mask_orientation > 4 else (stored.height, stored.width)
    if size == (pair.height, pair.width) and store.entries[pair.image_key].fill is None:
        known = masks.class_pixels(reading, facts)
        if known is not None:
            return known
    return np.bincount(class_ids(pair, reading, store).ravel(), minlength=256)[: len(reading.groups)].tolist()


def swapped_masks(reading: Reading, pairs: Sequence[Pair], store: Store) -> list[int]:
    """Places of the pairs whose mask has its two classes the wrong way round; few pixels are read, mostly none."""
    if len(reading.groups) != 2 or reading.kind == "instances":
        return []

    def look(place: int) -> polarity.Look:
        pair = pairs[place]
        return polarity.look_at(class_ids(pair, reading, store), store.pixels(pair.image_key))

    return polarity.swapped_places(np.array([pair.class_pixels for pair in pairs]), look)
