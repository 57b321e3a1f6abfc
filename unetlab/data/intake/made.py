"""Masks that a drop does not hold as files: united from one file per object, or drawn from annotations.

They are written to a folder of their own as PNG, under the picture's path. What is made already is not made again:
a data set is examined after every decision. Shape letters: H height, W width, C channels.
"""

import hashlib
import io
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
from PIL import Image
from pydantic import BaseModel

from unetlab import files
from unetlab.data.in_threads import in_order
from unetlab.data.intake.annotations import (
    Coco,
    Outlined,
    as_coco,
    as_labelme,
    draw,
    draw_coco,
    is_special,
    load_json,
    read_coco,
    read_labelme,
    values_of,
)
from unetlab.data.names.file_names import natural_key
from unetlab.data.names.picture_names import PictureNames, some_of
from unetlab.data.readers.facts import Raster
from unetlab.data.readers.images import read_header, read_mask
from unetlab.errors import DataError, UnetlabError, UnreadableFile

__all__ = ["Coco", "Made", "Outlined", "draw_coco", "make_masks", "read_coco", "read_labelme", "union", "unite"]

MAX_OBJECTS = 65_535  # of one picture: the label map has 16 bits
RECORD = "made.json"
MAX_TOLD = 3
MAX_NAME_BYTES, CUT_NAME_BYTES = 220, 100  # file systems allow 255, and digest, ending and a temporary name follow

Pictures = dict[str, tuple[str, Outlined]]  # picture -> (annotation file, what it outlines)


class Made(BaseModel):
    """Masks drawn from annotations. masks: picture -> mask, relative to the folder for made masks.

    outlined_in: picture -> annotation file; empty in records of older versions. class_names: by mask value.
    used: the annotation files. notes: sentences on what could not be drawn.
    """

    masks: dict[str, str] = {}
    outlined_in: dict[str, str] = {}
    class_names: dict[int, str] = {}
    used: list[str] = []
    notes: list[str] = []


def union(paths: Sequence[Path]) -> np.ndarray:
    """Label map uint16 (H,W) of masks that show one object each: file i becomes i, counted from 1, earlier on top.

    An object is everything but the background: the value that is commonest at the border of all files together,
    or of the file where that value does not occur in it. Raises UnreadableFile for damaged files and different
    sizes, DataError for more than 65,535 files.
    """
    if len(paths) > MAX_OBJECTS:
        raise DataError(
            f"{paths[0].parent.name} holds {len(paths):,} masks of one picture, at most {MAX_OBJECTS:,} fit."
        )
    borders: list[Counter[int]] = []
    objects: list[np.ndarray] = []  # packed to bits: a picture can have hundreds
    shape: tuple[int, ...] = ()
    for path in paths:
        raster = read_mask(path)
        values = _as_numbers(raster.pixels)
        if shape and values.shape != shape:
            sizes = [f"{width}×{height} px" for height, width in (shape, values.shape)]
            raise UnreadableFile(
                f"{paths[0].name} has {sizes[0]}, {path.name} {sizes[1]}. "
                "Masks of one picture must have one size: export them again."
            )
        shape = values.shape
        border = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
        borders.append(
            Counter(dict(zip(*(each.tolist() for each in np.unique(border, return_counts=True)), strict=True)))
        )
        objects.append(np.packbits(_object(raster, values, _commonest(borders[-1]))))
    ground = _commonest(sum(borders, Counter()))
    labels = np.zeros(shape, np.uint16)
    for number, path in reversed(list(enumerate(paths))):
        inside = np.unpackbits(objects[number], count=labels.size).reshape(shape).astype(bool)
        if _commonest(borders[number]) != ground:  # the object itself may fill most of the border
            raster = read_mask(path)
            values = _as_numbers(raster.pixels)
            inside = _object(raster, values, ground) if (values == ground).any() else inside
        labels[inside] = number + 1
    return labels


def unite(paths: Sequence[Path], made: Path, image: str) -> str:
    """Writes the `union` of masks of the picture `image` below `made`; the file's name there. Errors as `union`."""
    digest = _digest(os.path.relpath(path, made).encode() for path in paths)
    name = f"{_shortened(os.path.splitext(image)[0])}-{digest}.png"
    if not (made / name).exists():
        _write_png(made / name, union(paths))
    return name


