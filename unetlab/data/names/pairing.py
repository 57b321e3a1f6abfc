"""Which mask belongs to which picture, from file names alone.

Pure: takes relative names, opens nothing. A pair is made only where one picture and one mask find each other
and nobody else does; what is ambiguous is told, not guessed; what is likely is suggested, not taken.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from unetlab.data.names.box_rules import match_by_common_parts
from unetlab.data.names.file_names import fold, is_junk, natural_key
from unetlab.data.names.heap_kinds import find_kinds
from unetlab.data.names.kind_choice import settle_kinds
from unetlab.data.names.layouts import BY_HAND, LISTED, describe_layout
from unetlab.data.names.listed import FileIndex, listed_split, split_lookup
from unetlab.data.names.mask_kinds import Look
from unetlab.data.names.matches import MaskKind, Match, NearMiss, Pairing
from unetlab.data.names.matching import Found, Matcher, match_by_stem
from unetlab.data.names.name_words import Split
from unetlab.data.names.named_files import NamedFile, read_names
from unetlab.data.names.near_misses import find_near_misses
from unetlab.data.names.object_masks import match_by_folder, match_numbered
from unetlab.data.names.roles import looks_swapped, tell_apart
from unetlab.data.names.twins import settle_twins
from unetlab.data.names.unknown_kinds import match_by_unknown_words
from unetlab.data.readers.images import is_picture
from unetlab.errors import DataError

_RULES = (
    match_by_folder,
    match_by_stem,
    match_numbered,
    match_by_common_parts,
    match_by_unknown_words,
)  # the surest first

__all__ = ["MaskKind", "Match", "NearMiss", "Pairing", "pair_files"]


def pair_files(
    images: Iterable[str],
    masks: Iterable[str] | None = None,
    *,
    by_hand: Sequence[tuple[str, str]] = (),
    apart: Sequence[tuple[str, str]] = (),
    table: Mapping[str, str] | None = None,
    splits: Mapping[str, Split] | None = None,
    mask_kind: str | None = None,
    picture_kind: str | None = None,
    look: Look | None = None,
) -> Pairing:
    """The pairs among relative file names (`/` between folders); the same for any order of the names.

    images, masks: what came in the box for pictures and in the box for masks. With `masks=None` everything
    came in one heap: folder names, then affixes of file names, say which are masks. by_hand: pairs of picture and
    mask that a person made, from any box; they win over everything. apart: pairs that must not be made. table:
    mask by picture, as a list names them: full paths, ends of paths, bare names or stems; what is not there is
    passed over. splits: the split by such a name; it wins over folders. mask_kind: the name of one of `mask_kinds`;
    any other counts as not chosen. picture_kind: likewise the kind that holds the pictures. look: asked which kind of
    file holds the pictures, where names leave it open or only endings tell. Raises DataError for a file in by_hand that
    is not there.
    """
    boxes = [sorted(set(box), key=natural_key) for box in ([images] if masks is None else [images, masks])]
    made, used = _made_by_hand(boxes, by_hand)
    usable = [
        [name for name in box if name not in used_names and not is_junk(name) and is_picture(name)]
        for box, used_names in zip(boxes, used, strict=True)
    ]
    files = [read_names(names) for names in usable]
    parted = frozenset(apart)
    if masks is None:
        matcher = _match_heap(files[0], table or {}, parted)
    else:
        matcher = _match(files[0], files[1], table or {}, parted)
    kinds: list[MaskKind] = []
    chosen: str | None = None
    pictures, is_seen = None, False
    if matcher.has_nothing:
        boxed = [replace(file, role="mask") for file in files[1]] if masks is not None else []
        heap = find_kinds([*files[0], *boxed], mask_kind, parted, look, wanted_picture=picture_kind)
        in_masks = [kind for kind in heap.kinds if masks is not None and kind.example in usable[1]]
        # Of two boxes with one kind of name each, the rules have said all: slide_1_004 is not slide_2_004.
        if heap.kinds and (masks is None or (in_masks and len(heap.kinds) > len(usable))):
            matcher = Matcher(
                heap.images,
                heap.masks,
                parted,
                families=heap.families,
                ambiguous=heap.ambiguous,
                other_masks=heap.others,
            )
            kinds, is_seen = heap.kinds, heap.is_seen
            pictures = next((kind for kind in kinds if kind.name == heap.picture), None)
    if masks is None and look and (twins := settle_twins(matcher, mask_kind, look)):
        kinds, chosen, pictures, is_seen = twins.kinds, twins.chosen, twins.picture, twins.is_seen
    if matcher.families:
        kinds, chosen = settle_kinds(matcher, mask_kind, kinds)
    matcher.found += made
    pairing = _report(matcher, split_lookup(splits or {}))
    return replace(
        pairing,
        ignored_files=[name for box in boxes for name in box if is_junk(name) or not is_picture(name)],
        mask_kinds=kinds,
        chosen_kind=chosen,
        picture_kind=pictures,
        is_seen=is_seen,
        layout=describe_layout(pairing.pairs, boxes=len(boxes)),
        looks_swapped=masks is not None and looks_swapped(*usable),
    )


def _match(
    images: Sequence[NamedFile], masks: Sequence[NamedFile], table: Mapping[str, str], apart: frozenset[tuple[str, str]]
) -> Matcher:
    listed = _made_by_table(images, masks, table, apart)
    taken = {file for pair in listed for file in (pair.image, *pair.masks)}
    open_boxes = [[file for file in box if file not in taken] for box in (images, masks)]
    matcher = Matcher(open_boxes[0], open_boxes[1], apart, found=listed)
    for rule in _RULES:
        rule(matcher)
    return matcher


def _match_heap(files: Sequence[NamedFile], table: Mapping[str, str], apart: frozenset[tuple[str, str]]) -> Matcher:
    """Folder names say which are masks; where they lead to nothing, as in `my_masks/a.png`, file names do."""
    by_folder = _match(*tell_apart(files), table, apart)
    if not by_folder.has_nothing or not any(file.role for file in files):
        return by_folder
    by_name = _match(*tell_apart([replace(file, role=None) for file in files]), table, apart)
    return by_folder if by_name.has_nothing and by_folder.images and by_folder.masks else by_name


def _made_by_hand(
    boxes: Sequence[Sequence[str]], by_hand: Sequence[tuple[str, str]]
) -> tuple[list[Found], list[set[str]]]:
    """The pairs a person made, and the names of each box that are in one."""
    used: list[set[str]] = [set() for _ in boxes]
    if not by_hand:
        return [], used

    def place(name: str, order: Sequence[int]) -> int:
        for box in order:
            if name in contents[box]:
                return box
        raise DataError(f"{name} was paired by hand, but it is not among the files. Add it again or undo that pair.")

    contents = [frozenset(box) for box in boxes]
    last = len(boxes) - 1
    for image, mask in by_hand:
        used[place(image, range(len(boxes)))].add(image)
        used[place(mask, range(last, -1, -1))].add(mask)
    # Read among their box, so that they are named as if they had been found by name.
    read = {file.path: file for file in read_names(sorted(contents[0] | {image for image, _ in by_hand}))}
    masks = {file.path: file for file in read_names(sorted({mask for _, mask in by_hand}))}
    return [Found(read[image], [masks[mask]], BY_HAND) for image, mask in by_hand], used


def _made_by_table(
    images: Sequence[NamedFile],
    masks: Sequence[NamedFile],
    table: Mapping[str, str],
    apart: frozenset[tuple[str, str]],
) -> list[Found]:
    """The pairs a table lists, as far as their files are there and the table does not contradict itself."""
    if not table:
        return []
    image_index, mask_index = FileIndex(images), FileIndex(masks)
    listed = []
    for image_name, mask_name in table.items():
        # In a heap the table knows better than the names which files are masks.
        image = image_index.find(image_name) or mask_index.find(image_name)
        mask = mask_index.find(mask_name) or image_index.find(mask_name)
        if image and mask and image is not mask and (image.path, mask.path) not in apart:
            listed.append(Found(image, [mask], LISTED))
    times = Counter(file for pair in listed for file in (pair.image, *pair.masks))
    return [pair for pair in listed if times[pair.image] == times[pair.masks[0]] == 1]


def _report(matcher: Matcher, splits: Mapping[str, Split | None]) -> Pairing:
    used = {file for pair in matcher.found for file in (pair.image, *pair.masks)}
    used.update(matcher.other_masks)
    images = [file for file in matcher.images if file not in used]
    masks = [file for file in matcher.masks if file not in used]
    tangled = {file for tie in matcher.ambiguous for box in tie for file in box}
    return Pairing(
        pairs=_matches(matcher.found, splits),
        unmatched_images=[file.path for file in images],
        unmatched_masks=[file.path for file in masks],
        ambiguous=[([file.path for file in tie[0]], [file.path for file in tie[1]]) for tie in matcher.ambiguous],
        near_misses=find_near_misses(
            [file for file in images if file not in tangled and not file.is_without_mask],
            [file for file in masks if file not in tangled],
            matcher.apart,
        ),
        other_masks=sorted((file.path for file in matcher.other_masks), key=natural_key),
    )


def _matches(found: Sequence[Found], splits: Mapping[str, Split | None]) -> list[Match]:
    counts = Counter(fold(pair.image.name) for pair in found)
    matches = []
    for pair in found:
        masks = sorted(pair.masks, key=lambda mask: natural_key(mask.path))
        listed = listed_split(pair.image, splits) if splits else None
        matches.append(
            Match(
                name=pair.image.name if counts[fold(pair.image.name)] == 1 else pair.image.path,
                image=pair.image.path,
                masks=tuple(mask.path for mask in masks),
                how=pair.how,
                split=listed or pair.image.split or masks[0].split,
            )
        )
    return sorted(matches, key=lambda match: natural_key(match.name))
