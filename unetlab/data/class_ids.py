"""Class ids of the pixels of a picture, as loss and scores count them. Shape letters: H height, W width."""

import numpy as np

from unetlab.data import geometry
from unetlab.data.cache import Store
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
