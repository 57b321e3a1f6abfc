"""The name of a version of a data set: a hash over everything in it that changes a score."""

import hashlib
import json
from collections.abc import Iterable

from unetlab.data.manifest import Manifest

DIGITS = 6  # of intensities: processors sum a mean to different last bits
WORDS = {"key", "meaning", "reasons", "palette_name"}  # of a reading: for people only


def content_hash(manifest: Manifest) -> str:
    """One hash over all that changes a score: equal hashes mean scores that can be compared.

    It covers, of each pair in order: the content of both files with their pages (`image_key`, `mask_key`), how the
    mask is turned and renumbered, and the split; how mask values become classes, in the order of the classes, and which
    are ignored; which class is the background, which mean scores leave out; the channels, the depth and the intensities
    that map to 0 and 1, and mean and deviation, with which networks normalise. What follows from these needs no place
    of its own: sizes, scaled masks, counts. Not covered, since no score depends on them: names of files, of classes and
    of the set, colours, notes and findings.

    Versions of an earlier unetlab, whose hashes covered less, keep the name that they have (`changes.revise`).
    """
    rows = [
        (pair.image_key, pair.mask_key, pair.mask_orientation, sorted(pair.renumbered.items()), pair.split)
        for pair in manifest.pairs
    ]
    without: dict = dict.fromkeys(WORDS, True) | {"groups": {"__all__": {"name"}}, "ignored": {"name"}}
    reading = manifest.reading.model_dump(exclude=without) if manifest.reading else None
    background = [info.id for info in manifest.classes if info.is_background]
    numbers = [_rounded(each) for each in (manifest.low, manifest.high, manifest.mean, manifest.std)]
    content = [rows, reading, background, manifest.channels, manifest.bits, numbers]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def _rounded(values: Iterable[float]) -> list[str]:
    return [f"{value:.{DIGITS}g}" for value in values]
