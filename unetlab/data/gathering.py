"""From files to pairs: what the names say, what lists and tables beside them say, what a person said."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from unetlab.data.intake import lists, made
from unetlab.data.intake.given_splits import read_splits
from unetlab.data.labels.class_files import ClassFile, is_class_file, read_class_file
from unetlab.data.manifest import Choices, Finding, Fix, Pair
from unetlab.data.names.file_names import Split, folder_words, is_junk, natural_key
from unetlab.data.names.pairing import Match, Pairing, pair_files
from unetlab.data.readers.images import is_picture
from unetlab.errors import UnetlabError

BOXES = ("images/", "masks/")
MADE = "../made/"
MAX_TOLD = 20  # findings of one kind, each with its own click
SWAPPED_NAMES = Finding(
    code="swapped",
    severity="error",
    message="Files called masks were given as pictures, and the files given as masks are not called so.",
    effect="The U-Net would learn to draw photographs from masks.",
    advice="Swap them, if so.",
    fixes=[Fix(label="Swap pictures and masks", change={"is_swapped": True})],
)


@dataclass
class Gathered:
    """Pairs by name, everything that is in no pair, and what else the files say."""

    pairs: list[Pair]
    pairing: Pairing
    class_file: ClassFile | None = None
    findings: list[Finding] = field(default_factory=list)

    @property
    def reading(self) -> str | None:
        """The reading that the layout asks for: masks of one file per object hold object numbers, not classes."""
        return "instances" if any(len(match.masks) > 1 for match in self.pairing.pairs) else None


@dataclass
class _Lists:
    """What the text files of a drop say about its pictures."""

    class_file: ClassFile | None = None
    table: dict[str, str] = field(default_factory=dict)
    splits: dict[str, Split] = field(default_factory=dict)
    used: list[str] = field(default_factory=list)


def gather(folder: Path, names: Sequence[str], choices: Choices, *, is_boxed: bool, ignored: Sequence[str]) -> Gathered:
    """The pairs among the files `names` below `folder/originals/`, masks of several files or polygons made.

    is_boxed: pictures lie in `images/` and masks in `masks/`, because they were dropped so.
    ignored: files that were not even copied.
    """
    findings: list[Finding] = []
    originals = folder / "originals"
    said = _read_lists(originals, names, findings)
    pictures = [name for name in names if is_picture(name)]
    drawn = _draw_annotations(folder, names, pictures, said, findings)
    pairing = _paired(pictures, said, choices, drawn, is_boxed=is_boxed)
    if choices.is_swapped:
        pairing = _swapped(pairing)
    excluded = set(choices.excluded)
    matches = [match for match in pairing.pairs if match.image not in excluded]
    rest = [name for name in names if not is_picture(name) and name not in said.used]
    pairing.ignored_files = sorted({*pairing.ignored_files, *rest, *ignored}, key=natural_key)
    findings += _about_pairing(pairing, choices, [match for match in pairing.pairs if match.image in excluded])
    pairs = _as_pairs(folder, matches, findings)
    return Gathered(pairs, pairing, said.class_file, findings)


def _read_lists(originals: Path, names: Sequence[str], findings: list[Finding]) -> _Lists:
    said = _Lists()
    for name in names:
        path = originals / name
        if is_junk(name):
            continue
        if is_class_file(name):
            found = read_class_file(path) if said.class_file is None else None
            if found is None:
                message = f"{name} holds no class names, or another file names them already; not used."
                findings.append(Finding(code="class-file", severity="info", message=message, files=[name]))
                continue
            said.class_file = found
        elif not lists.is_list(name) or name.lower().endswith(".json"):
            continue
        elif table := lists.read_pair_table(path):
            said.table |= table
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
    findings += [Finding(code="annotations", message=note, files=jsons[:1]) for note in drawn.notes]
    if drawn.masks:
        said.class_file = said.class_file or ClassFile(drawn.used[0], drawn.class_names)
    return {image: MADE + mask for image, mask in drawn.masks.items()}


def _paired(
    pictures: Sequence[str], said: _Lists, choices: Choices, drawn: dict[str, str], *, is_boxed: bool
) -> Pairing:
    """Pairs by name. Folder words count inside each box, so the boxes' own names are taken off first."""
    there = {*pictures, *drawn.values()}  # a decision may speak of files that are gone, or come from a stranger
    order = -1 if choices.is_swapped else 1  # pairs are made as the files were dropped, and swapped afterwards
    made_by_hand = [pair[::order] for pair in choices.pairs if there.issuperset(pair)]
    by_hand = [*made_by_hand, *drawn.items()]
    apart = [pair[::order] for pair in choices.apart]
    more = {"apart": apart, "table": said.table, "splits": said.splits, "mask_kind": choices.mask_kind}
    if not is_boxed:
        return pair_files([*pictures, *drawn.values()], by_hand=by_hand, **more)
    boxes = [[name for name in pictures if name.startswith(box)] for box in BOXES]
    loose = [name for name in pictures if not name.startswith(BOXES)]
    return pair_files([*boxes[0], *loose], [*boxes[1], *drawn.values()], by_hand=by_hand, **more)


