"""Ways to read a set of masks: the one proposed, with its reasons and doubts, and all others that make sense."""

from typing import NamedTuple

from unetlab.data.labels import heaps, reading_kinds
from unetlab.data.labels.class_files import ClassFile
from unetlab.data.labels.instances import background_of, evidence, has_areas
from unetlab.data.labels.masks import MAX_VALUES, Reading, Survey, label_of
from unetlab.data.labels.palettes import NUM_TRAIN_IDS, TRIMAP, are_cityscapes_ids
from unetlab.data.labels.reading_keys import with_values
from unetlab.data.labels.reading_words import joined, kind_of, percent, values_of
from unetlab.data.labels.strays import ignore_value, known_names, softened_ends, strays_of, two_foregrounds
from unetlab.errors import DataError

__all__ = ["Proposal", "alternatives", "known_names", "propose", "read_as"]

# Softened pixels between two heaps, as part of all: a person's drawing has few of them, a probability map many.
THIN_MIDDLE = 0.03
LIST_BELOW = ".\nThe commonest: "  # the first line of a finding is its headline
COVERED = 0.95  # of the pixels lie near one of the colours that were found


class Proposal(NamedTuple):
    """The reading that is taken unless a person says otherwise.

    reasons: sentences for the report. doubt: the sentence that asks for a look, where the reading is not certain.
    """

    reading: Reading
    is_certain: bool
    reasons: list[str]
    doubt: str


def propose(survey: Survey, class_file: ClassFile | None = None) -> Proposal:
    """The most likely reading of a set of masks, with its reasons.

    Raises DataError when all masks hold one and the same value.
    """
    if len(survey.pixels) == 1:
        label = label_of(next(iter(survey.pixels)), survey.part)
        who = "The mask has" if survey.num_masks == 1 else f"All {survey.num_masks} masks have"
        raise DataError(
            f"{who} only the value {label}, so there is nothing to learn. "
            "Check that these are the masks, and that they were saved with their classes."
        )
    reading, reason, doubt = _decide(survey, class_file)
    reasons = [reason]
    if reading.palette_name:
        reasons.append(
            f"The classes are named after {reading.palette_name}, whose values or colours these are. "
            "Rename them if they are not."
        )
    reading = reading.model_copy(update={"reasons": reasons})
    doubt = f"The masks hold {values_of(survey, before_list=LIST_BELOW)}. {doubt}" if doubt else ""
    return Proposal(reading, not doubt, reasons, doubt)


def alternatives(survey: Survey, class_file: ClassFile | None = None) -> list[Reading]:
    """Every reading that makes sense for these masks, the proposal first; no two have the same key."""
    first = propose(survey, class_file).reading
    found: list[Reading | None] = [first]
    is_few = not survey.is_capped and len(survey.pixels) <= MAX_VALUES
    strays = strays_of(survey, class_file) if is_few else []
    if is_few:
        if len(survey.pixels) > 2:
            found.append(reading_kinds.binary(survey))
        found.append(reading_kinds.by_value(survey, class_file))
        if strays:
            found.append(reading_kinds.by_value(survey, class_file, key="ignore-strays", strays=strays))
        ignored = ignore_value(survey, class_file) or (255 if survey.pixels.keys() == {0, 1, 255} else None)
        if ignored is not None:
            found.append(reading_kinds.by_value(survey, class_file, key=f"ignore-{ignored}", strays=[ignored]))
        if two_foregrounds(survey):
            found.append(reading_kinds.foreground(survey, two_foregrounds(survey)))
        if survey.pixels.keys() == TRIMAP.names.keys() and first.kind == "values":
            found.append(reading_kinds.ignoring(first, 3))
    if are_cityscapes_ids(survey.pixels) and survey.part == "value":
        found += [reading_kinds.cityscapes(survey, ids) for ids in ("labels", "evaluated")]
    if survey.part == "value" and survey.pixels.keys() - {255} == set(range(NUM_TRAIN_IDS)):
        found.append(reading_kinds.cityscapes(survey, "train"))
    if not is_few and not survey.num_lossy and not survey.is_capped:
        found.append(reading_kinds.commonest(survey, class_file))
    if len(survey.pixels) > 2:
        if survey.part != "colour" or not is_few:
            levels = (0, heaps.otsu(survey.histogram) * survey.bin_width, 128 * survey.bin_width - 1)
            found += [reading_kinds.threshold(survey, level, class_file) for level in levels[:: 2 if is_few else 1]]
        background = background_of(survey)
        if background is not None and (not is_few or evidence(survey, MAX_VALUES) != "none"):
            found += [
                reading_kinds.instances(survey, background, has_boundary=has_boundary) for has_boundary in (False, True)
            ]
    if len(first.groups) == 2 and first.kind != "instances":
        found.append(reading_kinds.inverted(first))
    unique: dict[str, Reading] = {}
    for reading in found:
        if reading is not None:
            unique.setdefault(reading.key, reading)
    return list(unique.values())


