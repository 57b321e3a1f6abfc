"""What the audit says about masks and classes: empty, ignored, rare, seen on one side of the split only."""

from collections.abc import Sequence

import numpy as np

from unetlab.data.checks.findings import (
    MAX_CLASSES_NAMED,
    MAX_NAMED,
    Material,
    counted,
    listed,
    num_counting,
    of_all,
    percent,
)
from unetlab.data.checks.sequences import group_by_sequence
from unetlab.data.checks.split import assign
from unetlab.data.manifest import Finding, Fix
from unetlab.data.names.file_names import Split

MOST_EMPTY = 0.5
LARGE_IGNORED = 0.3
RARE = 0.01
NUM_SEEDS = 50
SIDES: tuple[Split, Split] = ("train", "valid")


def about_classes(material: Material) -> list[Finding]:
    """Findings that masks and classes call for; empty when there is nothing to say."""
    found = [
        _all_ignored(material),
        _empty(material),
        _large_ignored_share(material),
        _swapped_classes(material),
        _lossy(material),
        _not_seen(material),
        _in_one_image(material),
        *_on_one_side(material),
        _imbalance(material),
    ]
    return [finding for finding in found if finding]


def _all_ignored(material: Material) -> Finding | None:
    places = np.flatnonzero(material.class_pixels.sum(axis=1) == 0).tolist()
    if not places:
        return None
    return Finding(
        code="all-ignored",
        message=f"In {counted(len(places), 'mask')} every pixel is ignored: {material.named(places)}.",
        effect="Nothing is learned from these pictures, and nothing is measured on them.",
        advice="Look at how the mask values are read, or leave the pictures out.",
        files=material.files(places),
        fixes=material.without(places, "Leave them out"),
    )


def _empty(material: Material) -> Finding | None:
    if material.background is None:
        return None
    totals = material.class_pixels.sum(axis=1)
    places = np.flatnonzero((totals > 0) & (totals == material.class_pixels[:, material.background])).tolist()
    if not places:
        return None
    total = len(material.pairs)
    is_most = len(places) > MOST_EMPTY * total
    which = of_all(len(places), total, "mask", "holds", "hold")
    return Finding(
        code="empty-mask",
        severity="warning" if is_most else "info",
        message=f"{which} background only ({percent(len(places) / total)}): {material.named(places)}.",
        effect="An empty prediction is right on most pictures, so the model may learn just that."
        if is_most
        else "Some are useful: they show the model where nothing is.",
        advice="Check that these pictures are truly empty and not just unlabelled.",
        files=material.files(places),
        fixes=material.without(places, "Leave out pictures with empty masks") if is_most else [],
    )


def _large_ignored_share(material: Material) -> Finding | None:
    pixels = np.array(list(map(num_counting, material.pairs, material.images)))
    ignored = pixels - material.class_pixels.sum(axis=1)
    shares, share = ignored / np.maximum(pixels, 1), ignored.sum() / max(pixels.sum(), 1)
    if share <= LARGE_IGNORED:
        return None
    places = np.flatnonzero(shares > LARGE_IGNORED).tolist()
    return Finding(
        code="large-ignored-share",
        message=f"{percent(float(share))} of all mask pixels are ignored, most of all in "
        f"{material.named(sorted(places, key=lambda place: -shares[place]))}.",
        effect="These pixels count neither in the loss nor in scores.",
        advice="If a value that is ignored is a class, choose another reading of the masks.",
        files=material.files(places),
    )


def _swapped_classes(material: Material) -> Finding | None:
    places = list(material.swapped)
    if not places:
        return None
    names = " and ".join(info.name for info in material.classes)
    which = of_all(len(places), len(material.pairs), "mask", "seems", "seem")
    return Finding(
        code="swapped-classes",
        message=f"{which} to have {names} swapped compared with the rest: "
        f"{listed([material.pairs[place].mask for place in places], MAX_NAMED)}.",
        effect="There the model is taught the opposite.",
        advice="Look at the overlays. Where they are wrong, swap the two values in those files and add them again.",
        files=material.files(places),
        fixes=material.without(places, "Leave out those pictures"),
    )


