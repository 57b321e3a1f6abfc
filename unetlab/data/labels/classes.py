"""The classes of a data set: names, colours, background."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import dist

from unetlab.data.labels.class_files import BACKGROUND_NAMES
from unetlab.data.labels.masks import Reading, label_of
from unetlab.data.labels.surveys import channels_of
from unetlab.data.manifest import ClassInfo
from unetlab.data.names.file_names import fold

BACKGROUND_COLOR, BACKGROUND_RGB = "#404040", 0x404040
TOLD_APART = 60  # distance of two colours in RGB, 0..442
# Class 0 to 31: Okabe and Ito 2008, then Paul Tol's muted and light schemes, both made for colour-blind eyes,
# then shades between them. Class 1 comes first where class 0 is the grey background, hence orange there.
# fmt: off
PALETTE = (
    "#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#0072b2", "#f0e442", "#d55e00", "#882255",
    "#44aa99", "#ddcc77", "#332288", "#cc6677", "#88ccee", "#117733", "#aa4499", "#999933",
    "#77aadd", "#ee8866", "#bbcc33", "#ffaabb", "#99ddff", "#aaaa00", "#eedd88", "#6699cc",
    "#661100", "#b997c7", "#8c510a", "#01665e", "#c51b7d", "#7fbc41", "#f4a582", "#4d9221",
)
# fmt: on


def class_infos(
    reading: Reading, pixels: Sequence[int], *, background: int | None, palette: Mapping[int, int] | None = None
) -> list[ClassInfo]:
    """The classes of a reading with their pixel counts, unique names and fixed colours.

    palette: colour 0xRRGGBB of each value, for masks that have one. Classes that came as colours keep them.
    """
    names: list[str] = []
    own = _own_colors(reading, background, palette or {})
    for group in reading.groups:
        names.append(unused_name(group.name, names))
    return [
        ClassInfo(
            id=index,
            name=names[index],
            color=BACKGROUND_COLOR if index == background else own[index] if own else PALETTE[index % len(PALETTE)],
            pixels=int(pixels[index]),
            is_background=index == background,
            values=shown_values(reading, group.values),
        )
        for index, group in enumerate(reading.groups)
    ]


def _own_colors(reading: Reading, background: int | None, palette: Mapping[int, int]) -> list[str]:
    """The colours that the masks have, "#rrggbb" by class; none where two could be mixed up, or one is missing."""
    firsts = [group.values[0] if group.values else -1 for group in reading.groups]
    known = {value: value for value in firsts} if reading.part == "colour" else palette
    if -1 in firsts or not known.keys() >= {*firsts}:
        return []
    drawn = [BACKGROUND_RGB if index == background else known[value] for index, value in enumerate(firsts)]
    is_clear = all(dist(channels_of(one), channels_of(two)) >= TOLD_APART for one, two in combinations(drawn, 2))
    return [f"#{colour:06x}" for colour in drawn] if is_clear else []


def choose_background(reading: Reading, pixels: Sequence[int]) -> tuple[int | None, str]:
    """(class id of the background or None, why), for the scores that leave the background out."""
    groups = reading.groups
    total = sum(int(count) for count in pixels[: len(groups)]) or 1
    for index, group in enumerate(groups):
        if fold(group.name) in BACKGROUND_NAMES:
            return index, f"Background is '{group.name}', by its name."
    if len(groups) == 2:
        index = 0 if pixels[0] >= pixels[1] else 1
        share = 100 * int(pixels[index]) / total
        return index, f"Background is '{groups[index].name}': of two classes it fills more ({share:.0f} %)."
    has_names = any(not group.name.startswith(("value ", "colour ")) for group in groups)
    zero = next((index for index, group in enumerate(groups) if group.values == [0]), None)
    if zero is not None and not has_names and pixels[zero] == max(pixels[: len(groups)]):
        what = "black" if reading.part == "colour" else "value 0"
        return zero, f"Background is '{groups[zero].name}': {what}, and the largest class."
    return None, "No class is marked as background: scores are means over all classes."


def shown_values(reading: Reading, values: Sequence[int]) -> list[int | str]:
    """Mask values as people know them: numbers, or "#rrggbb" where masks are in colour."""
    return [label_of(value, reading.part) if reading.part == "colour" else value for value in values]


def unused_name(name: str, taken: Sequence[str]) -> str:
    """`name`, or `name (2)` and so on where it is taken."""
    number, candidate = 1, name
    while candidate in taken:
        number += 1
        candidate = f"{name} ({number})"
    return candidate
