"""What pairing by names hands back: pairs, what is left over, and the questions that remain. Models only."""

from dataclasses import dataclass, field

from unetlab.data.names.name_words import Split


@dataclass(frozen=True)
class Match:
    """A picture, its mask, how they found each other in plain words, and the split their folders name.

    Several masks: one file per object, in natural order.
    """

    name: str
    image: str
    masks: tuple[str, ...]
    how: str
    split: Split | None

    @property
    def mask(self) -> str:
        return self.masks[0]


@dataclass(frozen=True)
class NearMiss:
    """A picture and a mask that probably belong together, and why. A suggestion: never taken by itself."""

    image: str
    mask: str
    why: str


@dataclass(frozen=True)
class MaskKind:
    """One of several kinds of file that could be the mask, an example, and how many pictures have it."""

    name: str
    example: str
    count: int


@dataclass
class Pairing:
    """Pairs in natural order, and every file that is in no pair.

    ambiguous: pictures and masks of a tangle; all of them are listed as unmatched, too. mask_kinds: not empty where
    pictures have several kinds of mask; without a chosen_kind a person must say which, and the pictures concerned
    are in `ambiguous`. other_masks: masks of the kinds that were not chosen. layout: how the files lie, a part of
    a sentence. looks_swapped: the box for pictures seems to hold the masks. picture_kind: the kind of file that the
    pictures are, where it has a name; is_seen: their pixels told it.
    """

    pairs: list[Match] = field(default_factory=list)
    unmatched_images: list[str] = field(default_factory=list)
    unmatched_masks: list[str] = field(default_factory=list)
    ignored_files: list[str] = field(default_factory=list)
    ambiguous: list[tuple[list[str], list[str]]] = field(default_factory=list)
    layout: str = ""
    near_misses: list[NearMiss] = field(default_factory=list)
    mask_kinds: list[MaskKind] = field(default_factory=list)
    chosen_kind: str | None = None
    other_masks: list[str] = field(default_factory=list)
    looks_swapped: bool = False
    picture_kind: MaskKind | None = None
    is_seen: bool = False
