"""One function for each kind of reading: the reading itself, with what it does in plain words."""

from collections.abc import Sequence
from typing import Literal

from unetlab.data.labels.class_files import ClassFile, is_ignored_name
from unetlab.data.labels.heaps import snapped
from unetlab.data.labels.masks import MAX_VALUES, Group, Part, Reading, Survey, label_of
from unetlab.data.labels.palettes import CITYSCAPES_LABELS, NUM_CITYSCAPES_VOID, PALETTES, TRIMAP, Palette, palette_of
from unetlab.data.labels.reading_words import MAX_LISTED, joined, key_of, kind_of
from unetlab.data.labels.strays import IGNORE_VALUES, known_names

CITYSCAPES_IDS = {"labels": "the label ids", "evaluated": "the classes of the benchmark", "train": "the trainIds"}
OUTSIDE = "left out of loss and scores"


def by_value(
    survey: Survey, class_file: ClassFile | None, *, key: str = "values", strays: Sequence[int] = ()
) -> Reading:
    """Each value its own class but for the strays; with names where they are known, and void classes ignored."""
    kept = [value for value in survey.pixels if value not in strays]
    palette = _palette(survey)
    known = known_names(survey, class_file) or (_by_palette(survey, palette) if palette else {})
    names = known or _plain_names(survey, kept)
    order = [value for value in names if value in kept] if survey.part == "colour" else []
    order += [value for value in kept if value not in order]
    groups = [Group(name=_name_of(value, names, survey.part), values=[value]) for value in order]
    void = [group for group in groups if known and is_ignored_name(group.name)]
    if len(groups) - len(void) < 2:
        void = []
    meaning = f"each of the {len(kept)} {kind_of(survey.part)} is its own class"
    if strays:
        count = sum(survey.pixels[value] for value in strays)
        these = f"the {count:,} pixels of {joined(strays, survey.part)} are" if key == "ignore-strays" else ""
        these = these or f"{joined(strays, survey.part)} is"
        meaning = f"{joined(kept, survey.part)}; {these} {OUTSIDE}"
    is_from_palette = bool(palette) and not known_names(survey, class_file)
    return _reading(
        key,
        meaning,
        survey.part,
        [group for group in groups if group not in void],
        ignored=_merged(void),
        strays=strays,
        palette_name=palette.name if palette and is_from_palette else "",
    )


def binary(survey: Survey) -> Reading:
    """255, or else the brighter of the two commonest values, against everything else."""
    commonest = sorted(survey.common[:2])
    foreground = 255 if 255 in survey.pixels and survey.part != "colour" else commonest[1]
    background = commonest[0] if commonest[0] != foreground else commonest[1]
    others = [value for value in survey.pixels if value not in (foreground, background)]
    fates = ", ".join(f"{label_of(v, survey.part)} ({survey.pixels[v]:,} pixels)" for v in others[:MAX_LISTED])
    more = f" and {len(others) - MAX_LISTED} more" if len(others) > MAX_LISTED else ""
    meaning = (
        f"{label_of(foreground, survey.part)} is the foreground, {label_of(background, survey.part)} the "
        f"background; {fates}{more} {'becomes' if len(others) == 1 else 'become'} background"
    )
    return _reading("binary", meaning, survey.part, _two_groups([background, *others], [foreground]))


def foreground(survey: Survey, values: Sequence[int]) -> Reading:
    """These values against all others."""
    others = [value for value in survey.pixels if value not in values]
    meaning = f"{joined(values, survey.part)} against everything else"
    key = "foreground:" + ",".join(key_of(value, survey.part) for value in values)
    return _reading(key, meaning, survey.part, _two_groups(others, values))


def listed(key: str, survey: Survey, class_file: ClassFile | None, values: Sequence[int]) -> Reading:
    """Each of these values its own class, all others ignored."""
    others = [value for value in survey.pixels if value not in values]
    meaning = f"{joined(values, survey.part)}; all other values are {OUTSIDE}"
    base = by_value(survey, class_file, strays=others)
    return base.model_copy(update={"key": key, "meaning": f"{_classes(len(base.groups))}: {meaning}"})


