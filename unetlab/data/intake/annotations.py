"""Annotation files (COCO, labelme) to label maps: what they outline in which picture, and drawing it.

Both kinds become `Outlined` pictures with shapes. Label maps are uint8 (H,W): 0 background, 255 left out.
"""

import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from unetlab.data.intake.lists import read_text
from unetlab.data.intake.outlines import MAX_COORDINATE, Area, fill, from_runs, paint, unpacked_counts
from unetlab.data.labels.class_files import BACKGROUND_NAMES
from unetlab.data.names.file_names import fold
from unetlab.data.readers.images import MAX_PIXELS
from unetlab.errors import DataError, UnreadableFile

IGNORE = 255
MAX_CLASSES = 254
IGNORED_LABEL = "__ignore__"  # labelme's word for pixels to leave out
CIRCLE_POINTS = 90

NO_OUTLINE = "have no outline, only a box, a line or a point"
FAULTY = "have an outline that is damaged or does not fit the size of the picture"
OUTSIDE = "lie outside of the picture or cover no pixel"
UNKNOWN_CATEGORY = "belong to a category that the file does not list"
CROWD = "are crowds (iscrowd), whose pixels are ignored; set iscrowd to 0 if they are objects"


@dataclass(frozen=True)
class Shape:
    """One annotated object as its file has it. label: the class's name, None where the category is not listed.

    is_crowd: to be ignored, as the file says; never so where it outlines nothing but crowds of a class.
    """

    label: str | None
    polygons: list[Any] = field(default_factory=list)
    runs: Any = None
    is_crowd: bool = False


@dataclass(frozen=True)
class Outlined:
    """One picture of an annotation file. Its size is 0 where the file does not say it."""

    file_name: str
    height: int
    width: int
    shapes: list[Shape] = field(default_factory=list)


@dataclass(frozen=True)
class Coco:
    """A COCO file: pictures by id, category names by id and in the order of ids; no name stands there twice."""

    file: str
    images: dict[int | str, Outlined]
    categories: dict[int | str, str]


def read_coco(path: Path) -> Coco | None:
    """The pictures, categories and outlines of a COCO file; None for JSON that is none. Raises UnreadableFile."""
    return as_coco(path.name, load_json(path))


def read_labelme(path: Path) -> Outlined | None:
    """The picture and outlines of a labelme file; None for JSON that is none. Raises UnreadableFile."""
    return as_labelme(path.name, load_json(path))


def draw_coco(coco: Coco, image_id: int | str) -> np.ndarray:
    """The label map uint8 (H,W) of one picture: 1 + index of the category in the order of ids.

    Crowds (`Shape.is_crowd`) become 255; smaller objects lie on larger ones. Raises DataError without a size, or
    with more than 254 categories.
    """
    return draw(coco.images[image_id], values_of(list(coco.categories.values())))[0]


def load_json(path: Path) -> Any:
    """The parsed file. Raises UnreadableFile for anything but JSON."""
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise UnreadableFile(f"{path.name} is no valid JSON ({error}). Export the annotations again.") from error


def as_coco(file: str, content: Any) -> Coco | None:
    """As `read_coco`, from parsed JSON. Captions and panoptic files are none: they outline nothing."""
    if not isinstance(content, dict) or not all(isinstance(content.get(k), list) for k in ("images", "annotations")):
        return None
    annotations = _entries(content, "annotations")
    if annotations and not any("segmentation" in entry or "bbox" in entry for entry in annotations):
        return None
    categories = _category_names(_entries(content, "categories"))
    images: dict[int | str, Outlined] = {}
    for entry in _entries(content, "images"):
        identity, name = entry.get("id"), entry.get("file_name")
        if isinstance(identity, int | str) and isinstance(name, str) and name:
            images[identity] = Outlined(name, _pixels(entry.get("height")), _pixels(entry.get("width")))
    for entry in annotations:
        image = images.get(entry["image_id"]) if isinstance(entry.get("image_id"), int | str) else None
        if image:
            identity, outline = entry.get("category_id"), entry.get("segmentation")
            label = categories.get(identity) if isinstance(identity, int | str) else None
            is_crowd = bool(entry.get("iscrowd"))
            polygons = outline if isinstance(outline, list) else []
            if polygons and not isinstance(polygons[0], list):
                polygons = [polygons]  # some exporters leave out the outer list
            runs = outline if isinstance(outline, dict) else None
            image.shapes.append(Shape(label, polygons, runs, is_crowd))
    _settle_crowds(images.values())
    return Coco(file, images, categories)


def _settle_crowds(images: Collection[Outlined]) -> None:
    """Crowds of a class without any other outline are its objects: CVAT and datumaro mark every brush mask so."""
    shapes = [shape for image in images for shape in image.shapes]
    single = {shape.label for shape in shapes if not shape.is_crowd and (shape.polygons or shape.runs)}
    for image in images:
        image.shapes[:] = [
            replace(shape, is_crowd=shape.is_crowd and (shape.label is None or shape.label in single))
            for shape in image.shapes
        ]


