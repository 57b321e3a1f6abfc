"""Mask values that are probably no class: left by an editor, softened edges, or "ignore" by custom."""

from collections.abc import Sequence

import numpy as np

from unetlab.data.labels.class_files import BACKGROUND_NAMES, ClassFile
from unetlab.data.labels.heaps import THIN_EDGE, is_blend
from unetlab.data.labels.masks import MAX_VALUES, Survey
from unetlab.data.labels.palettes import voc_colour
from unetlab.data.labels.surveys import red_ids
from unetlab.data.names.file_names import fold

# A value in fewer than half of the masks and in less than this share of their pixels is a stray, not a class.
# CrackForest's leftovers 3 and 4 fill 0.66 % and 0.007 %; CamVid's rarest class fills 0.3 %.
STRAY_SHARE = 0.01
# The same where values look like classes (ids with gaps, palette, colours), whose rare ones are often real.
STRAY_SHARE_OF_CLASSES = 0.0002
MIN_SOFT_VALUES = 3  # fewer values between two others are leftovers rather than softened edges
# Colours drawn with the palette of PASCAL VOC lie on a grid: some are blends of others by chance.
FIRST_VOC_COLOURS = {voc_colour(index) for index in range(MAX_VALUES)}
BLENDED = 0.8  # of the pixels between drawn values lie on a line between two of them
IGNORE_VALUES = (255, 65535)  # "ignore" by custom of PASCAL VOC and Cityscapes: -1 in 8 and in 16 bits


def strays_of(survey: Survey, class_file: ClassFile | None) -> list[int]:
    """Values that are probably no class: not in the class file, or rare among values that are otherwise plain."""
    values = set(survey.pixels)
    known = known_names(survey, class_file)
    ignored = ignore_value(survey, class_file)
    if known:
        return sorted(values - known.keys() - {ignored})
    if len(values) <= 2 or values in (set(range(len(values))), set(range(1, len(values) + 1))):
        return []
    if ignored is not None:
        return []
    is_class_like = survey.part == "colour" or survey.is_palette or _is_ids_with_gaps(values) or _is_even(values)
    share = STRAY_SHARE_OF_CLASSES if is_class_like else STRAY_SHARE
    rare = [
        value for value in survey.pixels if survey.share(value) < share and survey.files[value] < survey.num_masks / 2
    ]
    # Leftovers between black and white, in every mask, and thin.
    is_black_and_white = {0, 255} <= values and not is_class_like
    thin = [value for value in values - {0, 255} if survey.share(value) < STRAY_SHARE]
    strays = sorted(set(rare + thin) if is_black_and_white else rare)
    return strays if len(values) - len(strays) > 1 else []


def softened_ends(survey: Survey) -> list[int]:
    """The values that were drawn, where the others are thin blends of them in most masks; empty where not so."""
    is_colour = survey.part == "colour"
    if survey.is_palette or red_ids(survey) or (is_colour and set(survey.pixels) <= FIRST_VOC_COLOURS):
        return []
    if not is_colour and (survey.bin_width > 1 or max(survey.pixels) < MAX_VALUES):
        return []
    drawn = [] if is_colour else [value for value in (0, 255) if value in survey.pixels]
    ends = drawn if len(drawn) > 1 else survey.common[:2]
    for value in survey.common:
        if survey.share(value) >= STRAY_SHARE and value not in ends and not _is_blend(value, ends, survey):
            ends = [*ends, value]
    between = [value for value in survey.pixels if value not in ends]
    limit = max(STRAY_SHARE, THIN_EDGE * min(map(survey.share, ends)))
    are_thin = all(survey.share(value) < limit for value in between)
    num_soft = sum(number for values, number in survey.sets.items() if not values <= set(ends))
    if len(between) < MIN_SOFT_VALUES or not are_thin or num_soft < survey.num_masks / 2:
        return []
    # Where three things meet the blend lies on no line.
    blended = sum(survey.pixels[value] for value in between if _is_blend(value, ends, survey))
    return sorted(ends) if blended >= BLENDED * sum(survey.pixels[value] for value in between) else []


