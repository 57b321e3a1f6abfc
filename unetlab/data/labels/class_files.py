"""Class names that come with the masks: tables, lists, CVAT label maps, protobuf text, JSON and YOLO's data.yaml.

FILE_NAMES lists the names under which such files are known.
"""

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from unetlab.data.names.file_names import fold

# fmt: off
FILE_NAMES = (
    "classes.csv", "class_dict.csv", "label_names.csv", "labels.csv", "codes.txt", "class_names.txt", "classes.txt",
    "labels.txt", "label_names.txt", "labelmap.txt", "label_map.txt", "label_colors.txt", "labelmap.pbtxt",
    "label_map.pbtxt", "classes.json", "label_map.json", "labelmap.json", "labels.json",
    "_classes.csv",  # Roboflow
    "class_dict_seg.csv", "label_class_dict.csv",  # Semantic Drone, Massachusetts
    "category_id.txt", "objectinfo150.txt",  # FoodSeg103, ADE20K
    "obj_class_to_machine_color.json",  # Supervisely
    "dataset.json", "config.json",  # nnU-Net, Mapillary Vistas
    "data.yaml",  # YOLO
)
# fmt: on
BACKGROUND_NAMES = frozenset(["background", "bg", "_background_", "__background__"])
# fmt: off
IGNORED_NAMES = frozenset([
    "void", "unlabelled", "unlabeled", "ignore", "ignored", "__ignore__", "ignore label", "don't care", "dont care",
    "dontcare",
])
# fmt: on
NAME_COLUMNS = ("readable", "name", "class_name", "label_name", "class", "label", "category", "title", "display_name")
ID_COLUMNS = ("id", "class_id", "label_id", "index", "idx", "value", "pixel_value", "pixel", "code", "label", "class")
COLOUR_COLUMNS = ("color", "colour", "hex", "rgb")
# No list of classes is longer than this, while a list of files may be called labels.txt, too.
MAX_BYTES, MAX_LINE = 1_000_000, 500
NUMBER = r"([0-9]{1,5})"
RGB = r"([0-9]{1,3})[\s,;]+([0-9]{1,3})[\s,;]+([0-9]{1,3})"
NAME = r"(\S.*?)"
IGNORED_ID = 255  # labelme numbers `__ignore__` -1, which is 255 in 8 bits


@dataclass(frozen=True)
class ClassFile:
    """Class names by mask value and by colour (0xRRGGBB), in the file's order. `colours` may be empty.

    has_ids: the file says the values itself; otherwise its classes were counted from 0.
    Two are equal when they say the same, whatever the file is called.
    """

    file: str = field(compare=False)
    names: dict[int, str] = field(default_factory=dict)
    colours: dict[int, str] = field(default_factory=dict)
    has_ids: bool = False


@dataclass(frozen=True)
class Entry:
    """One class of a file; value and colour where the file gives them."""

    name: str
    value: int | None = None
    colour: int | None = None


def is_class_file(name: str) -> bool:
    """True for a file name that is known to hold class names."""
    return fold(name.rsplit("/", 1)[-1]) in FILE_NAMES


def is_ignored_name(name: str) -> bool:
    """True for names that mean "leave these pixels out", such as void or unlabelled."""
    return fold(name).strip() in IGNORED_NAMES


def read_class_file(path: Path) -> ClassFile | None:
    """The classes in `path`: a table, a list with one class a line, a CVAT label map, pbtxt, JSON or data.yaml.

    A line is a name, with its value (`3 road`, `3: road`) or colour (`128 64 128 road`, `road:128,64,128::`) if
    need be; without values the classes count from 0. Returns None when the file holds no names, is too long for a list
    of classes, and for COCO.
    """
    if path.stat().st_size > MAX_BYTES:
        return None
    with open(path, "rb") as file:
        text = file.read().decode("utf-8-sig", errors="replace")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if "\0" in text:
        return None
    suffix = path.suffix.lower()
    if suffix == ".json":
        entries = _from_json(text, fold(path.name))
    elif suffix == ".pbtxt":
        entries = _from_pbtxt(text)
    elif suffix == ".yaml":
        entries = _from_yaml(text)
    elif any(len(line) > MAX_LINE for line in lines):
        return None
    elif _has_header(lines, suffix):
        entries = _from_table(lines)
    else:  # without its header, Roboflow's table is one of pictures
        entries = [] if fold(path.name) == "_classes.csv" else _from_lines(lines)
    return _class_file(path.name, [entry for entry in entries if entry.name])


