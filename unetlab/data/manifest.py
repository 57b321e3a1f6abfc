"""What is stored about a data set in `manifest.json`: the models, and nothing that computes."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from unetlab.data.file_names import Split
from unetlab.data.masks import Reading

SCHEMA_VERSION = 1


class ClassInfo(BaseModel):
    """One class. `id` is the pixel value in decoded masks, 0 to K-1 without gaps."""

    id: int
    name: str
    color: str  # "#rrggbb", the same on every page
    pixels: int
    is_background: bool = False
    values: list[int | str] = []  # mask values or "#rrggbb" colours that became this class


class Pair(BaseModel):
    """One picture and its mask; paths are relative to `originals/`, sizes in px."""

    name: str
    image: str
    mask: str
    matched_by: str
    split: Split
    height: int
    width: int


class Problem(BaseModel):
    """Something the user should know: what it is, what it does to training, what to do."""

    file: str
    code: str
    message: str
    severity: Literal["info", "warning", "error"] = "warning"


class Manifest(BaseModel):
    """Everything that was found and decided when the data set was imported.

    low, high: per channel the stored intensities that map to 0 and 1. mean, std: per channel of the training
    images in 0..1, from at most 256 of them; std is never 0. pixels_hash names the cache and covers decoded
    pictures and masks; content_hash covers those, the names and the split.
    """

    model_config = ConfigDict(extra="ignore")
    schema_version: int = SCHEMA_VERSION
    name: str
    created: str
    note: str = ""
    channels: int
    bits: Literal[8, 16] = 8  # depth of the stored intensities
    low: list[float]
    high: list[float]
    mean: list[float]
    std: list[float]
    classes: list[ClassInfo]
    reading: Reading
    ignored_pixels: int = 0
    ignored_values: list[int | str] = []
    pairs: list[Pair]
    is_given_split: bool = False
    valid_fraction: float = 0.2
    seed: int = 0
    pixels_hash: str
    content_hash: str
    unmatched_images: list[str] = []
    unmatched_masks: list[str] = []
    ignored_files: list[str] = []
    problems: list[Problem] = []
    decisions: list[str] = []