def _lossy(material: Material) -> Finding | None:
    places = [place for place, mask in enumerate(material.masks) if mask.is_lossy]
    if not places:
        return None
    return Finding(
        code="lossy-masks",
        severity="info",
        message=f"{of_all(len(places), len(material.pairs), 'mask', 'is', 'are')} saved with loss (JPEG), which blurs "
        f"values at edges: {listed([material.pairs[place].mask for place in places], 3)}.",
        effect="Blurred values are read as the nearest class; edges are uncertain by a pixel or two.",
        advice="Save masks as PNG.",
        files=material.files(places),
    )


def _not_seen(material: Material) -> Finding | None:
    unseen = np.flatnonzero(material.class_pixels.sum(axis=0) == 0).tolist()
    if not unseen:
        return None
    return Finding(
        code="class-not-seen",
        severity="info",
        message=f"No mask has a pixel of {_classes(material, unseen)}.",
        effect="It is neither learned nor measured.",
    )


def _in_one_image(material: Material) -> Finding | None:
    has_class = material.class_pixels > 0
    lonely = np.flatnonzero(has_class.sum(axis=0) == 1).tolist()
    if not lonely or len(material.pairs) == 1:
        return None
    places = [int(np.argmax(has_class[:, number])) for number in lonely]
    told = [
        f"{material.classes[number].name} ({material.title(place)})"
        for number, place in zip(lonely, places, strict=True)
    ]
    return Finding(
        code="class-in-one-image",
        message=f"{counted(len(lonely), 'class')} "
        f"{'is' if len(lonely) == 1 else 'are'} seen in one picture only: {listed(told, MAX_CLASSES_NAMED)}.",
        effect="Such a class is either learned or measured, never both.",
        advice="Add pictures that show it, or read it as part of another class.",
        files=material.files(sorted(set(places))),
    )


def _on_one_side(material: Material) -> list[Finding]:
    """Classes of several pictures that are missing in training or in validation."""
    has_class = material.class_pixels > 0
    common = has_class.sum(axis=0) > 1
    is_missing = {side: common & ~has_class[material.places(side)].any(axis=0) for side in SIDES}
    if not any(missing.any() for missing in is_missing.values()):
        return []
    fixes = _other_seed(material, has_class, common)
    advice = "Split again." if fixes else "Add pictures that show it, or move some to the other side."
    found = []
    for side in SIDES:
        missing = np.flatnonzero(is_missing[side]).tolist()
        if not missing:
            continue
        places = np.flatnonzero(has_class[:, missing].any(axis=1)).tolist()
        found.append(
            Finding(
                code=f"class-not-in-{side}",
                message=f"No {'training' if side == 'train' else 'validation'} picture shows "
                f"{_classes(material, missing)}.",
                effect="It is never learned." if side == "train" else "How well it is learned cannot be measured.",
                advice=advice,
                files=material.files(places),
                fixes=fixes,
            )
        )
    return found


def _other_seed(material: Material, has_class: np.ndarray, common: np.ndarray) -> list[Fix]:
    """A click on the first seed that puts every class of several pictures on both sides; none when there is none."""
    if material.is_given_split:
        return []
    names, choices = [pair.name for pair in material.pairs], material.choices
    groups = group_by_sequence(names) if choices.grouping == "sequence" else {}
    for seed in range(NUM_SEEDS):
        splits = assign(names, valid_fraction=choices.valid_fraction, seed=seed, groups=groups)
        is_both = all(has_class[np.array(splits) == side][:, common].any(axis=0).all() for side in SIDES)
        if is_both and seed != choices.seed:
            label = f"Split again with seed {seed}: every class on both sides"
            return [Fix(label=label, change={"seed": seed})]
    return []


def _imbalance(material: Material) -> Finding | None:
    pixels = material.class_pixels.sum(axis=0)
    shares = pixels / max(1, pixels.sum())
    rare = [number for number in range(len(pixels)) if 0 < shares[number] < RARE and number != material.background]
    if not rare:
        return None
    rare.sort(key=lambda number: shares[number])
    told = [f"{material.classes[number].name} {percent(float(shares[number]))}" for number in rare]
    return Finding(
        code="imbalance",
        severity="info",
        message=f"Less than 1 % of the pixels: {listed(told, MAX_CLASSES_NAMED)}.",
        effect="Accuracy will look high even when nothing of it is found; look at IoU or Dice instead.",
        advice="Set class weights to balanced, or use the Dice loss.",
    )


def _classes(material: Material, numbers: Sequence[int]) -> str:
    return listed([material.classes[number].name for number in numbers], MAX_CLASSES_NAMED)
