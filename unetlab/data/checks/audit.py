"""The audit of a set: sizes that do not fit, boxes that were swapped, and everything a person should know.

Nothing is read again: the audit works on what was measured when files were decoded.
"""

from collections.abc import Sequence

import numpy as np

from unetlab.data.checks.class_findings import about_classes
from unetlab.data.checks.findings import MAX_NAMED, Material, counted, listed
from unetlab.data.checks.picture_findings import about_pictures
from unetlab.data.checks.split_findings import about_split, too_few
from unetlab.data.manifest import Choices, ClassInfo, Finding, Pair, Severity
from unetlab.data.readers.facts import ImageFacts, MaskFacts

Size = tuple[int, int]  # height, width

SEVERITIES: list[Severity] = ["error", "warning", "info"]
FLAT_LEVELS = 32  # as many values as are taken for classes (`masks.MAX_VALUES`)
NUM_COMMONEST = 8
# The 8 commonest values of a photograph hold this share of its pixels at most; those of JPEG masks hold more.
PHOTOGRAPH_SHARE = 0.8
MOST_SWAPPED = 0.9


def audit(
    pairs: Sequence[Pair],
    images: Sequence[ImageFacts],
    masks: Sequence[MaskFacts],
    class_pixels: Sequence[Sequence[int]],
    classes: Sequence[ClassInfo],
    choices: Choices,
    *,
    is_given_split: bool,
    swapped: Sequence[int] = (),
) -> list[Finding]:
    """What a person should know about a set; at most one finding per code, errors first, then by number of files.

    All sequences but `classes` are parallel to pairs. class_pixels: pixels of class 0 to K-1 in each mask, at its
    picture's size; what it lacks is ignored. is_given_split: folders or lists name the validation or test pictures.
    swapped: places that `polarity.swapped_places` gave. Fixes are fields of Choices; one that leaves pictures out never
    leaves fewer than two.
    """
    counts = np.array(class_pixels, np.int64).reshape(len(pairs), len(classes))
    material = Material(pairs, images, masks, counts, classes, choices, is_given_split, swapped)
    error = too_few(material)
    findings = [error] if error else about_split(material)
    if pairs:
        findings += about_pictures(material) + about_classes(material)
    return sorted(findings, key=lambda found: (SEVERITIES.index(found.severity), -len(found.files), found.code))


def check_sizes(pairs: Sequence[tuple[str, str, Size, Size]]) -> tuple[list[int], list[Finding]]:
    """Places of the pairs that can be used, and findings about sizes.

    pairs: (picture file, mask file, size of the picture, size of the mask), sizes (height, width) in px. A mask of
    the same aspect, to within half a pixel of rounding, is scaled to its picture. Others are left out.
    """
    usable: list[int] = []
    scaled: list[tuple[str, str, Size, Size]] = []
    turned: list[tuple[str, str, Size, Size]] = []
    differing: list[tuple[str, str, Size, Size]] = []
    for place, pair in enumerate(pairs):
        _, _, size, mask_size = pair
        if size == mask_size or _is_scaled(size, mask_size):
            usable.append(place)
            scaled += [pair] if size != mask_size else []
        elif _is_scaled(size, (mask_size[1], mask_size[0])):
            turned.append(pair)
        else:
            differing.append(pair)
    findings = []
    if differing:
        findings.append(
            Finding(
                code="sizes-differ",
                message=f"{_sizes(differing[0])} {_left_out(differing)}: export both at the same size.",
                files=[pair[0] for pair in differing],
            )
        )
    if turned:
        findings.append(
            Finding(
                code="mask-turned",
                message=f"{_sizes(turned[0])} One of the two is probably turned by 90°. {_left_out(turned)}: "
                "turn the picture or the mask and add them again.",
                files=[pair[0] for pair in turned],
            )
        )
    if scaled:
        others = f" The same goes for {listed([pair[1] for pair in scaled[1:]], MAX_NAMED)}." if scaled[1:] else ""
        findings.append(
            Finding(
                code="mask-scaled",
                severity="info",
                message=f"{_sizes(scaled[0])} The mask is scaled to its picture.{others}",
                effect="Edges are as coarse as the smaller of the two; values stay as they are (nearest neighbour).",
                advice="If they do not lie on top of each other in the overlays, export both at the same size.",
                files=[pair[0] for pair in scaled],
            )
        )
    return usable, findings


def looks_swapped(images: Sequence[ImageFacts], masks: Sequence[MaskFacts]) -> bool:
    """True when what was given as pictures are flat label maps and what was given as masks are photographs.

    Nine in ten of each must look it. JPEG masks do not look like photographs: a few values hold nearly all pixels.
    """
    if not images or not masks:
        return False
    num_flat = sum(image.num_levels <= FLAT_LEVELS for image in images)
    return num_flat >= MOST_SWAPPED * len(images) and sum(map(is_photograph, masks)) >= MOST_SWAPPED * len(masks)


def is_photograph(mask: MaskFacts) -> bool:
    """True for many values of which no few hold most pixels; a JPEG mask has as many, but is not so."""
    commonest = sorted(mask.values.values(), reverse=True)[:NUM_COMMONEST]
    return mask.num_values > FLAT_LEVELS and sum(commonest) <= PHOTOGRAPH_SHARE * mask.num_pixels


def _is_scaled(size: Size, other: Size) -> bool:
    """True when the smaller size is the larger one times some factor, each side rounded to a pixel."""
    (height, width), (large_height, large_width) = sorted((size, other), key=lambda sides: sides[0] * sides[1])
    # Factors that round H to h lie in (h-1/2)/H to (h+1/2)/H; those for height and for width must overlap.
    smallest = max((height - 0.5) / large_height, (width - 0.5) / large_width)
    return smallest <= min((height + 0.5) / large_height, (width + 0.5) / large_width)


def _sizes(pair: tuple[str, str, Size, Size]) -> str:
    image, mask, size, mask_size = pair
    return f"{image} has {size[1]}×{size[0]} px, its mask {mask} {mask_size[1]}×{mask_size[0]} px."


def _left_out(pairs: Sequence[tuple[str, str, Size, Size]]) -> str:
    if len(pairs) == 1:
        return "The pair is left out"
    others = listed([pair[0] for pair in pairs[1:]], MAX_NAMED - 1)
    return f"The pair is left out, and {counted(len(pairs) - 1, 'other')} like it ({others})"