def commonest(survey: Survey, class_file: ClassFile | None) -> Reading:
    """The commonest values as classes, as many as there may be, all others ignored."""
    others = survey.common[MAX_VALUES:]
    count = sum(survey.pixels[value] for value in others)
    meaning = (
        f"the {MAX_VALUES} commonest values are classes; the {count:,} pixels of the {len(others)} others are {OUTSIDE}"
    )
    reading = by_value(survey, class_file, key=f"commonest:{MAX_VALUES}", strays=others)
    return reading.model_copy(update={"meaning": f"{_classes(len(reading.groups))}: {meaning}"})


def threshold(survey: Survey, level: int, class_file: ClassFile | None = None) -> Reading | None:
    """Foreground above a level; None when that leaves one side empty."""
    above = survey.above(level)
    if above in (0, survey.num_pixels):
        return None
    what = "brighter than" if survey.part == "colour" else "above"
    names = list(class_file.names.values()) if class_file else []
    if len(names) != 2:
        names = ["background", "foreground"]
    share = f"{100 * above / survey.num_pixels:.1f} % of the pixels"
    return _reading(
        "nonzero" if level == 0 else f"threshold:{level}",
        f"everything {what} {level} is the {names[1]} ({share})",
        "grey" if survey.part == "colour" else survey.part,
        [Group(name=name) for name in names],
        kind="threshold",
        threshold=level,
    )


def nearest(key: str, survey: Survey, centres: Sequence[int], class_file: ClassFile | None) -> Reading:
    """Each pixel takes the class of the nearest of these values or colours, named where they are known."""
    known: dict[int, str] = {}
    palette_name = ""
    if survey.part == "colour":
        palettes = [Palette(class_file.file, class_file.colours)] if class_file else []
        for palette in [*palettes, *(palette for palette in PALETTES if len(centres) > 2)]:
            moved = snapped(centres, list(palette.names))
            if moved:
                centres = [colour for colour in palette.names if colour in moved.values()]
                known = palette.names
                palette_name = palette.name if palette in PALETTES else ""
                break
    else:
        known = _plain_names(survey, centres)
    groups = [Group(name=_name_of(value, known, survey.part), values=[value]) for value in centres]
    void = [group for group in groups if is_ignored_name(group.name)]
    if len(groups) - len(void) < 2:
        void = []
    return _reading(
        key,
        f"each pixel takes the nearest of {joined(list(centres), survey.part)}",
        survey.part,
        [group for group in groups if group not in void],
        kind="nearest",
        ignored=_merged(void),
        palette_name=palette_name,
    )


def instances(survey: Survey, background: int, *, has_boundary: bool) -> Reading:
    """Everything but the background is one class, however many numbers it has; with a class where objects touch."""
    # PASCAL VOC draws a line of 255 around each object.
    is_line = survey.part != "colour" and 255 in survey.pixels and 254 not in survey.pixels
    strays = [255] if is_line and survey.gapless.total() >= survey.num_masks / 2 else []
    names = ["object", "boundary"] if has_boundary else ["object"]
    meaning = f"every number beside {label_of(background, survey.part)} is one object of the same class"
    if survey.part == "colour":
        meaning = f"every colour beside {label_of(background, survey.part)} is one object of the same class"
    return _reading(
        "instances+boundary" if has_boundary else "instances",
        meaning + ("; a line 2 px wide where two touch is a class of its own" if has_boundary else ""),
        survey.part,
        [Group(name="background", values=[background]), *(Group(name=name) for name in names)],
        kind="instances",
        strays=strays,
    )


def cityscapes(survey: Survey, ids: Literal["labels", "evaluated", "train"]) -> Reading:
    """Label ids of Cityscapes by name, the 19 of them that its benchmark evaluates, or those numbered 0 to 18."""
    labels = dict(enumerate(CITYSCAPES_LABELS))
    if ids == "train":
        labels = {label.train_id: label for label in CITYSCAPES_LABELS if label.train_id is not None}
    found = {value: labels[value] for value in survey.pixels if value in labels}
    void = [
        value
        for value, label in found.items()
        if (ids == "labels" and value < NUM_CITYSCAPES_VOID) or (ids == "evaluated" and label.train_id is None)
    ]
    groups = [Group(name=label.name, values=[value]) for value, label in found.items() if value not in void]
    others = ", ".join(found[value].name for value in void[:MAX_LISTED]) + (", ..." if len(void) > MAX_LISTED else "")
    return _reading(
        {"labels": "cityscapes", "evaluated": "cityscapes-19", "train": "cityscapes-train"}[ids],
        f"{CITYSCAPES_IDS[ids]} of Cityscapes" + (f"; {others} are {OUTSIDE}" if void else ""),
        survey.part,
        groups,
        ignored=Group(name="void", values=void) if void else None,
        strays=[value for value in survey.pixels if value in IGNORE_VALUES],
        palette_name="Cityscapes",
    )


