"""Which files of one heap are pictures and which are masks, from the names of folders and files alone."""

from collections import defaultdict
from collections.abc import Callable, Sequence

from unetlab.data.names.file_names import Stripped, folder_words, is_strong, shorter_stems, stem_of
from unetlab.data.names.name_words import Role
from unetlab.data.names.named_files import NamedFile, Spot

_Stems = Callable[[NamedFile], dict[str, Stripped]]
_Relatives = dict[Spot, list[NamedFile]]


def tell_apart(files: Sequence[NamedFile]) -> tuple[list[NamedFile], list[NamedFile]]:
    """Pictures and masks of one heap: by the roles of their folders, else by their own names."""
    open_files = [file for file in files if file.role is None]
    relatives = _relatives(open_files, _strict)
    loose_relatives: _Relatives | None = None
    has_mask_folder = any(file.role == "mask" for file in files)
    images, masks = [], []
    for file in files:
        role = file.role or _role_beside(file, relatives, _strict) or _role_beside_twin(file, relatives)
        if role is None:
            # Worked out for those few sets only whose names need it: it costs ten times as much.
            loose_relatives = _relatives(open_files, _loose) if loose_relatives is None else loose_relatives
            role = _role_beside(file, loose_relatives, _loose) or _role_around(file, loose_relatives)
        if role is None and not has_mask_folder and _is_orphan_mask(file):
            role = "mask"
        (masks if role == "mask" else images).append(file)
    return images, masks


def looks_swapped(images: Sequence[str], masks: Sequence[str]) -> bool:
    """True when most names in the box for pictures speak of masks and none in the box for masks does."""
    # Staged files lie in `images/` and `masks/`: those two say in which box a file was, not what it is.
    are_boxes = all(path.startswith("images/") for path in images) and all(path.startswith("masks/") for path in masks)
    depth = 1 if are_boxes else 0
    num_masks = sum(_speaks_of_mask(path, depth) for path in images)
    return num_masks > len(images) / 2 and bool(masks) and not any(_speaks_of_mask(path, depth) for path in masks)


def _speaks_of_mask(path: str, depth: int) -> bool:
    roles = [role for folder in path.split("/")[depth:-1] if (role := folder_words(folder).role)]
    affixes = [affix for stripped in shorter_stems(stem_of(path)).values() for affix in stripped.affixes]
    return roles[-1:] == ["mask"] or any(is_strong(affix) for affix in affixes)


def _strict(file: NamedFile) -> dict[str, Stripped]:
    return file.stems


def _loose(file: NamedFile) -> dict[str, Stripped]:
    return file.loose


def _relatives(files: Sequence[NamedFile], stems: _Stems) -> _Relatives:
    relatives: _Relatives = defaultdict(list)
    for file in files:
        for stem in stems(file):
            relatives[file.key, stem].append(file)
    return relatives


def _role_beside(file: NamedFile, relatives: _Relatives, stems: _Stems) -> Role | None:
    """Of two files that differ by mask affixes, the one with more of them is the mask."""
    if _jpeg_twins(file, relatives):
        return None
    surplus = [
        stripped.num_mask_affixes - stems(other)[stem].num_mask_affixes
        for stem, stripped in stems(file).items()
        for other in relatives.get((file.key, stem), ())
        if other is not file
    ]
    if any(count > 0 for count in surplus):
        return "mask"
    return "image" if any(count < 0 for count in surplus) else None


def _jpeg_twins(file: NamedFile, relatives: _Relatives) -> bool:
    if file.is_jpeg:
        return False
    namesakes = relatives.get((file.key, file.stem), ())
    twins = [other for other in namesakes if other is not file and other.stem == file.stem]
    return len(twins) == 1 and twins[0].is_jpeg


def _role_beside_twin(file: NamedFile, relatives: _Relatives) -> Role | None:
    """a.jpg beside a.png: the photograph is the JPEG."""
    return "mask" if _jpeg_twins(file, relatives) else None


def _role_around(file: NamedFile, relatives: _Relatives) -> Role | None:
    """`cell_mask_1` beside `cell_1`, or beside `cell` whose first object it shows."""
    is_mask = any(
        other is not file for stems in file.around for stem in stems for other in relatives.get((file.key, stem), ())
    )
    return "mask" if is_mask else None


def _is_orphan_mask(file: NamedFile) -> bool:
    """An orphan called a_mask is a mask; in `a_mask.png` beside `masks/` the folders have already spoken."""
    return any(is_strong(affix) for stripped in file.stems.values() for affix in stripped.mask_affixes)
