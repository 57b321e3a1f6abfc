"""What is to be said about how files were paired, each with the clicks that change it."""

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from unetlab.data.manifest import Choices, Finding, Fix
from unetlab.data.names.file_names import fold, folder_words, shorter_stems, stem_of
from unetlab.data.names.heap_kinds import NOTHING_ADDED
from unetlab.data.names.layouts import BY_HAND, LISTED
from unetlab.data.names.mask_kinds import SAME_NAME
from unetlab.data.names.matches import MaskKind, Match, Pairing
from unetlab.data.names.matching import MIN_PAIRS
from unetlab.data.readers.images import JPEG_SUFFIXES

BY_LABELLER = re.compile(r"(.*/)?PixelLabelData(_[0-9]+)?/Label_[0-9]+\.[A-Za-z]+")  # MATLAB's Image Labeler
MAX_TOLD = 20  # findings of one kind, each with its own click
MAX_TOGETHER = 4  # files of a tangle that are shown
WITHOUT_A_NAME = {  # kinds in whose place a description stands
    NOTHING_ADDED: "files without an addition to their name",
    SAME_NAME: "files with the same name as the picture",
}
TELLS_PARTNERS = {"near-miss", "near-misses"}  # their files have a likely partner: no word on missing ones


def swapped(message: str, pair: tuple[str, str]) -> Finding:
    """Boxes that were taken for one another, whatever shows it: not usable, and one click fixes it.

    pair: a picture and its mask, as they were given.
    """
    return Finding(
        code="swapped",
        severity="error",
        message=message,
        effect="The model would learn to draw photographs from masks.",
        advice="Swap them.",
        files=[*pair],
        fixes=[Fix(label="Swap pictures and masks", change={"is_swapped": True}, examples=[*pair[::-1]])],
    )


def about_pairing(
    pairing: Pairing, choices: Choices, excluded: Sequence[Match], values: Mapping[str, str]
) -> list[Finding]:
    """Findings about pairs and what is in none. values: what the pixels of each kind of file hold, where known."""
    found = [*_which_mask(pairing, choices, values), *_near_misses(pairing)]
    for images, mask_names in pairing.ambiguous if not pairing.mask_kinds else ():
        message, files = _ambiguous(images, mask_names), [*images, *mask_names]
        found.append(Finding(code="ambiguous", message=message, files=files, together=[files[:MAX_TOGETHER]]))
    found += _by_labeller(pairing)
    if excluded:
        files = [match.image for match in excluded]
        message = f"{_count(files, 'picture')} left out by you: {_some(files)}."
        bring_back = Fix(label="Add them back", change={"excluded": None})
        found.append(Finding(code="excluded", severity="info", message=message, files=files, fixes=[bring_back]))
    if pairing.looks_swapped and not choices.is_swapped and pairing.pairs:
        found.append(
            swapped(
                f"Files called masks were given as pictures, such as {pairing.pairs[0].image}, and the files given as "
                f"masks are not called so, such as {pairing.pairs[0].mask}.",
                (pairing.pairs[0].image, pairing.pairs[0].mask),
            )
        )
    if choices.is_swapped:
        message = "Pictures and masks have changed places: what was dropped as a mask is the picture."
        back = Fix(label="Change them back", change={"is_swapped": False})
        found.append(Finding(code="swapped", severity="info", message=message, fixes=[back]))
    if pairing.ignored_files:
        message = f"{_count(pairing.ignored_files, 'file')} not used: {_some(pairing.ignored_files)}."
        found.append(Finding(code="ignored-files", severity="info", message=message, files=pairing.ignored_files))
    told = {file for finding in found if finding.code in TELLS_PARTNERS for file in finding.files}
    told |= {file for tie in pairing.ambiguous for box in tie for file in box}
    if beside := [name for name in _beside_used(pairing) if name not in told]:
        message = (
            f"{len(beside)} files are called like pictures that have a mask, with a word added, and are not used: "
            f"{_some(beside)}."
        )
        found.append(Finding(code="beside-masks", severity="info", message=message, files=beside))
        told.update(beside)
    for code, what, unmatched in (
        ("image-without-mask", "picture has no mask", pairing.unmatched_images),
        ("mask-without-image", "mask has no picture", pairing.unmatched_masks),
    ):
        names = [name for name in unmatched if name not in told]
        if names:
            several = what.replace(" has", "s have") if len(names) > 1 else what
            message = f"{len(names)} {several}: {_some(names)}."
            advice = "Not used. Pair them by hand, add what is missing, or leave them."
            severity = "info" if all(_is_without_mask(name) for name in names) else "warning"
            found.append(Finding(code=code, severity=severity, message=message, advice=advice, files=list(names)))
    return found


