"""Class ids of a pair as loss and scores count them, and how many pixels each class has.

All counts of a set come from here: those of a stored mask would be others where it is scaled to its picture.
Shape letters: H height, W width, K classes.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from unetlab.data import geometry
from unetlab.data.cache import Facts, Store
from unetlab.data.checks import polarity
from unetlab.data.labels import masks
from unetlab.data.labels.masks import IGNORE, Reading, Survey
from unetlab.data.labels.renumbering import facts_of, reading_of
from unetlab.data.manifest import Pair
from unetlab.data.readers.facts import MaskFacts
from unetlab.data.readers.pixels import upright


def class_ids(pair: Pair, reading: Reading, store: Store) -> np.ndarray:
    """Class ids uint8 (H,W) of a pair at its picture's size; IGNORE where the mask says so or nothing was measured."""
    own = reading_of(reading, pair.renumbered)
    ids = masks.apply(own, store.pixels(pair.mask_key), store.entries[pair.mask_key].palette)
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
        known = masks.class_pixels(reading_of(reading, pair.renumbered), facts)
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


def survey_of(pairs: Sequence[Pair], facts: Mapping[str, Facts]) -> Survey:
    """Every value that the masks hold, as the set numbers its classes (`Pair.renumbered`). facts: by mask key."""
    stored: list[MaskFacts] = [facts[pair.mask_key] for pair in pairs]  # type: ignore[misc]
    found = masks.survey(stored)
    if not any(pair.renumbered for pair in pairs):
        return found
    return masks.survey(facts_of(mask, pair.renumbered, found.part) for pair, mask in zip(pairs, stored, strict=True))
