"""What is stored about a data set in `manifest.json`: the models, and nothing that computes."""

import zlib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from unetlab.data.labels.class_files import ClassFile
from unetlab.data.labels.masks import Reading
from unetlab.data.names.file_names import Split

SCHEMA_VERSION = 2

Severity = Literal["info", "warning", "error"]
Pages = Literal["first", "each"]


class ClassInfo(BaseModel):
    """One class. `id` is the pixel value in masks as training sees them, 0 to K-1 without gaps."""

    id: int
    name: str
    color: str  # "#rrggbb", the same on every page
    pixels: int
    is_background: bool = False
    values: list[int | str] = []  # mask values or "#rrggbb" colours that became this class


class Pair(BaseModel):
    """One picture and its mask; paths are relative to `originals/`, sizes in px as pictures are shown (upright).

    A mask that was made from several files or from polygons lies in `../made/`. The keys name the decoded
    pixels in the cache and come from the files' content. `page` counts from 0 in files of several pages; a
    `mask_page` of -1 is a mask that has one page for each class.
    """

    name: str
    image: str
    mask: str
    matched_by: str
    split: Split = "train"
    given_split: Split | None = None  # what folders or a list of names say
    height: int = 0
    width: int = 0
    image_key: str = ""
    mask_key: str = ""
    page: int = 0
    mask_page: int = 0
    renumbered: dict[int, int] = {}  # mask values that stand for others, as class files say (`numbering.py`)
    mask_orientation: int = 1  # EXIF orientation of the picture that its mask needs too
    class_pixels: list[int] = []  # pixels of class 0 to K-1 in the mask at its picture's size

    @property
    def file_keys(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """(file, key of its pixels) of the picture and of the mask."""
        return (self.image, self.image_key), (self.mask, self.mask_key)


class Fix(BaseModel):
    """One click: the words on the button, and the fields of Choices that it sets (lists are appended to).

    examples: files below `originals/` that show what this answer means, a picture before its mask.
    """

    label: str
    change: dict[str, Any]
    examples: list[str] = []


class Finding(BaseModel):
    """Something a person should know. message: what it is; effect: what it does to training; advice: what to do.

    severity `error` keeps the set from being used until it is fixed. together: files that belong to one another, such
    as a picture and its copies, to be shown side by side.
    """

    code: str
    severity: Severity = "warning"
    message: str
    effect: str = ""
    advice: str = ""
    files: list[str] = []
    fixes: list[Fix] = []
    together: list[list[str]] = []

    @property
    def key(self) -> str:
        """Names what is said and about which files; another number or another file makes it another finding."""
        return f"{self.code}-{zlib.crc32(chr(10).join([self.message, *self.files]).encode()):08x}"


class Choices(BaseModel):
    """What a person decided about a set; whatever is not decided here is proposed anew from the files."""

    model_config = ConfigDict(extra="forbid")
    reading: Reading | None = None  # chosen, or edited; None takes the proposal
    background: int | Literal["proposed"] | None = "proposed"  # class id
    pairs: list[tuple[str, str]] = []  # made by hand: (picture, mask)
    apart: list[tuple[str, str]] = []  # pairs that were made by name and are none
    excluded: list[str] = []  # pictures that are left out
    is_swapped: bool = False  # pictures were dropped as masks, masks as pictures
    turns_masks: bool = False  # masks were drawn on pictures as stored, before their EXIF rotation
    acknowledged: list[str] = []  # keys of warnings that a person has called right; the page hides them
    mask_kind: str | None = None  # which file is the mask, where several belong to a picture
    picture_kind: str | None = None  # which file is the picture, where that does not follow
    class_file: str | None = None  # the one that holds for all masks, where several disagree
    pages: Pages | None = None  # what to do with files of several pages
    grouping: Literal["none", "sequence"] = "none"  # keep neighbouring frames on one side of the split
    valid_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    seed: Annotated[int, Field(ge=0)] = 0


class Intensities(BaseModel):
    """How stored pixels become 0..1, and the mean and deviation that networks normalise with; see Manifest."""

    channels: int
    bits: Literal[8, 16, 32]
    low: list[float]
    high: list[float]
    mean: list[float]
    std: list[float]


class Manifest(BaseModel):
    """Everything that was found, proposed and decided about a data set.

    low, high: per channel the intensities that map to 0 and 1. mean, std: per channel of the training images in
    0..1, from at most 256 of them; std is never 0; pixels without a measurement do not count. content_hash covers all
    that changes a score (`content_hash.py`): equal hashes mean scores that can be compared.
    """

    model_config = ConfigDict(extra="ignore")
    schema_version: int = SCHEMA_VERSION
    name: str
    created: str
    version: int = 1
    note: str = ""
    layout: str = ""  # how the files lie, in words
    channels: int = 1
    bits: Literal[8, 16, 32] = 8
    low: list[float] = []
    high: list[float] = []
    mean: list[float] = []
    std: list[float] = []
    classes: list[ClassInfo] = []
    reading: Reading | None = None
    class_file: ClassFile | None = None  # names that came with the files
    ignored_pixels: int = 0
    ignored_values: list[int | str] = []
    pairs: list[Pair] = []
    is_given_split: bool = False
    content_hash: str = ""
    choices: Choices = Choices()
    findings: list[Finding] = []
    decisions: list[str] = []  # what was decided, by us or by a person, in sentences
    unmatched_images: list[str] = []
    unmatched_masks: list[str] = []
    ignored_files: list[str] = []

    @property
    def intensities(self) -> Intensities:
        return Intensities.model_construct(**self.model_dump(include=set(Intensities.model_fields)))
