"""Masks of two classes in which object and background are swapped beside the others of their set.

A mask may hold much of a class because an object fills its picture. So one counts as swapped only where, swapped back,
it would be like the others, and as it is nobody could take it for one of them. Measured on ISBI, CrackForest and
the classes of CamVid one by one, 390 draws of 6 to 110 masks: none named; of those swapped, an eighth, half were named.
Of 9,000 sets of made-up ellipses, a fifth of them close-ups that fill the picture, two had a mask named.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

MIN_OTHERS = 4  # masks to hold the odd ones against
MANY_OTHERS = 8  # fewer are all bright or all dark by chance
MAX_LOOKED_AT = 64  # masks of either kind whose pixels are read
MAX_PIXELS = 65_536  # of a mask, beside its border
FREE_BORDER = 0.02  # objects that fill less of the border do not touch it
APART = 0.1  # a share that is further from all others belongs to none of them
CLEAR_CONTRAST = 0.2  # standard deviations of a picture; a smaller difference may be chance
MOSTLY = 0.9  # of the masks


class Look(NamedTuple):
    """A mask beside its picture: the share of class 1 in all and in border pixels, how much brighter it is (std)."""

    share: float
    border: float
    contrast: float


def look_at(ids: np.ndarray, image: np.ndarray) -> Look:
    """The look of class ids (H,W) beside a picture (H,W,C); ids above 1 do not count."""
    step = max(1, int(np.sqrt(ids.size / MAX_PIXELS)))
    border = np.concatenate([ids[0], ids[-1], ids[:, 0], ids[:, -1]])
    small, grey = ids[::step, ::step], image[::step, ::step].astype(np.float32).mean(axis=2)
    inside, outside = grey[small == 1], grey[small == 0]
    spread = float(grey[small < 2].std()) if len(inside) and len(outside) else 0.0
    contrast = float(inside.mean() - outside.mean()) / spread if spread else 0.0
    return Look(_share(small), _share(border), contrast)


def swapped_places(counts: np.ndarray, look: Callable[[int], Look]) -> list[int]:
    """Places of the masks that are swapped beside the others; empty where that cannot be told.

    counts: pixels (N,2) of the two classes in each mask; masks of one class tell nothing. look: gives the look of the
    mask at a place; asked for few, and only where the counts give reason to.
    """
    shares = counts[:, 1] / np.maximum(counts.sum(axis=1), 1)
    minor = np.minimum(shares, 1 - shares)
    odd, usual = sorted((np.flatnonzero((minor > 0) & side) for side in (shares > 0.5, shares <= 0.5)), key=len)
    if not len(odd) or len(usual) < MIN_OTHERS:
        return []
    low, high = minor[usual].min(), minor[usual].max()
    odd = odd[(minor[odd] >= low / 2) & (minor[odd] <= 2 * high) & (1 - minor[odd] >= high + APART)]
    if not len(odd):
        return []
    others = [look(place) for place in _some(usual)]
    return [place for place in _some(odd) if is_swapped(look(place), others)]


def is_swapped(odd: Look, others: Sequence[Look]) -> bool:
    """True where a mask whose share is the others' turned round also has their border, or contrast, turned round.

    All others must leave the border free and it must fill it, or the reverse. Or, of MANY_OTHERS, most are brighter in
    class 1 than in class 0, or most darker, and it is the other way round. It never is where its contrast is theirs.
    """
    borders = [other.border for other in others]
    sides = [np.sign(other.contrast) for other in others if abs(other.contrast) >= CLEAR_CONTRAST]
    usual = max((-1, 1), key=sides.count)
    is_alike = sides.count(usual) >= MOSTLY * len(others)
    if is_alike and odd.contrast * usual > -CLEAR_CONTRAST:
        return False
    if max(borders) <= FREE_BORDER and odd.border >= 1 - FREE_BORDER:
        return True
    if min(borders) >= 1 - FREE_BORDER and odd.border <= FREE_BORDER:
        return True
    is_beyond = bool((np.median(borders) < 0.5) == (odd.border > 0.5))
    return is_alike and len(others) >= MANY_OTHERS and is_beyond


def _some(places: np.ndarray) -> list[int]:
    """At most MAX_LOOKED_AT of the places, spread evenly."""
    return places[np.unique(np.linspace(0, len(places) - 1, MAX_LOOKED_AT).astype(int))].tolist()


def _share(ids: np.ndarray) -> float:
    return np.count_nonzero(ids == 1) / max(1, np.count_nonzero(ids < 2))
