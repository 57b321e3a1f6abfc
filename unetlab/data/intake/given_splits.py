"""The split that the lists and tables of a drop give together."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from unetlab.data.intake.lists import (
    TABLE_SUFFIXES,
    TRAINVAL,
    read_split_list,
    read_split_table,
    read_text,
    split_of_list,
)
from unetlab.data.labels.class_files import is_class_file
from unetlab.data.names.file_names import fold, folder_words, stem_of
from unetlab.data.names.name_words import Split
from unetlab.data.names.picture_names import PictureNames, some_of
from unetlab.data.readers.images import is_picture

VOC_LISTS, VOC_MASK_LISTS = "imagesets/", "imagesets/segmentation/"


@dataclass(frozen=True)
class GivenSplits:
    """The split of each file as it lies in the drop; masks are among them where a list names both by a stem.

    used: the lists that said so. notes: sentences on lists that contradict each other or name files in vain.
    """

    by_name: dict[str, Split] = field(default_factory=dict)
    used: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_splits(folder: Path, names: Sequence[str]) -> GivenSplits:
    """What all lists and tables among `names` (all files of the drop, relative to `folder`) say about the split.

    trainval lists count only where no list is called train; lists of ImageSets/Main only where there is no
    ImageSets/Segmentation. With validation lists alone (fast.ai's valid.txt) the rest is for training, unless a
    folder says otherwise; with training lists alone nothing is said. A file in two lists is tested on rather than
    validated on, and validated on rather than trained on.
    """
    pictures = PictureNames(names)
    said = {name: splits for name in _candidates(names) if (splits := _said_by(folder / name, name))}
    if any("train" in splits.values() for name, splits in said.items() if TRAINVAL not in stem_of(name)):
        said = {name: splits for name, splits in said.items() if TRAINVAL not in stem_of(name)}
    by_name: dict[str, Split] = {}
    twice: dict[str, None] = {}
    used, notes = [], []
    for list_name, splits in said.items():
        missing = []
        for name, split in splits.items():
            # The list may name pictures by the extension of their masks.
            found = pictures.find(name.rpartition(".")[0] if is_picture(name) else name, beside=list_name)
            missing += [] if found else [name]
            for file in found:
                if by_name.setdefault(file, split) != split:
                    twice[file] = None
                    by_name[file] = "test" if "test" in (split, by_name[file]) else "valid"
        if len(missing) < len(splits):
            used.append(list_name)
            if missing:
                notes.append(f"{list_name} names files that are not there: {some_of(missing)}.")
    if set(by_name.values()) <= {"train"}:  # a table was made for what stands beside the names, as HuBMAP's outlines
        return GivenSplits({}, [name for name in used if fold(name).endswith(".txt")], notes)
    if "train" not in by_name.values() and "valid" in by_name.values():
        by_name |= dict.fromkeys([name for name in names if name not in by_name and _is_free(name)], "train")
    if twice:
        notes.append(
            f"In two of the lists of training, validation and test pictures: {some_of(list(twice))}. Left out of "
            "training, so that no picture is scored that was trained on."
        )
    return GivenSplits(by_name, used, notes)


def _candidates(names: Sequence[str]) -> list[str]:
    tables = [name for name in names if fold(name).endswith(TABLE_SUFFIXES) and not is_class_file(name)]
    if not any(VOC_MASK_LISTS in fold(name) for name in tables):
        return tables
    return [name for name in tables if VOC_LISTS not in fold(name) or VOC_MASK_LISTS in fold(name)]


def _said_by(path: Path, name: str) -> dict[str, Split]:
    if fold(name).endswith(".txt") and split_of_list(name):
        found = read_split_list(name, read_text(path))
        return dict.fromkeys(found[1], found[0]) if found else {}
    return read_split_table(path) or {}


def _is_free(name: str) -> bool:
    """True for pictures in no folder of a split."""
    return is_picture(name) and not any(folder_words(part).split for part in name.split("/")[:-1])