def _class_file(file: str, entries: list[Entry]) -> ClassFile | None:
    if not entries:
        return None
    names: dict[int, str] = {}
    first = -1 if fold(entries[0].name) == "__ignore__" else 0
    for number, entry in enumerate(entries, start=first):
        value = number if entry.value is None else entry.value
        names[IGNORED_ID if value == -1 else value] = entry.name
    colours = {entry.colour: entry.name for entry in entries if entry.colour is not None}
    return ClassFile(file, names, colours, has_ids=all(entry.value is not None for entry in entries))


def _has_header(lines: list[str], suffix: str) -> bool:
    """True where the first line names columns: one of names, and in a text file, split by tabs, one of ids as well."""
    header = [
        _column(cell) for cell in next(csv.reader(lines[:1], delimiter=_delimiter(lines), skipinitialspace=True), [])
    ]
    has_names = any(cell in NAME_COLUMNS for cell in header)
    has_ids = len(header) > 1 and _delimiter(lines) == "\t" and any(cell in ID_COLUMNS for cell in header)
    return has_names and (suffix == ".csv" or has_ids)


def _delimiter(lines: list[str]) -> str:
    return next((delimiter for delimiter in "\t;" if delimiter in lines[0]), ",") if lines else ","


def _column(header: str) -> str:
    """The name of a column as it stands in the lists above: `Pixel Value` is `pixel_value`."""
    return re.sub(r"[\s-]+", "_", fold(header).strip())


def _from_table(lines: list[str]) -> list[Entry]:
    """Rows of a table whose first line names its columns."""
    entries = []
    for row in csv.DictReader(lines, delimiter=_delimiter(lines), skipinitialspace=True):
        cells = {_column(key): cell.strip() for key, cell in row.items() if isinstance(cell, str) and key}
        name = next((cells[key] for key in NAME_COLUMNS if key in cells and not cells[key].isdecimal()), "")
        value = next((cells[key] for key in ID_COLUMNS if cells.get(key, "").isdecimal()), "")
        channels = [
            cells.get(short, cells.get(long, "")) for short, long in (("r", "red"), ("g", "green"), ("b", "blue"))
        ]
        written = next((cells[column] for column in COLOUR_COLUMNS if column in cells), " ".join(channels))
        entries.append(Entry(name, int(value) if value else None, _colour(written)))
    return entries


def _from_lines(lines: list[str]) -> list[Entry]:
    """One class a line, all lines in the same of the known forms; else each line is a name."""
    forms = (
        (rf"{RGB}[\s,;:]+{NAME}", lambda m: Entry(m[4], colour=_colour(f"{m[1]} {m[2]} {m[3]}"))),
        (
            rf"{NUMBER}\s*[:,;\s]\s*{NAME}[\s,;:]+{RGB}",
            lambda m: Entry(m[2], int(m[1]), _colour(" ".join(m.group(3, 4, 5)))),
        ),
        (rf"{NAME}[\s,;:]+{RGB}(?:[:\s,;].*)?", lambda m: Entry(m[1], colour=_colour(f"{m[2]} {m[3]} {m[4]}"))),
        (rf"{NAME}[\s,;:]+(#[0-9a-fA-F]{{6}})", lambda m: Entry(m[1], colour=_colour(m[2]))),
        (rf"(#[0-9a-fA-F]{{6}})[\s,;:]+{NAME}", lambda m: Entry(m[2], colour=_colour(m[1]))),
        (rf"{NUMBER}\s*[:,;\s]\s*{NAME}", lambda m: Entry(m[2], int(m[1]))),
        (rf"{NAME}\s*[:,;=\t]\s*{NUMBER}", lambda m: Entry(m[1], int(m[2]))),
    )
    for pattern, entry_of in forms:
        matches = [re.fullmatch(pattern, line) for line in lines]
        if lines and all(matches):
            return [entry_of(match) for match in matches]
    return [Entry(line) for line in lines]


def _from_pbtxt(text: str) -> list[Entry]:
    """`item { id: 1 name: 'cat' display_name: 'Cat' }`, as TensorFlow's object detection writes it."""
    entries = []
    for item in re.findall(r"\{([^{}]*)\}", text):
        value = re.search(r"\bid\s*:\s*([0-9]+)", item)
        name = re.search(r"""\bdisplay_name\s*:\s*(["'])(.*?)\1""", item) or re.search(
            r"""\bname\s*:\s*(["'])(.*?)\1""", item
        )
        if name:
            entries.append(Entry(name[2].strip(), int(value[1]) if value else None))
    return entries


