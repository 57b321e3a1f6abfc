"""Keys that a person writes with values of their own, such as `listed:0,3,255`, and the readings they mean."""

import re

from unetlab.data.labels import reading_kinds
from unetlab.data.labels.class_files import ClassFile
from unetlab.data.labels.masks import Reading, Survey
from unetlab.data.labels.reading_words import values_of
from unetlab.errors import DataError


def with_values(survey: Survey, key: str, class_file: ClassFile | None, *, proposed: Reading) -> Reading:
    """The reading of a key that names values: listed, foreground, colours, nearest or ignore, a colon, the values.

    Raises DataError where the values are none of these masks, or too few or many for the reading.
    """
    head, _, rest = key.partition(":")
    if head == "colours" and survey.part == "value" and survey.palette:
        indices = {colour: index for index, colour in survey.palette.items()}
        values = [indices.get(colour, -1) for colour in _parsed(key, rest, is_colour=True)]
    else:
        values = _parsed(key, rest, is_colour=survey.part == "colour")
    missing = [] if head == "nearest" else [value for value in values if value not in survey.pixels]
    if missing:
        raise DataError(f"Reading {key} names values that no mask holds. The masks hold {values_of(survey)}.")
    if head == "ignore":
        reading = reading_kinds.ignoring(proposed, values[0])
        if len(reading.groups) < 2 or len(values) > 1:
            raise DataError(f"Reading {key} leaves fewer than 2 classes, or names more than one value.")
        return reading
    if head != "foreground" and len(values) < 2:
        raise DataError(f"Reading {key} names one class; at least 2 are needed, such as {head}:0,255.")
    if head == "nearest":
        return reading_kinds.nearest(key, survey, values, class_file)
    if head == "foreground":
        if survey.is_capped or len(values) == len(survey.pixels):
            raise DataError(f"Reading {key} leaves no plain background. The masks hold {values_of(survey)}.")
        return reading_kinds.foreground(survey, values)
    return reading_kinds.listed(key, survey, class_file, values)


def _parsed(key: str, text: str, *, is_colour: bool) -> list[int]:
    """The values in a key, each once, in the order given."""
    tokens = [token.strip().removeprefix("#") for token in text.split(",")]
    pattern = "[0-9a-fA-F]{6}" if is_colour else "[0-9]{1,5}"
    if not all(re.fullmatch(pattern, token) for token in tokens):
        allowed = "colours such as ff0000" if is_colour else "whole numbers such as 0,3,255"
        raise DataError(f"Reading {key} must name {allowed}, with commas between them.")
    return list(dict.fromkeys(int(token, 16 if is_colour else 10) for token in tokens))
