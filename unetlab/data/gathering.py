"""From files to pairs: what the names say, what lists and tables beside them say, what a person said."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from unetlab.data.checks.pairing_findings import about_pairing
from unetlab.data.checks.pixel_look import PixelLook
from unetlab.data.intake import lists, made
from unetlab.data.intake.given_splits import read_splits
from unetlab.data.labels.class_files import ClassFile, is_class_file, read_class_file
from unetlab.data.labels.class_folders import ClassFolders
from unetlab.data.manifest import Choices, Finding, Pair
from unetlab.data.names.file_names import Split, is_junk, natural_key
from unetlab.data.names.pairing import Match, Pairing, pair_files
from unetlab.data.names.picture_names import PictureNames
from unetlab.data.readers.images import is_picture
from unetlab.errors import UnetlabError

BOXES = ("images/", "masks/")
MADE = "../made/"


@dataclass
class Gathered:
    """Pairs by name, everything that is in no pair, and what else the files say."""

    pairs: list[Pair]
    pairing: Pairing
    class_files: list[ClassFile] = field(default_factory=list)
    speaking: dict[str, list[ClassFile]] = field(default_factory=dict)  # the class files that may speak of a mask
    findings: list[Finding] = field(default_factory=list)

    @property
    def reading(self) -> str | None:
        """The reading that the layout asks for: masks of one file per object hold object numbers, not classes."""
        return "instances" if any(len(match.masks) > 1 for match in self.pairing.pairs) else None


@dataclass
class _Lists:
    """What the text files of a drop say about its pictures."""

    class_files: list[ClassFile] = field(default_factory=list)
    drawn: ClassFile | None = None  # the classes of masks that were drawn from annotations
    table: dict[str, str] = field(default_factory=dict)
    splits: dict[str, Split] = field(default_factory=dict)
    outlined_in: dict[str, str] = field(default_factory=dict)  # picture -> annotation file
    used: list[str] = field(default_factory=list)


def gather(folder: Path, names: Sequence[str], choices: Choices, *, is_boxed: bool, ignored: Sequence[str]) -> Gathered:
    """The pairs among the files `names` below `folder/originals/`, masks of several files or polygons made.

    is_boxed: pictures lie in `images/` and masks in `masks/`, because they were dropped so.
    ignored: files that were not copied, or not kept; one of them may have come since.
    """
    findings: list[Finding] = []
    originals = folder / "originals"
    pictures = [name for name in names if is_picture(name)]
    said = _read_lists(originals, names, pictures, findings)
    drawn = _draw_annotations(folder, names, pictures, said, findings)
    look = PixelLook(originals)
    pairing = _paired(pictures, said, choices, drawn, look, is_boxed=is_boxed)
    _tell_outlines(pairing, said.outlined_in, drawn)
    if choices.is_swapped:
        pairing = _swapped(pairing)
    excluded = set(choices.excluded)
    matches = [match for match in pairing.pairs if match.image not in excluded]
    rest = [name for name in names if not is_picture(name) and name not in said.used]
    pairing.ignored_files = sorted({*pairing.ignored_files, *rest, *({*ignored} - {*names})}, key=natural_key)
    left_out = [match for match in pairing.pairs if match.image in excluded]
    findings += about_pairing(pairing, choices, left_out, look.values)
    pairs = _as_pairs(folder, matches, findings)
    return Gathered(pairs, pairing, said.class_files, _speaking(pairs, said, drawn), findings)


def _read_lists(originals: Path, names: Sequence[str], pictures: Sequence[str], findings: list[Finding]) -> _Lists:
    said, known = _Lists(), PictureNames(pictures)
    for name in names:
        path = originals / name
        if is_junk(name):
            continue
        if is_class_file(name):
            found = read_class_file(path)
            if found is None:  # a config.json of something else: among the files that are not used
                continue
            said.class_files.append(replace(found, file=name))
        elif not lists.is_list(name) or name.lower().endswith(".json"):
            continue
        elif table := lists.read_pair_table(path):
            said.table |= table
            if not any(known.find(name) for row in table.items() for name in row):
                continue
        else:
            continue
        said.used.append(name)
    splits = read_splits(originals, names)
    said.splits = splits.by_name
    said.used += splits.used
    findings += [Finding(code="split-lists", message=note, files=splits.used) for note in splits.notes]
    return said


def _draw_annotations(
    folder: Path, names: Sequence[str], pictures: Sequence[str], said: _Lists, findings: list[Finding]
) -> dict[str, str]:
    """Masks drawn from COCO and labelme files: picture -> file in `made/`; their class names come along."""
    jsons = [name for name in names if name.lower().endswith(".json") and name not in said.used and not is_junk(name)]
    try:
        drawn = made.make_masks(folder / "originals", folder / "made", jsons=jsons, images=pictures)
    except UnetlabError as error:
        findings.append(Finding(code="annotations", message=str(error), files=jsons))
        return {}
    said.used += drawn.used
    said.outlined_in = drawn.outlined_in
    findings += [Finding(code="annotations", message=note, files=jsons[:1]) for note in drawn.notes]
    if drawn.masks:
        said.drawn = ClassFile(drawn.used[0], drawn.class_names)
    return {image: MADE + mask for image, mask in drawn.masks.items()}


def _paired(
    pictures: Sequence[str], said: _Lists, choices: Choices, drawn: dict[str, str], look: PixelLook, *, is_boxed: bool
) -> Pairing:
    """Pairs by name, by table, by hand, and by pixels where names do not tell which files are the masks."""
    there = {*pictures, *drawn.values()}  # a decision may speak of files that are gone, or come from a stranger
    order = -1 if choices.is_swapped else 1  # pairs are made as the files were dropped, and swapped afterwards
    made_by_hand = [pair[::order] for pair in choices.pairs if there.issuperset(pair)]
    by_hand = [*made_by_hand, *drawn.items()]
    apart = [pair[::order] for pair in choices.apart]
    kinds = {"mask_kind": choices.mask_kind, "picture_kind": choices.picture_kind}
    more = {"apart": apart, "table": said.table, "splits": said.splits, **kinds}
    if not is_boxed:
        return pair_files([*pictures, *drawn.values()], by_hand=by_hand, look=look.picture_kind, **more)
    boxes = [[name for name in pictures if name.startswith(box)] for box in BOXES]
    loose = [name for name in pictures if not name.startswith(BOXES)]
    more["look"] = look.picture_kind
    pairing = pair_files([*boxes[0], *loose], [*boxes[1], *drawn.values()], by_hand=by_hand, **more)
    return _with_masks_among_pictures(pairing, pair_files(pairing.unmatched_images, **more))


def _with_masks_among_pictures(boxed: Pairing, rest: Pairing) -> Pairing:
    """Pairs of two boxes, and those that lie together in the box for pictures. rest: what is unmatched there.

    A question about the rest is asked only where the boxes give no pair: the rest may be pictures and nothing else.
    """
    if not rest.pairs and (boxed.pairs or not rest.mask_kinds):
        return boxed
    paired = {file for match in rest.pairs for file in (match.image, *match.masks)}
    return replace(
        rest,
        pairs=sorted([*boxed.pairs, *rest.pairs], key=lambda match: natural_key(match.name)),
        unmatched_masks=boxed.unmatched_masks + rest.unmatched_masks,
        ignored_files=boxed.ignored_files,
        ambiguous=[tie for tie in boxed.ambiguous if paired.isdisjoint(tie[0])] + rest.ambiguous,
        layout=boxed.layout or rest.layout,
        near_misses=boxed.near_misses if boxed.pairs else rest.near_misses,
        mask_kinds=boxed.mask_kinds or rest.mask_kinds,
        chosen_kind=boxed.chosen_kind or rest.chosen_kind,
        other_masks=boxed.other_masks + rest.other_masks,
    )


def _tell_outlines(pairing: Pairing, outlined_in: Mapping[str, str], drawn: Mapping[str, str]) -> None:
    """Pairs with a drawn mask say which file outlines the picture; no hand made them."""
    files = []
    for place, match in enumerate(pairing.pairs):
        file = outlined_in.get(match.image)
        if file and match.mask == drawn[match.image]:
            pairing.pairs[place] = replace(match, how=f"outlined in {file}")
            files.append(file)
    if len(files) > len(pairing.pairs) / 2:
        number = len(set(files))
        pairing.layout = f"outlined in {files[0]}" if number == 1 else f"outlined in {number} files such as {files[0]}"


def _swapped(pairing: Pairing) -> Pairing:
    pairing.pairs = [Match(match.name, match.mask, (match.image,), match.how, match.split) for match in pairing.pairs]
    pairing.unmatched_images, pairing.unmatched_masks = pairing.unmatched_masks, pairing.unmatched_images
    pairing.near_misses = []
    return pairing


def _speaking(pairs: Sequence[Pair], said: _Lists, drawn: Mapping[str, str]) -> dict[str, list[ClassFile]]:
    """By mask: the classes of a drawn one are those of its annotations, of others those of the nearest class file."""
    folders = ClassFolders(said.class_files)
    return {
        pair.mask: [said.drawn]
        if said.drawn and drawn.get(pair.image) == pair.mask
        else folders.nearest(pair.mask.removeprefix(MADE), pair.image)
        for pair in pairs
    }


def _as_pairs(folder: Path, matches: Sequence[Match], findings: list[Finding]) -> list[Pair]:
    """Pairs of one picture and one mask; a mask that lies in several files is made of them first."""
    pairs = []
    for match in matches:
        mask = match.mask
        if len(match.masks) > 1:
            try:
                mask = MADE + made.unite(
                    [folder / "originals" / name for name in match.masks], folder / "made", match.image
                )
            except UnetlabError as error:
                findings.append(
                    Finding(code="unreadable", message=f"{error} The pair is left out.", files=[match.image])
                )
                continue
        pair = Pair(name=match.name, image=match.image, mask=mask, matched_by=match.how, given_split=match.split)
        pairs.append(pair)
    return pairs