def make_masks(
    originals: Path,
    made: Path,
    *,
    jsons: Sequence[str],
    images: Sequence[str],
    progress: Callable[[int, int], None] | None = None,
) -> Made:
    """Draws the masks of all pictures that COCO and labelme files outline, below `made`.

    jsons, images: names relative to `originals`; JSON that is neither kind is passed over. Of two COCO files that
    outline one picture, the one with more categories counts. Classes of the same name are one class; they are
    numbered from 1, of COCO in the order of ids, of labelme by name. A file that is no JSON, has no outlines or no
    sizes becomes a note. progress: (masks drawn, masks to draw). Raises DataError for more than 254 classes.
    """
    folder = _digest_of(originals, jsons, images)
    if (made / folder / RECORD).exists():
        return Made.model_validate(files.read_json(made / folder / RECORD))
    found = Made()
    cocos, outlined = _loaded(originals, jsons, found.notes)
    if not cocos and not outlined:
        return found
    pictures = _placed(cocos, outlined, PictureNames(images), found.notes)
    # Files that outline nothing here decide nothing: without them the same masks come out, under the same names.
    used = {file for file, _ in pictures.values()}
    labels = list(dict.fromkeys(name for file in cocos if file in used for name in cocos[file].categories.values()))
    own = {shape.label for file in used & {*outlined} for shape in outlined[file].shapes if shape.label} - {*labels}
    values = values_of([*labels, *sorted(own, key=lambda label: (is_special(label), natural_key(label)))])
    found.class_names.update({0: "background"} | {value: name for name, value in values.items() if 0 < value < 255})
    names = _file_names(pictures)
    drawn_in = _digest_of(originals, [name for name in jsons if name in used], images)
    left_out: Counter[tuple[str, str]] = Counter()
    failed: list[str] = []
    work = partial(_draw_one, originals, made / drawn_in, values)
    jobs = [(image, names[image], outlined) for image, (_, outlined) in pictures.items()]
    with closing(in_order(work, jobs)) as drawings:  # when progress raises, no thread writes any more
        for done, ((image, name, _), drawn) in enumerate(zip(jobs, drawings, strict=True), start=1):
            if isinstance(drawn, str):
                failed.append(drawn)
            else:
                found.masks[image] = f"{drawn_in}/{name}"
                found.outlined_in[image] = pictures[image][0]
                left_out.update({(pictures[image][0], reason): count for reason, count in drawn.items()})
            if progress:
                progress(done, len(jobs))
    found.used.extend(dict.fromkeys(file for file, _ in pictures.values()))
    found.notes.extend(
        f"{file}: shapes left out because they {why}: {count:,}." for (file, why), count in left_out.items()
    )
    found.notes.extend(failed[:MAX_TOLD])
    if failed[MAX_TOLD:]:
        found.notes.append(f"{len(failed) - MAX_TOLD} more pictures have no mask for like reasons.")
    for each in {folder, drawn_in if pictures else folder}:
        (made / each).mkdir(parents=True, exist_ok=True)
        files.write_json(made / each / RECORD, found.model_dump(mode="json"))
    return found


def _loaded(originals: Path, jsons: Sequence[str], notes: list[str]) -> tuple[dict[str, Coco], dict[str, Outlined]]:
    """COCO files, those with the most categories first, and labelme files."""
    cocos: dict[str, Coco] = {}
    outlined: dict[str, Outlined] = {}
    for name in jsons:
        try:
            content = load_json(originals / name)
        except UnreadableFile as error:
            notes.append(str(error))
            continue
        if coco := as_coco(name, content):
            has_outlines = any(shape.polygons or shape.runs for image in coco.images.values() for shape in image.shapes)
            if has_outlines:
                cocos[name] = coco
            else:
                notes.append(f"{name} has no outlines (segmentation), at most boxes; masks cannot be drawn from it.")
        elif picture := as_labelme(name, content):
            outlined[name] = picture
    return dict(sorted(cocos.items(), key=lambda item: (-len(item[1].categories), item[0]))), outlined