def read_as(survey: Survey, key: str, class_file: ClassFile | None = None) -> Reading:
    """The reading that a person chose: the key of an alternative, or one with values of their own.

    threshold:N; listed:0,3,255 (these are the classes, others ignored); foreground:255,4 (these against the rest);
    colours:ff0000,00ff00 (as listed); nearest:K or nearest:ff0000,0000ff; instances; instances+boundary; invert;
    ignore:V. Raises DataError for an unknown key, naming the known ones, and for one that leaves a class empty.
    """
    known = alternatives(survey, class_file)
    for reading in known:
        if reading.key == key:
            return reading
    head, _, rest = key.partition(":")
    if head == "threshold" and rest.isdecimal():
        reading = reading_kinds.threshold(survey, int(rest), class_file)
        if reading is None:
            raise DataError(
                f"Reading {key}: every mask pixel is on the same side of {rest}. The masks hold {values_of(survey)}."
            )
        return reading
    if head == "nearest" and rest.isdecimal() and 2 <= int(rest) <= MAX_VALUES and len(survey.pixels) >= int(rest):
        return reading_kinds.nearest(key, survey, _centres(survey, count=int(rest)), class_file)
    if head in ("instances", "instances+boundary") and not rest:
        background = background_of(survey)
        background = survey.common[0] if background is None else background
        return reading_kinds.instances(survey, background, has_boundary=head.endswith("boundary"))
    if head == "invert" and not rest:
        raise DataError(f"Reading invert swaps two classes, but {known[0].key} gives {len(known[0].groups)}.")
    if head in ("listed", "foreground", "colours", "nearest", "ignore") and rest:
        return with_values(survey, key, class_file, proposed=known[0])
    keys = ", ".join(reading.key for reading in known)
    raise DataError(
        f"Reading {key!r} is not one of those that fit these masks: {keys}, threshold:N, listed:A,B, "
        "foreground:A,B, colours:RRGGBB,RRGGBB, nearest:K, instances, instances+boundary, ignore:V."
    )


def _decide(survey: Survey, class_file: ClassFile | None) -> tuple[Reading, str, str]:
    """(reading, reason, doubt); the doubt is empty where nobody would dispute the reading."""
    is_many = survey.is_capped or len(survey.pixels) > MAX_VALUES
    names = known_names(survey, class_file) if not survey.is_capped else {}
    if survey.num_lossy and len(survey.pixels) > 2:
        return _smeared(survey, class_file)
    if not names:
        if survey.part == "value" and not survey.is_capped and are_cityscapes_ids(survey.pixels):
            return reading_kinds.cityscapes(survey, "labels"), "These are label ids of Cityscapes.", ""
        found = evidence(survey, MAX_VALUES)
        if found != "none":
            reading = reading_kinds.instances(survey, 0, has_boundary=False)
            what = "colours" if survey.part == "colour" else "numbers"
            reason = f"The {what} count single objects: they are not the same from mask to mask."
            doubt = f"The {what} seem to count objects rather than name classes, so that all are read as one class."
            return reading, reason, doubt if found == "some" else ""
    if is_many and not names:
        return _too_many(survey, class_file) if _are_labels(survey) else _smeared(survey, class_file)
    ends = [] if names else softened_ends(survey)
    if ends:
        return _softened(survey, ends, class_file)
    return _plain(survey, class_file)


def _plain(survey: Survey, class_file: ClassFile | None) -> tuple[Reading, str, str]:
    """A few values that are classes, strays or "ignore"."""
    encodings = two_foregrounds(survey)
    if encodings:
        what = joined(encodings, survey.part)
        doubt = f"No mask holds both {what}, so that they are read as one foreground, saved in two ways."
        return reading_kinds.foreground(survey, encodings), f"{what} are the same foreground.", doubt
    strays = strays_of(survey, class_file)
    if strays:
        reading = reading_kinds.by_value(survey, class_file, key="ignore-strays", strays=strays)
        what = "classes, or leftovers of an editor" if len(strays) > 1 else "a class, or a leftover of an editor"
        those, they_are = joined(strays, survey.part), "they are" if len(strays) > 1 else "it is"
        doubt = f"{those} may be {what}: left out of loss and scores until you say what {they_are}."
        return reading, f"{those} left out: rare, or not among the known classes.", doubt
    ignored = ignore_value(survey, class_file)
    if ignored is not None:
        reading = reading_kinds.by_value(survey, class_file, key=f"ignore-{ignored}", strays=[ignored])
        is_guess = survey.pixels.keys() == {0, 1, 255} and not survey.is_palette
        doubt = "Some masks hold both 1 and 255, so that 255 is read as pixels to leave out." if is_guess else ""
        return reading, f"{ignored} beside class ids means pixels to leave out, by custom.", doubt
    reason = f"The masks hold {len(survey.pixels)} {kind_of(survey.part)}."
    return reading_kinds.by_value(survey, class_file), reason, ""


