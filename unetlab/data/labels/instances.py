"""Instance ids: one number or colour per object rather than per class. Are masks such, and where do objects touch?

Shape letters: H height, W width.
"""

from statistics import median
from typing import Literal

import numpy as np

from unetlab.data.labels.surveys import Survey

Evidence = Literal["none", "some", "strong"]

# Classes come back mask after mask: a typical one in more than two, or a common one in a fifth of all.
MAX_TYPICAL_FILES, MIN_COMMON_FILES, COMMON_SHARE, COMMON_TO_TYPICAL = 2, 5, 0.2, 3
MAX_CLASS_ID = 240  # ids drawn at random in 8 bits reach 254; COCO-Stuff, the longest list of classes, ends at 182
# Ids that are shown in the colours of one list begin anew in each mask: of the colours up to its rarest
# a mask holds most.
MIN_FILLED = 0.4
MIN_AREA = 8  # px of a typical object; colours of softened edges fill one to three
GAPLESS_SHARE = 0.9  # of the masks count their ids without gaps
# Highest ids differ from mask to mask: 9, 10 and 11 are classes of which the last is rare, 4, 9 and 15 are cells.
MIN_TOPS, MIN_SPREAD, MIN_TOP = 3, 0.3, 4
SOFT_TOP = 128  # in 8 bits, half of all masks reaching so high are probabilities or heat maps


def evidence(survey: Survey, max_classes: int) -> Evidence:
    """How sure it is that the values are instance ids. max_classes: values that may still be classes.

    Semantic ids 0 to 20 in every mask are none. Instance ids count the objects of a mask: they begin anew in each,
    without gaps, and end where its objects end; or they are numbers and colours that no other mask uses.
    """
    is_many = survey.is_capped or len(survey.pixels) > max_classes
    if survey.num_lossy or survey.part == "alpha" or background_of(survey) is None:
        return "none"
    if survey.part == "colour":
        return _of_colours(survey, is_many=is_many)
    tops = survey.nearly_gapless | survey.gapless if is_many else survey.gapless
    num_with_ids = survey.num_masks - survey.sets[frozenset({0})]
    if tops and tops.total() >= GAPLESS_SHARE * num_with_ids:
        spread = (max(tops) - min(tops)) / max(tops)
        is_soft = survey.bin_width == 1 and median(tops.elements()) >= SOFT_TOP
        if is_many and not is_soft:
            return "strong"
        if len(tops) >= MIN_TOPS and max(tops) >= MIN_TOP and spread >= MIN_SPREAD and not is_soft:
            return "some"
    return "some" if is_many and _are_used_once(survey, limit=0.2) else "none"


def background_of(survey: Survey) -> int | None:
    """The value around the objects: 0 or black, where nearly all masks hold it; None when there is none."""
    return 0 if survey.files.get(0, 0) >= GAPLESS_SHARE * survey.num_masks else None


def has_areas(survey: Survey) -> bool:
    """True when a typical value beside 0 fills an area where it occurs, rather than a softened edge."""
    areas = [survey.pixels[value] / survey.files[value] for value in survey.pixels if value != 0]
    return survey.num_lossy == 0 and median(areas) >= MIN_AREA


def touching(values: np.ndarray, is_object: np.ndarray) -> np.ndarray:
    """True (H,W) on both sides of every contact of two different instances: 4-neighbours, 2 px wide in all."""
    result = np.zeros(values.shape, bool)
    for near, far in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        contact = (values[near] != values[far]) & is_object[near] & is_object[far]
        result[near] |= contact
        result[far] |= contact
    return result


def _of_colours(survey: Survey, *, is_many: bool) -> Evidence:
    others = [colour for colour in survey.pixels if colour != 0]
    num_once = sum(survey.files[colour] == 1 for colour in others)
    if len(others) < max(6, survey.num_masks) or survey.num_masks < 2 or not _are_used_once(survey, limit=0.1):
        return "none"
    if is_many:
        return "strong"
    return "some" if num_once >= 0.8 * len(others) and survey.num_masks > 2 else "none"


def _are_used_once(survey: Survey, *, limit: float) -> bool:
    """True when a typical value is large where it occurs, and occurs in few of the masks."""
    typical_files = median(survey.files[value] for value in survey.pixels if value != 0)
    is_in_few = typical_files <= max(1, limit * survey.num_masks) < survey.num_masks
    return has_areas(survey) and is_in_few and not _come_back(survey)


def _come_back(survey: Survey) -> bool:
    """True when colours, or numbers as small as those of classes, are in many masks, each time beside others."""
    if survey.is_capped or (survey.part != "colour" and max(survey.pixels.keys() - {255}) > MAX_CLASS_ID):
        return False
    files = {value: number for value, number in survey.files.items() if value != 0}
    typical = median(files.values())
    is_common = max(files.values()) >= max(
        MIN_COMMON_FILES, COMMON_SHARE * survey.num_masks, COMMON_TO_TYPICAL * typical
    )
    if typical <= MAX_TYPICAL_FILES and not is_common:
        return False
    ranks = {value: rank for rank, value in enumerate(sorted(files, key=lambda value: -files[value]), start=1)}
    filled = []
    for values, number in survey.sets.items():
        own = [ranks[value] for value in values if value != 0]
        filled += [len(own) / max(own)] * number if own else []
    return 2 * len(filled) > survey.num_masks and median(filled) < MIN_FILLED