def _placed(
    cocos: Mapping[str, Coco], outlined: Mapping[str, Outlined], names: PictureNames, notes: list[str]
) -> Pictures:
    """The picture in the drop that each outlined picture means."""
    placed: Pictures = {}
    missing: dict[str, list[str]] = defaultdict(list)
    unclear: dict[str, list[str]] = defaultdict(list)
    told = [(file, picture) for file, coco in cocos.items() for picture in coco.images.values()]
    for file, picture in [*told, *outlined.items()]:
        found = names.find(picture.file_name, beside=file)
        if not found and file in outlined:  # renamed together with its picture
            found = names.find(os.path.splitext(file)[0], beside=file)
        if len(found) == 1:
            placed.setdefault(found[0], (file, picture))
        else:
            (unclear if found else missing)[file].append(picture.file_name)
    for file, absent in missing.items():
        notes.append(f"{file} names pictures that are not there, {len(absent):,} in all: {some_of(absent)}.")
    for file, several in unclear.items():
        notes.append(f"{file} names {some_of(several)}, which several pictures are called. Give them different names.")
    return placed


def _file_names(pictures: Iterable[str]) -> dict[str, str]:
    """A name for each picture's mask: its own with .png, unless two pictures differ in nothing but the extension."""
    stems = Counter(os.path.splitext(picture)[0] for picture in pictures)
    return {
        picture: f"{_shortened(stem if stems[stem] == 1 else picture)}.png"
        for picture in pictures
        for stem in [os.path.splitext(picture)[0]]
    }


def _shortened(path: str) -> str:
    """The path; a last part that leaves no room for an ending is cut, and a digest keeps it apart from others."""
    folder, slash, name = path.rpartition("/")
    if len(name.encode()) <= MAX_NAME_BYTES:
        return path
    return f"{folder}{slash}{name.encode()[:CUT_NAME_BYTES].decode(errors='ignore')}-{_digest([path.encode()])}"


def _draw_one(
    originals: Path, folder: Path, values: Mapping[str, int], job: tuple[str, str, Outlined]
) -> Counter[str] | str:
    """Draws and writes one mask; what was left out of it, or the sentence why there is no mask."""
    image, name, outlined = job
    try:
        if not outlined.height or not outlined.width:
            header = read_header(originals / image)
            outlined = replace(outlined, height=header.height, width=header.width)
        mask, left_out = draw(outlined, values)
    except UnetlabError as error:
        return str(error)
    _write_png(folder / name, mask)
    return left_out


def _as_numbers(pixels: np.ndarray) -> np.ndarray:
    """(H,W,C) of at most 16 bits and four channels as one number a pixel, uint64 (H,W)."""
    numbers = np.zeros(pixels.shape[:2], np.uint64)
    for channel in range(pixels.shape[2]):
        numbers = numbers << np.uint64(16) | pixels[:, :, channel]
    return numbers


def _object(raster: Raster, values: np.ndarray, ground: int) -> np.ndarray:
    """Pixels bool (H,W) that are not the background; of a lossy file those nearer to what is farthest from it."""
    if not raster.is_lossy or not (values == ground).any():
        return values != ground
    colour = raster.pixels[values == ground][0].astype(np.int32)
    distance = np.abs(raster.pixels.astype(np.int32) - colour).max(axis=2)
    return distance > distance.max() // 2


def _commonest(counts: Counter[int]) -> int:
    return counts.most_common(1)[0][0]


def _write_png(path: Path, labels: np.ndarray) -> None:
    buffer = io.BytesIO()
    Image.fromarray(labels).save(buffer, "PNG", compress_level=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_atomic(path, buffer.getvalue(), is_durable=False)


def _digest_of(originals: Path, jsons: Sequence[str], images: Sequence[str]) -> str:
    contents = ((originals / name).read_bytes() for name in jsons)
    return _digest(chain(contents, (name.encode() for name in (*jsons, *sorted(images)))))


def _digest(parts: Iterable[bytes]) -> str:
    """Twelve hex digits that stand for the parts."""
    digest = hashlib.blake2b(digest_size=6)
    for part in parts:
        digest.update(len(part).to_bytes(8))
        digest.update(part)
    return digest.hexdigest()