def _from_yaml(text: str) -> list[Entry]:
    """`names: [cat, dog]`, or below `names:` one `- cat` or `0: cat` a line."""
    listed = re.search(r"^names:\s*\[([^\]]*)\]", text, re.MULTILINE)
    if listed:
        return [Entry(name.strip(" \t\r\n'\"")) for name in listed[1].split(",")]
    below = re.search(r"^names:[ \t]*\r?\n((?:[ \t]*(?:-|[0-9]+:)[ \t]+.*(?:\n|$))+)", text, re.MULTILINE)
    rows = re.findall(r"^[ \t]*(?:-|([0-9]{1,5}):)[ \t]+(.*)$", below[1], re.MULTILINE) if below else []
    return [Entry(name.strip(" \t\r'\""), int(value) if value else None) for value, name in rows]


def _from_json(text: str, file: str) -> list[Entry]:
    """A list of names or objects, {name: value or colour}, {value or colour: name}, or one of these within."""
    try:
        content = json.loads(text)
        if isinstance(content, dict) and {"images", "annotations"} <= content.keys():
            return []  # COCO: its categories come along when its outlines are drawn
        if file in ("dataset.json", "config.json"):  # common names: only what nnU-Net and Mapillary write
            content = content.get("labels") if isinstance(content, dict) else None
            if file == "dataset.json" and isinstance(content, dict):  # a list is a region made of several classes
                content = {name: value for name, value in content.items() if isinstance(value, int | str)}
            elif file == "dataset.json" or not isinstance(content, list):
                return []
        entries = list(_entries(content))
    except (ValueError, RecursionError):
        return []
    if file == "obj_class_to_machine_color.json" and all(_is_grey(entry.colour) for entry in entries):
        return [replace(entry, value=(entry.colour or 0) & 255) for entry in entries]
    return entries


def _entries(content: Any) -> Iterator[Entry]:
    if isinstance(content, dict):
        inner = next((content[key] for key in ("classes", "categories", "labels", "items") if key in content), None)
        if isinstance(inner, dict | list):
            yield from _entries(inner)
            return
        content = [_entry_of(key, value) for key, value in content.items()]
    for element in content if isinstance(content, list) else []:
        if isinstance(element, Entry):
            yield element
        elif isinstance(element, str):
            yield Entry(element.strip())
        elif isinstance(element, dict):
            cells = {fold(str(key)): value for key, value in element.items()}
            name = next((cells[key] for key in NAME_COLUMNS if isinstance(cells.get(key), str)), "")
            value = next((cells[key] for key in ID_COLUMNS if isinstance(cells.get(key), int)), None)
            colour = next((_colour(cells[column]) for column in COLOUR_COLUMNS if column in cells), None)
            yield Entry(name.strip(), value, colour)


def _entry_of(key: str, value: Any) -> Entry:
    """One item of a mapping, whichever of its two sides is the name."""
    if isinstance(value, dict):
        return next(_entries([{"id": int(key), **value} if key.isdecimal() else {"name": key, **value}]))
    if isinstance(value, str) and (key.lstrip("-").isdecimal() or _colour(key) is not None):
        is_value = key.lstrip("-").isdecimal()
        return Entry(value.strip(), int(key) if is_value else None, None if is_value else _colour(key))
    is_value = isinstance(value, int) or (isinstance(value, str) and value.isdecimal())
    return Entry(key.strip(), int(value) if is_value else None, None if is_value else _colour(value))


def _colour(written: Any) -> int | None:
    """0xRRGGBB from `#ff8000`, `255 128 0`, `(255, 128, 0)` or a list of three numbers; None for anything else."""
    if isinstance(written, list | tuple):
        written = " ".join(str(channel) for channel in written[:3])
    if not isinstance(written, str):
        return None
    hexadecimal = re.fullmatch(r"#?([0-9a-fA-F]{6})", written.strip())
    if hexadecimal and not written.strip().isdecimal():
        return int(hexadecimal[1], 16)
    match = re.fullmatch(rf"\W*{RGB}\W*", written)
    channels = [int(channel) for channel in match.groups()] if match else []
    if not channels or max(channels) > 255:
        return None
    return channels[0] << 16 | channels[1] << 8 | channels[2]


def _is_grey(colour: int | None) -> bool:
    return colour is not None and colour % 0x010101 == 0
