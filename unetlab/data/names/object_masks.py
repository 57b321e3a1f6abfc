"""Masks of single objects: several files for one picture, in its own folder or numbered after its name."""

from collections import defaultdict
from collections.abc import Mapping

from unetlab.data.names.file_names import fold, folder_words
from unetlab.data.names.mask_kinds import Candidate, Family, names_by_folder
from unetlab.data.names.matching import MIN_PAIRS, Found, Matcher
from unetlab.data.names.name_words import SPLIT_FOLDERS
from unetlab.data.names.named_files import NamedFile, owners

_Key = tuple[str, ...]


def match_by_folder(matcher: Matcher) -> None:
    """`7/images/7.png` gets all of `7/masks/*.png`, `images/7.png` all of `masks/7/*.png`.

    Only where at least half of such folders hold several masks: elsewhere names say more.
    """
    if not any(mask.folders for mask in matcher.masks_left.values()):
        return
    for masks_of in (_in_sample_folders(matcher), _in_folders_called_like_the_picture(matcher)):
        several = [masks for masks in masks_of.values() if len(masks) > 1]
        if len(masks_of) < MIN_PAIRS or len(several) < len(masks_of) / 2:
            continue
        if names_by_folder({path: masks for path, masks in masks_of.items() if len(masks) > 1}):
            _set_kinds_aside(matcher, masks_of)
            continue
        for path, masks in masks_of.items():
            image = matcher.images_left[path]
            matcher.take(image, masks, _how(masks))


def match_numbered(matcher: Matcher) -> None:
    """`a.png` gets `a_mask_1.png` and `a_mask_2.png`, and those after a first one called `a_mask.png`."""
    if not matcher.masks_left:
        return
    pairs = {pair.image.path: pair for pair in matcher.found}
    owned = owners([*[pair.image for pair in matcher.found], *matcher.images_left.values()], "loose", "image")
    masks_of: dict[str, list[NamedFile]] = defaultdict(list)
    words: dict[str, str] = {}
    for mask in matcher.masks_left.values():
        for stem, stripped in mask.stems_at("numbered", "mask").items():
            tied = owned.get((mask.key, stem), [])
            if len(tied) == 1 and (tied[0].path, mask.path) not in matcher.apart:
                masks_of[tied[0].path].append(mask)
                words[tied[0].path] = stripped.affixes[0]
    for path, masks in masks_of.items():
        if path in matcher.images_left:
            how = f"same name without '{words[path]}'" if len(masks) == 1 else _how(masks)
            matcher.take(matcher.images_left[path], masks, how)
        elif _is_first_of(pairs[path], words[path]):
            pair = pairs[path]
            pair.masks += masks
            pair.how = _how(pair.masks)
            for mask in masks:
                del matcher.masks_left[mask.path]


def _is_first_of(pair: Found, affix: str) -> bool:
    """`a_mask_1` joins `a_mask`, but not `a_gt`."""
    word = affix.split(" ")[0]
    return any(word in stripped.affixes for mask in pair.masks for stripped in mask.stems.values())


def _in_sample_folders(matcher: Matcher) -> dict[str, list[NamedFile]]:
    images: dict[_Key, list[NamedFile]] = defaultdict(list)
    masks: dict[_Key, list[NamedFile]] = defaultdict(list)
    for image in matcher.images_left.values():
        images[image.key].append(image)
    for mask in matcher.masks_left.values():
        if mask.role == "mask":
            masks[mask.key].append(mask)
    found = {}
    for key, files in masks.items():
        is_sample = bool(key) and key[-1] not in SPLIT_FOLDERS.values() and len(images[key]) == 1
        if is_sample and len({mask.folders for mask in files}) == 1:
            image = images[key][0]
            free = [mask for mask in files if matcher.may_join(image, mask)]
            if free and not all(_share_a_stem(image, mask) for mask in files):
                found[image.path] = free
    return found


def _in_folders_called_like_the_picture(matcher: Matcher) -> dict[str, list[NamedFile]]:
    images: dict[tuple[_Key, str], list[NamedFile]] = defaultdict(list)
    for image in matcher.images_left.values():
        images[image.key, image.stem].append(image)
    found: dict[str, list[NamedFile]] = defaultdict(list)
    outer_keys: dict[tuple[str, ...], _Key] = {}
    for mask in matcher.masks_left.values():
        if not mask.folders:
            continue
        outer = mask.folders[:-1]
        if outer not in outer_keys:
            outer_keys[outer] = tuple(rest for folder in outer if (rest := folder_words(folder).rest))
        tied = images.get((outer_keys[outer], fold(mask.folders[-1])), [])
        if len(tied) == 1 and matcher.may_join(tied[0], mask):
            found[tied[0].path].append(mask)
    return found


def _share_a_stem(image: NamedFile, mask: NamedFile) -> bool:
    return any(stem in image.stems for stem in mask.stems)


def _set_kinds_aside(matcher: Matcher, masks_of: Mapping[str, list[NamedFile]]) -> None:
    for path, masks in masks_of.items():
        candidates = tuple(Candidate(mask, mask.stem, f"'{mask.stem}' in {_folder(masks)}") for mask in masks)
        matcher.set_aside(Family(matcher.images_left[path], candidates))


def _how(masks: list[NamedFile]) -> str:
    if len(masks) == 1:
        return f"the only mask in {_folder(masks)}"
    return f"{len(masks)} masks, one per object, in {_folder(masks)}"


def _folder(masks: list[NamedFile]) -> str:
    folders = "/".join(masks[0].folders)
    return f"folder {folders}" if folders else "one folder"
