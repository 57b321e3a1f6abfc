"""Class ids of the pixels of a picture, as loss and scores count them. Shape letters: H height, W width."""

from collections.abc import Sequence

import numpy as np

from unetlab.data import geometry
from unetlab.data.cache import Store
from unetlab.data.checks import polarity
from unetlab.data.labels import masks
from unetlab.data.labels.masks import IGNORE, Reading
from unetlab.data.manifest import Pair
from unetlab.data.readers.pixels import upright


def class_ids(reading: Reading, pair: Pair, store: Store) -> np.ndarray:
    """Class ids uint8 (H,W) of a pair at its picture's size; IGNORE where the mask says so or nothing was measured."""
    ids = masks.apply(reading, store.pixels(pair.mask_key), store.entries[pair.mask_key].palette)
    ids = upright(ids[:, :, None], pair.mask_orientation)[:, :, 0]
    ids = geometry.resize_mask(ids, (pair.height, pair.width))
    filled = store.filled(pair.image_key)
    if filled is not None:
        ids[filled] = IGNORE
    return ids


def swapped_masks(reading: Reading, pairs: Sequence[Pair], store: Store) -> list[int]:
    """Places of the pairs whose mask has its two classes the wrong way round; few pixels are read, mostly none."""
    if len(reading.groups) != 2 or reading.kind == "instances":
        return []

    def look(place: int) -> polarity.Look:
        pair = pairs[place]
        return polarity.look_at(class_ids(reading, pair, store), store.pixels(pair.image_key))

    return polarity.swapped_places(np.array([pair.class_pixels for pair in pairs]), look)
