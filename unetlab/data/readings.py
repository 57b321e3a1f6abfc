"""Ways to read a set of masks: the one that is plain, or the choices to put before the user."""

from collections.abc import Sequence

import numpy as np

from unetlab.data.class_files import ClassFile, is_ignored_name
from unetlab.data.masks import MAX_VALUES, Group, Reading, Survey, label_of
from unetlab.data.strays import has_ignore_255, known_names, strays_of
from unetlab.errors import DataError, NeedsReading

MAX_LISTED = 8  # values named in one sentence


def propose(survey: Survey, class_file: ClassFile | None = None) -> Reading:
    """The reading of a set of masks that nobody would dispute: 0/255, 0/1, class ids, palette, a few colours.

    Raises NeedsReading with the choices when there are more than 32 values or some that look like strays,
    DataError when all masks hold one and the same value.
    """
    _refuse_one_value(survey)
    if survey.is_capped or len(survey.pixels) > MAX_VALUES:
        number = f"more than {len(survey.pixels)}" if survey.is_capped else str(len(survey.pixels))
        raise NeedsReading(
            f"The masks hold {number} different values, too many to be classes: {_listed(survey)}. "
            "Say how to read them:",
            choices(survey),
        )
    named = _from_class_file(survey, class_file)
    strays = strays_of(survey, class_file)
    if strays:
        what = "classes, or leftovers of an editor" if len(strays) > 1 else "a class, or a leftover of an editor"
        raise NeedsReading(
            f"The masks hold the values {_listed(survey)}. {_joined(strays, survey)} may be {what}. "
            "Say how to read them:",
            choices(survey, class_file),
        )
    if has_ignore_255(survey, class_file):
        return _ignoring_255(survey, class_file)
    return named


def choices(survey: Survey, class_file: ClassFile | None = None) -> list[tuple[str, str]]:
    """The readings that make sense for these masks: (key for `read_as`, what it does in plain words)."""
    readings = _readings(survey, class_file)
    return [(reading.key, reading.meaning) for reading in readings]


def read_as(survey: Survey, key: str, class_file: ClassFile | None = None) -> Reading:
    """The reading that the user chose: a key of `choices`, or `threshold:N` with any N.

    Raises DataError for an unknown key, naming the known ones, and for a reading that leaves a class empty.
    """
    _refuse_one_value(survey)
    for reading in _readings(survey, class_file):
        if reading.key == key:
            return reading
    head, _, number = key.partition(":")
    if head == "threshold" and number.isdecimal():
        reading = _threshold(survey, int(number))
        if reading is not None:
            return reading
        raise DataError(
            f"Reading {key}: every mask pixel is on the same side of {number}. The values are {_listed(survey)}."
        )
    known = ", ".join(known_key for known_key, _ in choices(survey, class_file))
    raise DataError(f"Reading {key!r} is not one of those that fit these masks: {known}, threshold:N.")


def _readings(survey: Survey, class_file: ClassFile | None) -> list[Reading]:
    found: list[Reading | None] = []
    if survey.is_capped or len(survey.pixels) > MAX_VALUES:
        found += [_threshold(survey, _otsu(survey.histogram)), _threshold(survey, 0)]
    else:
        strays = strays_of(survey, class_file)
        if len(survey.pixels) > 2:
            found.append(_binary(survey))
            if survey.part != "colour":
                found += [_threshold(survey, 0), _threshold(survey, 127)]
        found.append(_from_class_file(survey, class_file))
        if strays and len(survey.pixels) - len(strays) > 1:
            found.append(_ignoring_strays(survey, class_file, strays))
        if has_ignore_255(survey, class_file) or survey.pixels.keys() == {0, 1, 255}:
            found.append(_ignoring_255(survey, class_file))
    unique = {reading.key: reading for reading in found if reading is not None}
    return list(unique.values())


def _from_class_file(survey: Survey, class_file: ClassFile | None) -> Reading:
    """Each value its own class, with names where a file gives them and its void class ignored."""
    known = known_names(survey, class_file)
    names = known or _plain_names(survey)
    order = [value for value in names if value in survey.pixels] if survey.part == "colour" else []
    order += [value for value in survey.pixels if value not in order]
    groups = [Group(name=_name_of(value, names, survey), values=[value]) for value in order]
    ignored = next((group for group in groups if known and is_ignored_name(group.name)), None)
    if ignored is not None and len(groups) > 2:
        groups.remove(ignored)
    else:
        ignored = None
    meaning = f"each of the {len(survey.pixels)} values is its own class"
    return _values_reading("values", meaning, survey, groups, ignored=ignored)


def _ignoring_strays(survey: Survey, class_file: ClassFile | None, strays: Sequence[int]) -> Reading:
    base = _from_class_file(survey, class_file)
    groups = [group for group in base.groups if group.values[0] not in strays]
    kept = _joined([group.values[0] for group in groups], survey)
    count = sum(survey.pixels[value] for value in strays)
    meaning = f"classes {kept}; the {count:,} pixels of {_joined(strays, survey)} are left out of loss and scores"
    return _values_reading("ignore-strays", meaning, survey, groups, ignored=base.ignored, strays=strays)