def _are_labels(survey: Survey) -> bool:
    """True for many values of which each mask holds a few, as in sets of 150 classes."""
    num_small = sum(number for values, number in survey.sets.items() if len(values) <= MAX_VALUES)
    return not survey.is_capped and num_small > survey.num_masks / 2 and has_areas(survey)


def _too_many(survey: Survey, class_file: ClassFile | None) -> tuple[Reading, str, str]:
    reading = reading_kinds.commonest(survey, class_file)
    doubt = f"They seem to be classes, but more than the {MAX_VALUES} that can be learned; the commonest are taken."
    return reading, f"More than {MAX_VALUES} classes: the commonest are taken.", doubt


def _smeared(survey: Survey, class_file: ClassFile | None) -> tuple[Reading, str, str]:
    """More values than were drawn: JPEG, softened edges, probabilities."""
    how = "JPEG has blurred the mask values" if survey.num_lossy else "The mask values are blurred"
    if survey.part == "colour":
        centres = _known_centres(survey, class_file) or _centres(survey)
        is_clear = len(centres) > 1 and heaps.covered(survey.pixels, centres) >= COVERED
        centres = centres if len(centres) > 1 else _centres(survey, count=2)
        reading = reading_kinds.nearest(f"nearest:{len(centres)}", survey, centres, class_file)
        found = joined(centres, survey.part)
        reason = f"{how}; each pixel takes the nearest of the {len(centres)} colours that fill areas."
        return reading, reason, "" if is_clear else f"{how}; {found} seem to be the colours that were drawn."
    centres = _centres(survey) if survey.bin_width == 1 else []
    if len(centres) > 2 and heaps.covered(_as_greys(survey), [centre * 0x010101 for centre in centres]) >= COVERED:
        reading = reading_kinds.nearest(f"nearest:{len(centres)}", survey, centres, class_file)
        return reading, f"{how}; each pixel takes the nearest of the {len(centres)} values that fill areas.", ""
    split = heaps.otsu(survey.histogram)
    middle = heaps.middle_share(survey.histogram, split)
    if not survey.num_lossy and survey.histogram[129:].any():
        split = 127
    level = (split + 1) * survey.bin_width - 1
    reading = reading_kinds.threshold(survey, level, class_file)
    if reading is None:  # 16 bits of which only the lowest are used
        reading = reading_kinds.threshold(survey, 0, class_file) or reading_kinds.binary(survey)
    reason = f"Mask values form two groups; the threshold between them is {level}."
    doubt = "" if middle <= THIN_MIDDLE else _soft(survey, middle, level)
    return reading, reason, doubt


def _softened(survey: Survey, ends: list[int], class_file: ClassFile | None) -> tuple[Reading, str, str]:
    """A few drawn values, and thin lines of blends between them."""
    reason = f"{joined(ends, survey.part)} were drawn; the others are softened edges."
    if survey.part != "colour" and len(ends) == 2:
        reading = reading_kinds.threshold(survey, sum(ends) // 2, class_file)
        if reading is not None:
            return reading, reason, ""
    return reading_kinds.nearest(f"nearest:{len(ends)}", survey, ends, class_file), reason, ""


def _soft(survey: Survey, middle: float, level: int) -> str:
    if survey.num_lossy:
        return f"JPEG has blurred them; everything above {level} is read as the foreground."
    return (
        f"They run through all levels, {percent(middle)} of the pixels in the middle, as probabilities do; "
        f"everything above {level} is read as the foreground."
    )


def _centres(survey: Survey, *, count: int | None = None) -> list[int]:
    """The values or colours that masks were drawn with before they were smeared, in order."""
    if survey.part == "colour":
        found = heaps.colour_heaps(survey.pixels, count=count)
        return sorted(found if survey.num_lossy or count else heaps.without_blends(found, survey.pixels))
    if count is not None:
        return sorted(heaps.spread(survey.pixels, count))
    found = heaps.grey_heaps(survey.histogram)
    if survey.num_lossy:
        return found
    kept = heaps.without_blends([level * 0x010101 for level in found], _as_greys(survey))
    return sorted(level & 255 for level in kept)


def _as_greys(survey: Survey) -> dict[int, int]:
    return {level * 0x010101: int(count) for level, count in enumerate(survey.histogram) if count}


def _known_centres(survey: Survey, class_file: ClassFile | None) -> list[int]:
    """The colours of the class file that occur, where they explain nearly all pixels."""
    colours = heaps.present(survey.pixels, list(class_file.colours)) if class_file else []
    return colours if len(colours) > 1 and heaps.covered(survey.pixels, colours) >= COVERED else []
