"""What the audit says about pictures: constant, tiny, of mixed kinds or sizes, with pixels that were not measured."""

from unetlab.data.checks.findings import MAX_NAMED, Material, listed, of_all, percent
from unetlab.data.manifest import Finding

TINY_PX = 32  # the U-Net halves a picture four times: 32 px come down to 2
MANY_TIMES = 4  # an object fills 4x the pixels a side in one picture as in another, once all are resized alike


def about_pictures(material: Material) -> list[Finding]:
    """Findings that the pictures alone call for; empty when there is nothing to say."""
    found = [
        _constant(material),
        _invalid_pixels(material),
        _tiny(material),
        _different_sizes(material),
        _mixed_channels(material),
        _mixed_depth(material),
    ]
    return [finding for finding in found if finding]


def _constant(material: Material) -> Finding | None:
    places = sorted(material.constant)
    if not places:
        return None
    return Finding(
        code="constant-image",
        message=f"{of_all(len(places), len(material.pairs), 'picture', 'has', 'have')} one value everywhere: "
        f"{material.named(places)}.",
        effect="There is nothing in it to tell classes apart: it teaches noise.",
        advice="Leave it out, or export it again.",
        files=material.files(places),
        fixes=material.without(places, "Leave out constant pictures"),
    )


def _invalid_pixels(material: Material) -> Finding | None:
    places = [place for place, image in enumerate(material.images) if image.num_invalid]
    if not places:
        return None
    count = sum(material.images[place].num_invalid for place in places)
    share = count / sum(material.pairs[place].height * material.pairs[place].width for place in places)
    marks = dict.fromkeys(mark for place in places for mark in material.images[place].marks)
    return Finding(
        code="invalid-pixels",
        message=f"{of_all(len(places), len(material.pairs), 'picture', 'holds', 'hold')} pixels without a measurement, "
        f"{count:,} in all ({percent(share)} of {'it' if len(places) == 1 else 'them'}), filled with "
        f"{listed(list(marks), MAX_NAMED)}: {material.named(places)}.",
        effect="They count neither in the range of intensities nor in loss and scores; the U-Net sees the mean there.",
        advice="If these are true values, save the pictures with other numbers or without the mark for missing data.",
        files=material.files(places),
    )


def _tiny(material: Material) -> Finding | None:
    places = [place for place, pair in enumerate(material.pairs) if min(pair.height, pair.width) < TINY_PX]
    if not places:
        return None
    return Finding(
        code="tiny-pictures",
        message=f"{of_all(len(places), len(material.pairs), 'picture', 'is', 'are')} smaller than {TINY_PX} px a side: "
        f"{material.named(places)}.",
        effect="A U-Net halves pictures several times; of these hardly anything is left at its bottom.",
        advice="Choose a smaller depth, or use larger pictures.",
        files=material.files(places),
    )


def _different_sizes(material: Material) -> Finding | None:
    sides = [max(pair.height, pair.width) for pair in material.pairs]
    if max(sides) < MANY_TIMES * min(sides):
        return None
    small, large = sides.index(min(sides)), sides.index(max(sides))
    sizes = [f"{material.pairs[place].width}×{material.pairs[place].height}" for place in (small, large)]
    usual = sorted(sides)[len(sides) // 2]
    odd = [place for place, side in enumerate(sides) if not usual / 2 <= side <= usual * 2]
    return Finding(
        code="very-different-sizes",
        severity="info",
        message=f"Pictures are {sizes[0]} px ({material.title(small)}) to {sizes[1]} px ({material.title(large)}).",
        effect="In size mode resize the same kind of object comes in very different sizes.",
        advice="If all were taken at one scale, choose size mode crop or tile.",
        files=material.files(odd),
    )


def _mixed_channels(material: Material) -> Finding | None:
    grey = [place for place, image in enumerate(material.images) if image.channels == 1]
    if not 0 < len(grey) < len(material.pairs):
        return None
    return Finding(
        code="mixed-channels",
        severity="info",
        message=f"{of_all(len(grey), len(material.pairs), 'picture', 'is', 'are')} grey, the others in colour. "
        "All are stored as RGB, grey as three equal channels.",
        files=material.files(_fewer(grey, len(material.pairs))),
    )


def _mixed_depth(material: Material) -> Finding | None:
    deep = [place for place, image in enumerate(material.images) if image.bits > 8]
    if len({image.bits for image in material.images}) < 2:
        return None
    if any(image.bits == 32 for image in material.images):
        counts = {bits: sum(image.bits == bits for image in material.images) for bits in (8, 16, 32)}
        kinds = ", ".join(f"{count} with {bits} bits" for bits, count in counts.items() if count)
        message = f"Pictures differ in depth: {kinds} a pixel."
        effect = "Intensities are compared as they stand; the same thing may be dark in one and bright in another."
    else:
        which = of_all(len(deep), len(material.pairs), "picture", "has", "have")
        message = f"{which} 16 bits a pixel, the others 8. The latter are spread over the 16-bit range."
        effect = "If they look too bright or too dark beside the others, the U-Net learns the depth and not the thing."
    return Finding(
        code="mixed-depth",
        message=message,
        effect=effect,
        advice="Export all at one depth.",
        files=material.files(_fewer(deep, len(material.pairs)) or deep),
    )


def _fewer(places: list[int], total: int) -> list[int]:
    """These places, or the others where they are fewer."""
    return places if 2 * len(places) <= total else sorted(set(range(total)) - set(places))