def _beside_used(pairing: Pairing) -> list[str]:
    """Files without a partner whose names add a word to that of a picture in use, the same word several times.

    `cell_1_edge` beside `cell_1` and `cell_1_mask` is a mask of another kind rather than a picture.
    """
    pictures = {
        _folder_of(match.image) + stem for match in pairing.pairs for stem in shorter_stems(stem_of(match.image))
    }
    added: dict[str, str] = {}
    for name in pairing.unmatched_images:
        stem = stem_of(name)
        for separator in re.finditer(r"[_\-. ]+(?=[^\W0-9_])", stem):
            if _folder_of(name) + stem[: separator.start()] in pictures:
                added[name] = stem[separator.end() :]
    counts = Counter(added.values())
    return [name for name, word in added.items() if counts[word] >= MIN_PAIRS]


def _folder_of(name: str) -> str:
    return name[: name.rfind("/") + 1]


def _by_labeller(pairing: Pairing) -> list[Finding]:
    """A warning where masks carry a labeller's numbers, which were taken for those in the pictures' names."""
    doubtful = [
        match
        for match in pairing.pairs
        if match.how not in (BY_HAND, LISTED)
        and BY_LABELLER.fullmatch(match.mask)
        and stem_of(match.image) != stem_of(match.mask)
    ]
    if not doubtful:
        return []
    message = (
        f"{doubtful[0].mask} counts in the labeller's order, which need not be that of the pictures' names: "
        f"it went to {doubtful[0].image}."
    )
    return [
        Finding(
            code="labeller-order",
            message=message,
            effect="Masks of other pictures teach the wrong thing.",
            advice="Compare the overlays; give the masks their pictures' names where they do not fit.",
            files=[match.image for match in doubtful],
        )
    ]


def _is_without_mask(name: str) -> bool:
    """Whether a folder says that no masks are to be expected: `test_images_no_masks`."""
    return any(folder_words(part).is_without_masks for part in name.split("/")[:-1])


def _which_mask(pairing: Pairing, choices: Choices, values: Mapping[str, str]) -> list[Finding]:
    kinds, chosen, picture = pairing.mask_kinds, pairing.chosen_kind, pairing.picture_kind
    if not kinds:
        return []
    listed = ", ".join(f"{_quoted(kind.name)} ({kind.count} files such as {kind.example})" for kind in kinds)
    examples = _examples_of_kinds(pairing)
    if chosen is None:
        fixes = [
            Fix(label=_is_the_mask(kind.name), change={"mask_kind": kind.name}, examples=examples[kind.name])
            for kind in kinds
        ]
        message = f"Several files belong to each picture: {listed}."
        if pairing.is_seen and picture:
            message += f" By their pixels, {picture.example} and the like are the pictures."
        advice = "Choose which of them is the mask."
        if picture is None and len(kinds) > 2 and not _picture_in_question(pairing):
            advice = "Choose which of them are the pictures, and which are the masks."
            fixes = [_couple(*couple) for couple in itertools.permutations(kinds, 2)]
        return [Finding(code="which-mask", severity="error", message=message, advice=advice, fixes=fixes)]
    is_chosen = choices.mask_kind is not None and fold(choices.mask_kind) == fold(chosen)
    if picture and {kind.name for kind in kinds} == {picture.name, chosen}:
        fixes = [Fix(label=f"Swap: {_called(picture.name)} are the masks", change={"mask_kind": picture.name})]
        folders = {kind.example.rpartition("/")[0] for kind in kinds}
        are = f"are in {'one folder' if len(folders) == 1 else 'different folders'} ({listed})"
        are = "have the same names" if picture.name.startswith(".") else are
        if is_chosen:
            why = f"you chose {_called(chosen)} as masks"
        elif pairing.is_seen:
            why = f"{_called(chosen)} hold {values.get(chosen)}, so they are read as masks"
        else:
            is_photograph = _is_jpeg(picture.example) and not _is_jpeg(examples[chosen][-1])
            why = f"{_called(picture.name)} are JPEG, as photographs are" if is_photograph else "so their names say"
        message = f"Pictures and masks {are}; {why}."
    else:
        others = [kind.name for kind in kinds if kind.name not in (chosen, picture and picture.name)]
        fixes = [
            Fix(label=f"Use {_quoted(kind.name)} instead", change={"mask_kind": kind.name})
            for kind in kinds
            if kind.name != chosen
        ]
        message = f"Several files belong to each picture: {listed}. {_quoted(chosen)} is taken as the mask."
        message += f" Not used: {', '.join(map(_quoted, others))}." if others else ""
        if choices.picture_kind is not None and picture:
            fixes.append(Fix(label="Choose again", change={"mask_kind": None, "picture_kind": None}))
    used = [[match.image, match.mask] for match in pairing.pairs if examples[chosen][-1] in (match.image, match.mask)]
    return [Finding(code="which-mask", severity="info", message=message, fixes=fixes, together=used)]