def _swapped(pairing: Pairing) -> Pairing:
    pairing.pairs = [Match(match.name, match.mask, (match.image,), match.how, match.split) for match in pairing.pairs]
    pairing.unmatched_images, pairing.unmatched_masks = pairing.unmatched_masks, pairing.unmatched_images
    pairing.near_misses = []
    return pairing


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


def _about_pairing(pairing: Pairing, choices: Choices, excluded: Sequence[Match]) -> list[Finding]:
    found = [*_which_mask(pairing), *_near_misses(pairing)]
    for images, mask_names in pairing.ambiguous if not pairing.mask_kinds else ():
        found.append(Finding(code="ambiguous", message=_ambiguous(images, mask_names), files=[*images, *mask_names]))
    if excluded:
        files = [match.image for match in excluded]
        message = f"{_count(files, 'picture')} left out by you: {_some(files)}."
        bring_back = Fix(label="Bring them back", change={"excluded": None})
        found.append(Finding(code="excluded", severity="info", message=message, files=files, fixes=[bring_back]))
    if pairing.looks_swapped and not choices.is_swapped:
        found.append(SWAPPED_NAMES)
    if choices.is_swapped:
        message = "Pictures and masks have changed places: what was dropped as a mask is the picture."
        back = Fix(label="Change them back", change={"is_swapped": False})
        found.append(Finding(code="swapped", severity="info", message=message, fixes=[back]))
    if pairing.ignored_files:
        message = f"{_count(pairing.ignored_files, 'file')} not used: {_some(pairing.ignored_files)}."
        found.append(Finding(code="ignored-files", severity="info", message=message, files=pairing.ignored_files))
    for code, what, names in (
        ("image-without-mask", "picture has no mask", pairing.unmatched_images),
        ("mask-without-image", "mask has no picture", pairing.unmatched_masks),
    ):
        if names:
            several = what.replace(" has", "s have") if len(names) > 1 else what
            message = f"{len(names)} {several}: {_some(names)}."
            advice = "Not used. Pair them by hand, add what is missing, or leave them."
            severity = "info" if all(_is_without_mask(name) for name in names) else "warning"
            found.append(Finding(code=code, severity=severity, message=message, advice=advice, files=list(names)))
    return found


def _is_without_mask(name: str) -> bool:
    """Whether a folder says that no masks are to be expected: `test_images_no_masks`."""
    return any(folder_words(part).is_without_masks for part in name.split("/")[:-1])


def _which_mask(pairing: Pairing) -> list[Finding]:
    if not pairing.mask_kinds:
        return []
    listed = ", ".join(f"'{kind.name}' ({kind.count} files such as {kind.example})" for kind in pairing.mask_kinds)
    fixes = [
        Fix(label=f"'{kind.name}' is the mask", change={"mask_kind": kind.name})
        for kind in pairing.mask_kinds
        if kind.name != pairing.chosen_kind
    ]
    if pairing.chosen_kind is None:
        message = f"Several files belong to each picture: {listed}."
        return [
            Finding(code="which-mask", severity="error", message=message, advice="Say which is the mask.", fixes=fixes)
        ]
    message = f"Several files belong to each picture: {listed}. '{pairing.chosen_kind}' is taken as the mask."
    return [Finding(code="which-mask", severity="info", message=message, fixes=fixes)]


def _near_misses(pairing: Pairing) -> list[Finding]:
    misses = pairing.near_misses
    found = [
        Finding(
            code="near-miss",
            message=f"{miss.image} and {miss.mask} are probably a pair: {miss.why}.",
            effect="Neither is used as it stands.",
            files=[miss.image, miss.mask],
            fixes=[Fix(label="Pair them", change={"pairs": [(miss.image, miss.mask)]})],
        )
        for miss in misses[:MAX_TOLD]
    ]
    if len(misses) > 1:
        pairs = [(miss.image, miss.mask) for miss in misses]
        message = f"{len(misses)} pictures have a mask with nearly the same name."
        take_all = Fix(label=f"Pair all {len(misses)}", change={"pairs": pairs})
        found.insert(
            0, Finding(code="near-misses", message=message, files=[pair[0] for pair in pairs], fixes=[take_all])
        )
    return found


def _ambiguous(images: Sequence[str], mask_names: Sequence[str]) -> str:
    return (
        f"{_some(images)} and {_some(mask_names)} fit together in more than one way. None of them is used: pair "
        "them by hand, or rename them so that each picture has one mask."
    )


def _count(names: Sequence[str], what: str) -> str:
    return f"{len(names)} {what}{'s are' if len(names) > 1 else ' is'}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