def _ignoring_255(survey: Survey, class_file: ClassFile | None) -> Reading:
    base = _from_class_file(survey, class_file)
    groups = [group for group in base.groups if group.values != [255]]
    kept = _joined([group.values[0] for group in groups], survey)
    meaning = f"classes {kept}; 255 is left out of loss and scores"
    return _values_reading("ignore-255", meaning, survey, groups, ignored=base.ignored, strays=[255])


def _binary(survey: Survey) -> Reading:
    """255, or else the brighter of the two commonest values, against everything else."""
    commonest = sorted(sorted(survey.pixels, key=lambda value: -survey.pixels[value])[:2])
    foreground = 255 if 255 in survey.pixels and survey.part != "colour" else commonest[1]
    background = commonest[0] if commonest[0] != foreground else commonest[1]
    others = [value for value in survey.pixels if value not in (foreground, background)]
    fates = ", ".join(f"{label_of(v, survey.part)} ({survey.pixels[v]:,} pixels)" for v in others[:MAX_LISTED])
    more = f" and {len(others) - MAX_LISTED} more" if len(others) > MAX_LISTED else ""
    meaning = (
        f"{label_of(foreground, survey.part)} is the foreground, {label_of(background, survey.part)} the "
        f"background; {fates}{more} become background"
    )
    groups = [
        Group(name="background", values=sorted([background, *others])),
        Group(name="foreground", values=[foreground]),
    ]
    return _values_reading("binary", meaning, survey, groups)


def _threshold(survey: Survey, threshold: int) -> Reading | None:
    """Foreground above `threshold`; None when that leaves one side empty."""
    above = int(survey.histogram[threshold + 1 :].sum())
    if above in (0, survey.num_pixels):
        return None
    what = "brighter than" if survey.part == "colour" else "above"
    share = f"{100 * above / survey.num_pixels:.1f} % of the pixels"
    return Reading(
        key="nonzero" if threshold == 0 else f"threshold:{threshold}",
        meaning=f"everything {what} {threshold} is the foreground ({share})",
        part="grey" if survey.part == "colour" else survey.part,
        kind="threshold",
        groups=[Group(name="background"), Group(name="foreground")],
        threshold=threshold,
    )


def _otsu(histogram: np.ndarray) -> int:
    """The threshold that separates two heaps best (Otsu 1979: largest variance between them)."""
    levels = np.arange(len(histogram))
    below = np.cumsum(histogram).astype(np.float64)
    above = below[-1] - below
    total_below = np.cumsum(histogram * levels).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (total_below / below - (total_below[-1] - total_below) / above) ** 2
    return int(np.nanargmax(np.where(np.isfinite(between), between, -1)))


def _values_reading(
    key: str,
    meaning: str,
    survey: Survey,
    groups: list[Group],
    *,
    ignored: Group | None = None,
    strays: Sequence[int] = (),
) -> Reading:
    return Reading(
        key=key,
        meaning=meaning,
        part=survey.part,
        kind="values",
        groups=groups,
        ignored=ignored,
        strays=sorted(strays),
    )


def _plain_names(survey: Survey) -> dict[int, str]:
    """Two values of which the lower is the larger part are background and foreground; else no names."""
    values = list(survey.pixels)
    is_zero_and_another = len(values) == 2 and values[0] == 0 and survey.part != "colour"
    if is_zero_and_another and survey.pixels[0] > survey.pixels[values[1]]:
        return {0: "background", values[1]: "foreground"}
    return {}


def _name_of(value: int, names: dict[int, str], survey: Survey) -> str:
    return names.get(value) or f"{'colour' if survey.part == 'colour' else 'value'} {label_of(value, survey.part)}"


def _refuse_one_value(survey: Survey) -> None:
    if len(survey.pixels) == 1:
        label = label_of(next(iter(survey.pixels)), survey.part)
        raise DataError(
            f"All {survey.num_masks} masks have only the value {label}, so there is nothing to learn. "
            "Check that these are the masks, and that they were saved with their classes."
        )


def _listed(survey: Survey) -> str:
    """Values with pixel share and number of masks, commonest first."""
    order = sorted(survey.pixels, key=lambda value: -survey.pixels[value])
    parts = [
        f"{label_of(value, survey.part)} ({_percent(survey.pixels[value] / survey.num_pixels)}, "
        f"in {survey.files[value]} of {survey.num_masks} masks)"
        for value in order[:MAX_LISTED]
    ]
    more = [f"{len(order) - MAX_LISTED} more"] if len(order) > MAX_LISTED else []
    return ", ".join(parts + more)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.001 else f"{100 * share:.2g} %"


def _joined(values: Sequence[int], survey: Survey) -> str:
    labels = [label_of(value, survey.part) for value in values[:MAX_LISTED]]
    if len(values) > MAX_LISTED:
        labels.append(f"{len(values) - MAX_LISTED} more")
    return labels[0] if len(labels) == 1 else ", ".join(labels[:-1]) + " and " + labels[-1]
