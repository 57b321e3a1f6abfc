"""Which of several kinds of file are the pictures, by their pixels: for names that do not say it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from unetlab.data.checks.audit import FLAT_LEVELS, is_photograph
from unetlab.data.labels.masks import measure_mask
from unetlab.data.readers.facts import MaskFacts
from unetlab.data.readers.images import read_mask
from unetlab.errors import UnreadableFile

SAMPLED = 6  # files of a kind
MAX_COUNTED = 65_536  # pixels of a file with several channels, taken row by row
MOST = 0.9  # of the files of a kind look alike
SAMPLED_OF_ALL = 12
FEW = 0.2  # of the files: a picture may be empty, a mask drawn with soft edges


@dataclass
class PixelLook:
    """Looks at a few files below `folder`; what it saw of each kind stays in `values`, in words."""

    folder: Path
    values: dict[str, str] = field(default_factory=dict)

    def picture_kind(self, kinds: Mapping[str, Sequence[str]]) -> str | None:
        """The kind that holds the pictures: the only one of many values, where all others hold few.

        kinds: names of files by kind. None where the pixels do not tell, or a file cannot be read.
        """
        seen = {kind: [self._look(name) for name in _spread(names)] for kind, names in kinds.items()}
        if not all(seen.values()) or any(facts is None for found in seen.values() for facts in found):
            return None
        known = {kind: [facts for facts in found if facts is not None] for kind, found in seen.items()}
        for is_label in (_is_flat, lambda facts: not is_photograph(facts)):
            labels = {kind: sum(map(is_label, found)) / len(found) for kind, found in known.items()}
            pictures = [kind for kind, share in labels.items() if share <= 1 - MOST]
            if len(pictures) == 1 and all(share >= MOST for kind, share in labels.items() if kind != pictures[0]):
                self.values = {kind: _in_words(found) for kind, found in known.items()}
                return pictures[0]
        return None

    def picture_and_mask(self, names: Sequence[str]) -> list[str]:
        """A file like a picture and one like a mask, where several of each are among the files; else nothing."""
        looked = [(name, facts) for name in _spread(names, SAMPLED_OF_ALL) if (facts := self._look(name))]
        pictures = [name for name, facts in looked if is_photograph(facts)]
        masks = [name for name, facts in looked if _is_flat(facts)]
        is_mixed = min(len(pictures), len(masks)) >= max(2, FEW * len(looked))
        return [pictures[0], masks[0]] if is_mixed else []

    def _look(self, name: str) -> MaskFacts | None:
        try:
            raster = read_mask(self.folder / name)
        except UnreadableFile:
            return None
        height, width, channels = raster.pixels.shape
        rows = raster.pixels[:: -(-height * width // MAX_COUNTED)] if channels > 1 else raster.pixels
        return measure_mask(raster._replace(pixels=rows))


def _spread(names: Sequence[str], most: int = SAMPLED) -> Sequence[str]:
    """At most so many of the names, from all parts of the list."""
    return names[:: -(-len(names) // most)] if names else names


def _is_flat(facts: MaskFacts) -> bool:
    return facts.num_values <= FLAT_LEVELS


def _in_words(found: Sequence[MaskFacts]) -> str:
    counts = {facts.num_values for facts in found}
    if max(counts) > FLAT_LEVELS:
        return "nearly all pixels on a few values"
    what = "colour" if found[0].mode == "colour" else "value"
    number = f"{max(counts)} {what}{'s' if max(counts) > 1 else ''}"
    return f"{number} each" if len(counts) == 1 else f"at most {number} each"
