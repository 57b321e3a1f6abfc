"""What the audit looks at, and the words and clicks that its findings share."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from unetlab.data.manifest import Choices, ClassInfo, Fix, Pair
from unetlab.data.names.file_names import Split
from unetlab.data.readers.facts import ImageFacts, MaskFacts

MAX_NAMED = 3
MAX_CLASSES_NAMED = 5
MIN_PAIRS = 2  # one to train on, one to validate


@dataclass(frozen=True)
class Material:
    """A set as the audit sees it. Places count the pairs; images, masks and rows of class_pixels are parallel to them.

    class_pixels: pixels of class 0 to K-1 in each mask, int64 (N,K), at its picture's size.
    """

    pairs: Sequence[Pair]
    images: Sequence[ImageFacts]
    masks: Sequence[MaskFacts]
    class_pixels: np.ndarray
    classes: Sequence[ClassInfo]
    choices: Choices
    is_given_split: bool
    swapped: Sequence[int] = ()  # places of masks whose two classes are the wrong way round

    @cached_property
    def constant(self) -> frozenset[int]:
        """Places of pictures that have one value per channel and nothing to see."""
        return frozenset(
            place for place, image in enumerate(self.images) if image.num_levels == 1 and image.low == image.high
        )

    @cached_property
    def background(self) -> int | None:
        return next((info.id for info in self.classes if info.is_background), None)

    def places(self, *splits: Split) -> list[int]:
        """Places of the pairs on the given sides."""
        return [place for place, pair in enumerate(self.pairs) if pair.split in splits]

    def title(self, place: int) -> str:
        """The picture's file, with its page where the file has several."""
        pair = self.pairs[place]
        return f"{pair.image} page {pair.page + 1}" if self.images[place].pages > 1 else pair.image

    def files(self, places: Sequence[int]) -> list[str]:
        """Paths of the pictures, each once."""
        return list(dict.fromkeys(self.pairs[place].image for place in places))

    def named(self, places: Sequence[int]) -> str:
        """The first few pictures for a sentence: "a.png, b.png, c.png and 4 more"."""
        return listed([self.title(place) for place in places], MAX_NAMED)

    def without(self, places: Sequence[int], label: str) -> list[Fix]:
        """One click that leaves these pictures out; none where too few pairs would be left.

        Files go as a whole: one whose other pages are fine stays.
        """
        pages, wrong = Counter(pair.image for pair in self.pairs), Counter(self.pairs[place].image for place in places)
        files = [file for file in self.files(places) if wrong[file] == pages[file]]
        if not files or len(self.pairs) - sum(pages[file] for file in files) < MIN_PAIRS:
            return []
        return [Fix(label=label, change={"excluded": files})]


def num_counting(pair: Pair, image: ImageFacts) -> int:
    """Pixels of a pair's mask in use where its picture was measured, whatever they are read as."""
    return pair.height * pair.width - image.num_invalid


def listed(names: Sequence[str], most: int) -> str:
    """The first `most` names for a sentence, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def percent(share: float) -> str:
    """A share 0..1 for a sentence: "30 %", "0.42 %", "under 0.01 %"."""
    if 0 < share < 0.0001:
        return "under 0.01 %"
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"


def counted(number: int, noun: str) -> str:
    """Number and noun: "1 picture", "3 pictures", "2 classes", "2 copies"."""
    ending = "es" if noun.endswith("s") else "s"
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else noun + ending
    return f"{number} {noun if number == 1 else plural}"


def of_all(number: int, total: int, noun: str, verb: str, verb_many: str) -> str:
    """The beginning of a sentence: "1 of 9 pictures is", "3 of 9 pictures are"."""
    return f"{number} of {counted(total, noun)} {verb if number == 1 else verb_many}"
