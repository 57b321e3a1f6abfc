"""Pairs by name become pairs of pixels: decoded once, page by page where wanted, and of sizes that go together."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from unetlab.data import cache, filling
from unetlab.data.cache import Facts, Store
from unetlab.data.checks.audit import check_sizes
from unetlab.data.checks.findings import MIN_PAIRS, listed, of_all
from unetlab.data.filling import Wanted
from unetlab.data.manifest import Choices, Finding, Fix, Pages, Pair
from unetlab.data.names.file_names import natural_key
from unetlab.data.readers.planes import EVERY_PAGE

MAX_TOLD = 20  # unreadable files that get a finding of their own

Progress = Callable[[str, int, int], None]


def decode_pairs(
    folder: Path, pairs: Sequence[Pair], choices: Choices, findings: list[Finding], progress: Progress
) -> tuple[list[Pair], Store, dict[str, Facts]]:
    """The pairs that can be used, with keys and sizes filled in; the cache they lie in; what was measured.

    Adds a finding for each file that cannot be read and each pair that does not go with the others.
    """
    filled = filling.fill(folder, _wanted(pairs), progress=partial(progress, "decoding"))
    stacks = _stacks(pairs, filled, cache.load(folder).facts())
    if stacks:
        pairs = _paged(folder, pairs, stacks, choices, findings)
        filled = filling.fill(folder, _wanted(pairs), progress=partial(progress, "decoding pages"))
    store = cache.load(folder)
    facts = store.facts()
    findings += _unreadable({raster.file: reason for raster, reason in filled.failures.items()})
    usable = []
    for pair in pairs:
        image_key = filled.keys.get(Wanted(pair.image, "image", pair.page))
        mask_key = filled.keys.get(Wanted(pair.mask, "mask", pair.mask_page))
        if image_key and mask_key:
            entry = store.entries[image_key]
            keys = {"image_key": image_key, "mask_key": mask_key}
            usable.append(pair.model_copy(update=keys | {"height": entry.height, "width": entry.width}))
    usable = _turned(usable, store, facts, choices, findings)
    return _that_go_together(usable, store, findings), store, facts


def _wanted(pairs: Sequence[Pair]) -> list[Wanted]:
    return [
        raster
        for pair in pairs
        for raster in (Wanted(pair.image, "image", pair.page), Wanted(pair.mask, "mask", pair.mask_page))
    ]


def _stacks(pairs: Sequence[Pair], filled: filling.Filled, facts: Mapping[str, Facts]) -> dict[str, tuple[int, int]]:
    """Pages of picture and mask, by pair name, where either has more than one."""

    def pages(raster: Wanted) -> int:
        key = filled.keys.get(raster)
        return facts[key].pages if key else 1

    counts = {pair.name: (pages(Wanted(pair.image, "image")), pages(Wanted(pair.mask, "mask"))) for pair in pairs}
    return {name: count for name, count in counts.items() if max(count) > 1}


def _paged(
    folder: Path,
    pairs: Sequence[Pair],
    stacks: Mapping[str, tuple[int, int]],
    choices: Choices,
    findings: list[Finding],
) -> Sequence[Pair]:
    """The pairs with their pages as a person said, or as the files themselves say; where neither does it is asked."""
    if choices.pages != "first":
        pairs = _one_a_class(folder, pairs, stacks, findings)
        stacks = {pair.name: stacks[pair.name] for pair in pairs if pair.name in stacks and pair.mask_page == 0}
    if not stacks:
        return pairs
    differing = {name: counts for name, counts in stacks.items() if counts[0] != counts[1]}
    if differing and choices.pages is None:
        findings.append(_about_differing_pages(differing, pairs))
        return pairs
    choice = choices.pages or "each"
    findings.append(_about_pages(stacks, choice))
    return _each_page(pairs, stacks) if choice == "each" else pairs


def _one_a_class(
    folder: Path, pairs: Sequence[Pair], stacks: Mapping[str, tuple[int, int]], findings: list[Finding]
) -> list[Pair]:
    """Pictures of one page whose mask has a page for each class get all of these as their mask."""
    single = [pair for pair in pairs if pair.name in stacks and stacks[pair.name][0] == 1]
    filled = filling.fill(folder, [Wanted(pair.mask, "mask", EVERY_PAGE) for pair in single])
    found = {pair.name for pair in single if Wanted(pair.mask, "mask", EVERY_PAGE) in filled.keys}
    if found:
        masks = [pair.mask for pair in single if pair.name in found]
        findings.append(
            Finding(
                code="pages-are-classes",
                severity="info",
                message=f"{of_all(len(masks), len(pairs), 'mask', 'has', 'have')} one page for each class, with one of "
                f"them set at every pixel: {listed(masks, 3)}. The number of the page, from 0, is the class.",
                files=[pair.image for pair in single if pair.name in found],
                fixes=[Fix(label="Take the first page only", change={"pages": "first"})],
            )
        )
    return [pair.model_copy(update={"mask_page": EVERY_PAGE}) if pair.name in found else pair for pair in pairs]


def _each_page(pairs: Sequence[Pair], stacks: Mapping[str, tuple[int, int]]) -> list[Pair]:
    """Stacks taken apart: page i of the picture with page i of the mask, as far as both go."""
    found = []
    for pair in pairs:
        if pair.name not in stacks:
            found.append(pair)
            continue
        for page in range(min(stacks[pair.name])):
            found.append(
                pair.model_copy(update={"name": f"{pair.name} page {page + 1}", "page": page, "mask_page": page})
            )
    return sorted(found, key=lambda pair: natural_key(pair.name))


def _about_differing_pages(differing: Mapping[str, tuple[int, int]], pairs: Sequence[Pair]) -> Finding:
    name, (of_image, of_mask) = next(iter(differing.items()))
    files = list(dict.fromkeys(pair.image for pair in pairs if pair.name in differing))
    which = f"{len(differing)} masks have" if len(differing) > 1 else "A mask has"
    fixes = [
        Fix(label="Take the first page of each", change={"pages": "first"}),
        Fix(label="Each page is a picture, as far as both go", change={"pages": "each"}),
    ]
    if sum(pair.image not in files for pair in pairs) >= MIN_PAIRS:
        fixes.append(Fix(label="Leave those pictures out", change={"excluded": files}))
    return Finding(
        code="pages",
        severity="error",
        message=f"{which} another number of pages than the picture ({name}: {of_image} in the picture, {of_mask} in "
        "the mask), and the pages are not one for each class, so their meaning is unknown.",
        advice="Say which pages belong together (--pages first or each on the command line), or save each mask as one "
        "page of class numbers.",
        files=files,
        fixes=fixes,
        together=[[pair.image, pair.mask] for pair in pairs if pair.name == name],
    )


def _about_pages(stacks: Mapping[str, tuple[int, int]], choice: Pages) -> Finding:
    name, (of_image, of_mask) = next(iter(stacks.items()))
    which = f"{len(stacks)} pairs have" if len(stacks) > 1 else f"{name} has"
    example = f" ({name}: {of_image} in the picture, {of_mask} in the mask)" if len(stacks) > 1 else ""
    if choice == "each":
        done = "Each page became a pair of its own, page by page"
        done += "." if all(image == mask for image, mask in stacks.values()) else ", as far as both go."
        fix = Fix(label="Take the first page only", change={"pages": "first"})
    else:
        done = "The first page of each is used."
        fix = Fix(label="Each page is a picture", change={"pages": "each"})
    severity = "info" if choice == "each" else "warning"
    return Finding(
        code="pages",
        severity=severity,
        message=f"{which} several pages{example}. {done}",
        effect="Pages that are not used are not learned from." if choice == "first" else "",
        files=list(stacks),
        fixes=[fix],
    )


def _unreadable(failed: dict[str, str]) -> list[Finding]:
    told, rest = list(failed.items())[:MAX_TOLD], list(failed)[MAX_TOLD:]
    found = [
        Finding(code="unreadable", message=f"{reason} The pair is left out.", files=[file]) for file, reason in told
    ]
    if rest:
        message = f"{len(rest)} more files cannot be read. Their pairs are left out."
        found.append(Finding(code="unreadable", message=message, files=rest))
    return found


def _turned(
    pairs: Sequence[Pair], store: Store, facts: dict[str, Facts], choices: Choices, findings: list[Finding]
) -> list[Pair]:
    """Pairs whose pictures carry an EXIF rotation: their masks may have been drawn on the picture as stored.

    Where the sizes tell, the mask is turned with its picture; where they cannot, a person is asked.
    """
    found, turned, doubtful = [], [], {}
    for pair in pairs:
        orientation, mask = facts[pair.image_key].orientation, store.entries[pair.mask_key]  # type: ignore[union-attr]
        size, mask_size = (pair.height, pair.width), (mask.height, mask.width)
        is_as_stored = orientation > 4 and size != mask_size == size[::-1]
        if orientation > 1 and (is_as_stored or choices.turns_masks):
            pair = pair.model_copy(update={"mask_orientation": orientation})
            turned.append(pair.image)
        elif orientation > 1 and (orientation < 5 or pair.height == pair.width):
            doubtful[pair.image] = pair.mask
        found.append(pair)
    if turned:
        back = Fix(label="Leave those masks as they are", change={"turns_masks": False})
        findings.append(
            Finding(
                code="mask-turned-too",
                severity="info",
                message=f"{_rotated(turned)}; their masks were drawn before it and are turned alike.",
                files=turned,
                fixes=[back] if choices.turns_masks else [],
            )
        )
    if doubtful:
        findings.append(
            Finding(
                code="exif-rotation",
                message=f"{_rotated([*doubtful])}, and are shown upright.",
                effect="Masks that were drawn on the pictures as stored would lie the wrong way round.",
                advice="Look at the overlays; if they do, turn the masks too.",
                files=[*doubtful],
                together=[[*couple] for couple in doubtful.items()],
                fixes=[Fix(label="Turn the masks too", change={"turns_masks": True})],
            )
        )
    return found


def _rotated(names: Sequence[str]) -> str:
    return f"Pictures carry an EXIF rotation ({len(names)}: {listed(names, 3)})"


def _that_go_together(pairs: list[Pair], store: Store, findings: list[Finding]) -> list[Pair]:
    """Pairs of fitting sizes and of one number of channels; grey and RGB go together."""
    sizes = []
    for pair in pairs:
        mask = store.entries[pair.mask_key]
        mask_size = (mask.width, mask.height) if pair.mask_orientation > 4 else (mask.height, mask.width)
        sizes.append((pair.image, pair.mask, (pair.height, pair.width), mask_size))
    fitting, found = check_sizes(sizes)
    findings += found
    pairs = [pairs[place] for place in fitting]
    channels = [store.entries[pair.image_key].channels for pair in pairs]
    if set(channels) <= {1, 3}:
        return pairs
    commonest = Counter(channels).most_common(1)[0][0]
    others = [pair for pair, count in zip(pairs, channels, strict=True) if count != commonest]
    if others:
        example = store.entries[others[0].image_key].channels
        which = f"{len(others)} of {len(pairs)} pictures do not have {commonest} channels"
        message = f"{which} ({others[0].image} has {example})."
        advice = "They are left out: export all pictures with the same channels, or import them as a set of their own."
        files = [pair.image for pair in others]
        findings.append(Finding(code="channels-differ", message=message, advice=advice, files=files))
    return [pair for pair, count in zip(pairs, channels, strict=True) if count == commonest]
