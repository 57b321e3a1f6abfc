"""What is to be said about how files were paired, each with the clicks that change it."""

import re
from collections.abc import Sequence

from unetlab.data.manifest import Choices, Finding, Fix
from unetlab.data.names.file_names import folder_words, stem_of
from unetlab.data.names.layouts import BY_HAND, LISTED
from unetlab.data.names.matches import Match, Pairing

BY_LABELLER = re.compile(r"(.*/)?PixelLabelData(_[0-9]+)?/Label_[0-9]+\.[A-Za-z]+")  # MATLAB's Image Labeler
MAX_TOLD = 20  # findings of one kind, each with its own click


def swapped(message: str) -> Finding:
    """Boxes that were taken for one another, whatever shows it: not usable, and one click mends it."""
    return Finding(
        code="swapped",
        severity="error",
        message=message,
        effect="The U-Net would learn to draw photographs from masks.",
        advice="Swap them, if so.",
        fixes=[Fix(label="Swap pictures and masks", change={"is_swapped": True})],
    )


def about_pairing(pairing: Pairing, choices: Choices, excluded: Sequence[Match]) -> list[Finding]:
    found = [*_which_mask(pairing), *_near_misses(pairing)]
    for images, mask_names in pairing.ambiguous if not pairing.mask_kinds else ():
        found.append(Finding(code="ambiguous", message=_ambiguous(images, mask_names), files=[*images, *mask_names]))
    found += _by_labeller(pairing)
    if excluded:
        files = [match.image for match in excluded]
        message = f"{_count(files, 'picture')} left out by you: {_some(files)}."
        bring_back = Fix(label="Bring them back", change={"excluded": None})
        found.append(Finding(code="excluded", severity="info", message=message, files=files, fixes=[bring_back]))
    if pairing.looks_swapped and not choices.is_swapped:
        found.append(
            swapped("Files called masks were given as pictures, and the files given as masks are not called so.")
        )
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