def inverted(reading: Reading) -> Reading:
    """A reading of two classes with the two swapped; their names stay at their places."""
    names = [group.name for group in reading.groups]
    if all(name.startswith(("value ", "colour ")) for name in names):
        names = ["background", "foreground"]
    values = [group.values for group in reversed(reading.groups)]
    groups = [Group(name=name, values=group) for name, group in zip(names, values, strict=True)]
    what = f"everything above {reading.threshold}"
    if reading.kind != "threshold":
        what = joined(values[0], reading.part)
    update = {
        "key": "invert",
        "meaning": f"2 classes: the other way round, {what} is the {names[0]}",
        "groups": groups,
        "is_inverted": reading.kind == "threshold" and not reading.is_inverted,
        "reasons": [],
    }
    return reading.model_copy(update=update)


def ignoring(reading: Reading, value: int) -> Reading:
    """The same reading with one value left out of loss and scores."""
    groups = [
        group.model_copy(update={"values": [other for other in group.values if other != value]})
        for group in reading.groups
        if group.values != [value] or reading.kind == "threshold"
    ]
    meaning = f"{_classes(len(groups))}: as proposed, but {label_of(value, reading.part)} is {OUTSIDE}"
    update = {
        "key": f"ignore:{key_of(value, reading.part)}",
        "meaning": meaning,
        "groups": groups,
        "strays": sorted({*reading.strays, value}),
        "reasons": [],
    }
    return reading.model_copy(update=update)


def _reading(key: str, meaning: str, part: Part, groups: list[Group], **more: object) -> Reading:
    fields = {"kind": "values", **more, "strays": sorted(more.get("strays", ()))}  # type: ignore[call-overload]
    return Reading.model_validate(
        {"key": key, "meaning": f"{_classes(len(groups))}: {meaning}", "part": part, "groups": groups, **fields}
    )


def _classes(number: int) -> str:
    return f"{number} classes"


def _two_groups(background: Sequence[int], foreground: Sequence[int]) -> list[Group]:
    return [Group(name="background", values=sorted(background)), Group(name="foreground", values=sorted(foreground))]


def _merged(groups: Sequence[Group]) -> Group | None:
    if not groups:
        return None
    values = [value for group in groups for value in group.values]
    return Group(name=", ".join(group.name for group in groups), values=values)


def _palette(survey: Survey) -> Palette | None:
    """The known palette whose colours the masks have."""
    if survey.part == "colour":
        return palette_of(survey.pixels, is_palette_image=False) if len(survey.pixels) <= MAX_VALUES else None
    if not survey.is_palette:
        return TRIMAP if _is_trimap(survey) else None
    colours = [colour for index, colour in survey.palette.items() if index not in IGNORE_VALUES]
    return palette_of(colours, is_palette_image=True)


def _is_trimap(survey: Survey) -> bool:
    """True where nearly all masks hold 1, 2 and 3, and 3, the border between the two, fills least."""
    is_everywhere = all(number >= 0.9 * survey.num_masks for number in survey.files.values())
    is_known = survey.part == "value" and survey.pixels.keys() == TRIMAP.names.keys()
    return is_known and is_everywhere and survey.common[-1] == 3


def _by_palette(survey: Survey, palette: Palette) -> dict[int, str]:
    if survey.part == "colour" or palette is TRIMAP:
        return palette.names
    return {value: palette.names[colour] for value, colour in survey.palette.items() if colour in palette.names}


def _plain_names(survey: Survey, values: Sequence[int]) -> dict[int, str]:
    """Two values of which the lower is the larger part are background and foreground; else no names."""
    is_zero_and_another = len(values) == 2 and values[0] == 0 and survey.part != "colour"
    if is_zero_and_another and survey.pixels.get(0, 0) > survey.pixels.get(values[1], 0):
        return {0: "background", values[1]: "foreground"}
    return {}


def _name_of(value: int, names: dict[int, str], part: Part) -> str:
    return names.get(value) or f"{'colour' if part == 'colour' else 'value'} {label_of(value, part)}"