def two_foregrounds(survey: Survey) -> list[int]:
    """The values of one foreground that is 1 in some masks and 255 in others; empty where a mask holds both."""
    encodings = set(survey.pixels) - {0}
    if len(encodings) < 2 or 0 not in survey.pixels or not encodings <= {1, *IGNORE_VALUES}:
        return []
    is_apart = all(len(values - {0}) < 2 for values in survey.sets)
    return sorted(encodings) if is_apart and survey.part != "colour" and not survey.is_palette else []


def ignore_value(survey: Survey, class_file: ClassFile | None) -> int | None:
    """255 or 65535 beside class ids, which by custom means "ignore"; None where there is no such value."""
    top = max(survey.pixels)
    others = set(survey.pixels) - {top}
    if survey.part == "colour" or top not in IGNORE_VALUES or len(others) < 2 or two_foregrounds(survey):
        return None
    known = known_names(survey, class_file)
    if known:
        return top if top not in known and others <= known.keys() else None
    if others == {0, 1} or survey.is_palette:
        return top
    # CrackForest's {0, 3, 4, 255} is the opposite case: 255 is the class, and the small numbers are leftovers.
    is_any_rare = any(
        survey.share(value) < STRAY_SHARE and survey.files[value] < survey.num_masks / 2 for value in others
    )
    is_many = len(others) > 4  # of many classes some are always rare
    return top if len(others) > 2 and _is_ids_with_gaps(others) and (is_many or not is_any_rare) else None


def known_names(survey: Survey, class_file: ClassFile | None) -> dict[int, str]:
    """Names of the class file by mask value; empty when the file does not speak of these masks."""
    if class_file is None:
        return {}
    values = set(survey.pixels)
    if survey.part == "colour":
        red = red_ids(survey)
        by_id = {colour: class_file.names[value] for colour, value in red.items() if value in class_file.names}
        found = _if_fitting(_with_background(class_file.colours, survey), survey)
        return found or _if_fitting(_with_background(by_id, survey), survey)
    if survey.palette and class_file.colours:
        by_colour = {value: class_file.colours.get(colour, "") for value, colour in survey.palette.items()}
        fitting = _if_fitting({value: name for value, name in by_colour.items() if name}, survey)
        if fitting:
            return _with_background(fitting, survey)
    names = class_file.names
    in_order = list(names.values())
    has_background = any(fold(name) in BACKGROUND_NAMES for name in in_order)
    counted = values - set(IGNORE_VALUES) if len(values) > 2 else values
    is_plain = len(values) == 2 or counted == set(range(len(counted)))
    if not class_file.has_ids and not has_background and len(counted) == len(names) + 1 and is_plain and 0 in counted:
        return dict(zip(sorted(counted), ["background", *in_order], strict=True))  # a list without the background
    fitting = _if_fitting(_with_background(names, survey), survey)
    is_counted = names.keys() in (set(range(len(names))), set(range(1, len(names) + 1)))
    if not fitting and is_counted and len(values) == len(names):
        return dict(zip(sorted(values), in_order, strict=True))  # 0 and 255 with two names
    return fitting


def _if_fitting(names: dict[int, str], survey: Survey) -> dict[int, str]:
    """The names, where more than half of the values have one, or those with most of the pixels; else none."""
    named = [value for value in survey.pixels if value in names]
    has_most = len(named) > 1 and sum(survey.share(value) for value in named) >= 0.95
    return names if has_most or len(named) > len(survey.pixels) / 2 else {}


def _with_background(names: dict[int, str], survey: Survey) -> dict[int, str]:
    """The names, and value 0 or black as the background where the file leaves it out, as lists of objects do."""
    has_background = any(fold(name) in BACKGROUND_NAMES for name in names.values())
    if not names or 0 in names or has_background or 0 not in survey.pixels:
        return names
    return {0: "background", **names}


def _is_blend(value: int, ends: Sequence[int], survey: Survey) -> bool:
    scale = 1 if survey.part == "colour" else 0x010101
    return is_blend(value * scale, [end * scale for end in ends])


def _is_ids_with_gaps(values: set[int]) -> bool:
    """{0, 1, 2, 5}: class ids of which some do not occur."""
    return max(values) < MAX_VALUES and len(values) >= (max(values) + 1) / 2


def _is_even(values: set[int]) -> bool:
    """{0, 85, 170, 255} or {0, 127, 255}: classes spread evenly to be visible."""
    steps = np.diff(sorted(values))
    return len(values) > 2 and int(steps.max() - steps.min()) <= 1
