"""Mask values that are probably no class: left by an editor, softened edges, or "ignore" by custom."""

import numpy as np

from unetlab.data.class_files import ClassFile
from unetlab.data.masks import MAX_VALUES, Survey

# A value in fewer than half of the masks and in less than this share of their pixels is a stray, not a class.
# CrackForest's leftovers 3 and 4 fill 0.66 % and 0.007 %; CamVid's rarest class fills 0.3 %.
STRAY_SHARE = 0.01
# The same where values look like classes (ids with gaps, palette, colours), whose rare ones are often real.
STRAY_SHARE_OF_CLASSES = 0.0002


def strays_of(survey: Survey, class_file: ClassFile | None) -> list[int]:
    """Values that are probably no class: not in the class file, or rare among values that are otherwise plain."""
    values = set(survey.pixels)
    known = known_names(survey, class_file)
    if known:
        return sorted(values - known.keys() - ({255} if survey.part != "colour" else set()))
    if len(values) <= 2 or values in (set(range(len(values))), set(range(1, len(values) + 1))):
        return []
    if has_ignore_255(survey, class_file):
        return []
    is_class_like = survey.part == "colour" or survey.is_palette or _is_ids_with_gaps(values) or _is_even(values)
    share = STRAY_SHARE_OF_CLASSES if is_class_like else STRAY_SHARE
    rare = [
        value
        for value, pixels in survey.pixels.items()
        if pixels < share * survey.num_pixels and survey.files[value] < survey.num_masks / 2
    ]
    # Edges softened by an editor: between black and white, in every mask, and thin.
    is_black_and_white = {0, 255} <= values and not is_class_like
    thin = [value for value in values - {0, 255} if survey.pixels[value] < STRAY_SHARE * survey.num_pixels]
    between = thin if is_black_and_white else []
    if values == {0, 1, 255}:  # two encodings of one thing, or two classes and pixels to ignore: nobody knows
        between = [1]
    return sorted({*rare, *between})


def _is_ids_with_gaps(values: set[int]) -> bool:
    """{0, 1, 2, 5}: class ids of which some do not occur."""
    return max(values) < MAX_VALUES and len(values) >= (max(values) + 1) / 2


def _is_even(values: set[int]) -> bool:
    """{0, 85, 170, 255} or {0, 127, 255}: classes spread evenly to be visible."""
    steps = np.diff(sorted(values))
    return len(values) > 2 and int(steps.max() - steps.min()) <= 1


def has_ignore_255(survey: Survey, class_file: ClassFile | None) -> bool:
    """True for class ids and 255, which by custom (PASCAL VOC, Cityscapes) means "ignore"."""
    if survey.part == "colour" or 255 not in survey.pixels:
        return False
    known = known_names(survey, class_file)
    others = set(survey.pixels) - {255}
    if known:
        return 255 not in known and others <= known.keys()
    # CrackForest's {0, 3, 4, 255} is the opposite case: 255 is the class, and the small numbers are leftovers.
    is_any_rare = any(
        survey.pixels[value] < STRAY_SHARE * survey.num_pixels and survey.files[value] < survey.num_masks / 2
        for value in others
    )
    return survey.is_palette or (others == set(range(len(others))) and len(others) > 2 and not is_any_rare)


def known_names(survey: Survey, class_file: ClassFile | None) -> dict[int, str]:
    """Names of the class file by mask value; empty when the file does not speak of these masks."""
    if class_file is None:
        return {}
    names = class_file.colours if survey.part == "colour" else class_file.names
    values = set(survey.pixels)
    fits = len(values & names.keys())
    if fits > len(values) / 2:
        return names
    if survey.part != "colour" and len(values) == len(names):
        return dict(zip(sorted(values), names.values(), strict=True))  # 0 and 255 with two names
    return {}