def _couple(picture: MaskKind, mask: MaskKind) -> Fix:
    return Fix(
        label=f"{_quoted(picture.name)} are the pictures, {_quoted(mask.name)} the masks",
        change={"mask_kind": mask.name, "picture_kind": picture.name},
        examples=[picture.example, mask.example],
    )


def _quoted(kind: str) -> str:
    return WITHOUT_A_NAME.get(kind, f"'{kind}'")


def _called(kind: str) -> str:
    named = kind if kind.startswith(".") else f"'{kind}'"
    return f"the {WITHOUT_A_NAME.get(kind, f'{named} files')}"


def _is_the_mask(kind: str) -> str:
    named = WITHOUT_A_NAME.get(kind)
    return f"{named[0].upper()}{named[1:]} are the masks" if named else f"'{kind}' is the mask"


def _is_jpeg(file: str) -> bool:
    return PurePosixPath(file).suffix.lower() in JPEG_SUFFIXES


def _examples_of_kinds(pairing: Pairing) -> dict[str, list[str]]:
    """By kind a picture and its mask, should that kind be the mask; of two kinds the other holds the pictures."""
    kinds, picture = pairing.mask_kinds, pairing.picture_kind
    if picture is None and len(kinds) > 1:
        given = _picture_in_question(pairing)
        return {kind.name: [given or kinds[kind is kinds[0]].example, kind.example] for kind in kinds}
    pictures = {kind.name: picture.example if picture else "" for kind in kinds}
    if picture:
        pictures[picture.name] = next((kind.example for kind in kinds if kind.name == pairing.chosen_kind), "")
    return {kind.name: [name for name in (pictures[kind.name], kind.example) if name] for kind in kinds}


def _picture_in_question(pairing: Pairing) -> str:
    """A picture whose masks are of several kinds; "" where it is open which kind the pictures are."""
    kinds = pairing.mask_kinds
    given = next((images[0] for images, masks in pairing.ambiguous if kinds[0].example in masks), "")
    return "" if given in {kind.example for kind in kinds} else given


def _near_misses(pairing: Pairing) -> list[Finding]:
    misses = pairing.near_misses
    severity = "warning" if pairing.pairs else "error"
    found = [
        Finding(
            code="near-miss",
            severity=severity,
            message=f"{miss.image} and {miss.mask} are probably a pair: {miss.why}.",
            effect="Neither is used as it stands.",
            files=[miss.image, miss.mask],
            fixes=[
                Fix(
                    label="Pair them",
                    change={"pairs": [(miss.image, miss.mask)]},
                    examples=[miss.image, miss.mask],
                )
            ],
        )
        for miss in misses[:MAX_TOLD]
    ]
    if len(misses) > 1:
        pairs = [(miss.image, miss.mask) for miss in misses]
        message = f"{len(misses)} pictures have a mask with nearly the same name."
        take_all = Fix(label=f"Pair all {len(misses)}", change={"pairs": pairs})
        found.insert(
            0,
            Finding(
                code="near-misses",
                severity=severity,
                message=message,
                files=[file for pair in pairs for file in pair],
                fixes=[take_all],
            ),
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