def as_labelme(file: str, content: Any) -> Outlined | None:
    """As `read_labelme`, from parsed JSON."""
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        return None
    if not ("imagePath" in content or "imageHeight" in content):
        return None
    named = content.get("imagePath")
    outlined = Outlined(
        named if isinstance(named, str) and named else file,
        _pixels(content.get("imageHeight")),
        _pixels(content.get("imageWidth")),
    )
    for entry in _entries(content, "shapes"):
        polygon = _labelme_polygon(entry.get("shape_type") or "polygon", entry.get("points"))
        outlined.shapes.append(Shape(str(entry.get("label") or "unnamed"), [polygon] if polygon else []))
    return outlined


def values_of(labels: list[str]) -> dict[str, int]:
    """Label to mask value, 1 and up in the given order; names of the background are 0, `__ignore__` is 255.

    Raises DataError for more than 254 labels.
    """
    if len(labels) > MAX_CLASSES:
        raise DataError(
            f"The annotations name {len(labels)} classes, at most {MAX_CLASSES} are possible. "
            "Export fewer of them, or merge some."
        )
    values = {label: number for number, label in enumerate(labels, start=1) if not is_special(label)}
    return values | {label: IGNORE if label == IGNORED_LABEL else 0 for label in labels if is_special(label)}


def is_special(label: str) -> bool:
    """True for labels that are no class of their own: names of the background, and labelme's `__ignore__`."""
    return label == IGNORED_LABEL or fold(label) in BACKGROUND_NAMES


def draw(outlined: Outlined, values: Mapping[str, int]) -> tuple[np.ndarray, Counter[str]]:
    """Label map uint8 (H,W) of a picture, and how many shapes are left out for which reason.

    Raises DataError when the size is missing or too large.
    """
    height, width = outlined.height, outlined.width
    if not 0 < height * width <= MAX_PIXELS:
        size = f"is {height}×{width} px, more than can be read" if height * width else "is not given"
        raise DataError(f"The size of {outlined.file_name} {size}. Export its height and width with the annotations.")
    areas: list[tuple[Area, int, bool]] = []
    left_out: Counter[str] = Counter()
    for shape in outlined.shapes:
        if shape.label is None and not shape.is_crowd:
            left_out[UNKNOWN_CATEGORY] += 1
        elif not shape.polygons and not shape.runs:
            left_out[NO_OUTLINE] += 1
        else:
            try:
                area = _area(shape, height, width)
            except (ValueError, TypeError, KeyError, OverflowError):  # whatever stands where numbers should
                left_out[FAULTY] += 1
                continue
            left_out[OUTSIDE] += not area.num_pixels
            left_out[CROWD] += shape.is_crowd and area.num_pixels > 0
            areas.append((area, IGNORE if shape.is_crowd else values[shape.label or ""], shape.is_crowd))
    # Crowds lie at the bottom and small objects on large ones, so that all stay visible.
    areas.sort(key=lambda item: (not item[2], -item[0].num_pixels))
    return paint([(area, value) for area, value, _ in areas], height, width), +left_out


def _area(shape: Shape, height: int, width: int) -> Area:
    if shape.runs is None:
        polygons = [np.asarray(polygon, np.float64).reshape(-1, 2) for polygon in shape.polygons]
        if any(len(polygon) < 3 or not (np.abs(polygon) < MAX_COORDINATE).all() for polygon in polygons):
            raise ValueError("too few points, or no coordinates")
        return fill(polygons, height, width)
    counts, size = shape.runs["counts"], shape.runs.get("size", [height, width])
    if size != [height, width]:
        raise ValueError("another size than the picture")
    return from_runs(unpacked_counts(counts) if isinstance(counts, str) else counts, height, width)


def _labelme_polygon(kind: str, points: Any) -> Any:
    """The points of an area; None for lines, points and what is not known."""
    if kind == "polygon":
        return points
    try:
        (x0, y0), (x1, y1) = np.asarray(points, np.float64)
    except (ValueError, TypeError):
        return None
    if kind == "rectangle":
        return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    if kind == "circle":  # its centre and a point on it
        angles = np.linspace(0, 2 * np.pi, CIRCLE_POINTS, endpoint=False)
        radius = np.hypot(x1 - x0, y1 - y0)
        return np.stack([x0 + radius * np.cos(angles), y0 + radius * np.sin(angles)], axis=1).tolist()
    return None


def _category_names(entries: list[dict[str, Any]]) -> dict[int | str, str]:
    found: dict[int | str, str] = {}
    numbered = [entry for entry in entries if isinstance(entry.get("id"), int | str)]
    for entry in sorted(numbered, key=lambda entry: (isinstance(entry["id"], str), entry["id"])):
        name = str(entry.get("name") or f"category {entry['id']}")
        found[entry["id"]] = name if name not in found.values() else f"{name} ({entry['id']})"
    return found


def _entries(content: dict[str, Any], key: str) -> list[dict[str, Any]]:
    value = content.get(key)
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _pixels(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and 0 < value < 2**31 else 0
