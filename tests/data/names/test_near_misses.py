"""Oracle: a table of leftovers, each with the suggestion a person would find helpful, or none."""

import pytest

from unetlab.data.names.near_misses import num_typos
from unetlab.data.names.pairing import pair_files


def pairs_in(line):
    return {tuple(pair.split(" + ")) for pair in line.split(" | ") if pair}


def pairs_of(pairing):
    return {(pair.image, pair.mask) for pair in pairing.pairs}


# Pictures, masks, the suggestions as picture + mask, and why.
NEAR = {
    "a dropped letter": ("cell_07.png cell_08.png", "cel_07.png cell_08.png", "cell_07.png + cel_07.png", "one letter"),
    "swapped letters": ("membrane.png", "memrbane_mask.png", "membrane.png + memrbane_mask.png", "one letter differs"),
    "one number": ("img7.png", "m07x.png", "img7.png + m07x.png", "same number 7"),
    "a name cut short": (
        "series_culture.png",
        "series_cult.png",
        "series_culture.png + series_cult.png",
        "one name is the beginning of the other",
    ),
    "folders that clash": ("train/x.png", "test/x.png", "train/x.png + test/x.png", "same name, but folders"),
    "other numbers": ("img1.png", "img2.png", "", ""),
    "other numbers in long names": ("experiment_12_cell_3.png", "experiment_12_cell_4.png", "", ""),
    "1 and 11": ("image_one_1.png", "image_one_11.png", "", ""),
    "one letter that is the name": ("cell_a.png", "cell_b.png", "", ""),
    "one letter beside a number": ("a_1.png", "b_1.png", "", ""),
    "a number more": ("specimen_blue.png", "specimen_blue_7.png", "", ""),
    "short words": ("cat.png", "car.png", "", ""),
    "two that fit equally": ("cell_07.png", "cel_07.png cll_07.png", "", ""),
}  # fmt: skip


@pytest.mark.parametrize(("images", "masks", "line", "why"), NEAR.values(), ids=NEAR.keys())
def test_likely_pairs_are_suggested_and_never_made(images, masks, line, why):
    # A third file in both boxes, so that folders are not shared by all.
    pairing = pair_files([*images.split(), "zz/third.png"], [*masks.split(), "zz/third.png"])
    assert {(miss.image, miss.mask) for miss in pairing.near_misses} == pairs_in(line)
    assert all(why in miss.why for miss in pairing.near_misses)
    assert not {(miss.image, miss.mask) for miss in pairing.near_misses} & pairs_of(pairing)


def test_there_are_never_more_than_200_suggestions():
    words = ["".join("abcdefghij"[int(digit)] for digit in str(n * 7919)) for n in range(1, 301)]
    pairing = pair_files([f"{word}specimen.png" for word in words], [f"{word}secimen.png" for word in words])
    assert len(pairing.near_misses) == 200


@pytest.mark.parametrize(
    ("one", "other", "count"),
    [("kitten", "sitting", 3), ("", "abc", 3), ("ca", "ac", 1), ("same", "same", 0), ("cell", "cel", 1)],
)
def test_typos_are_counted_as_damerau_counts_them(one, other, count):
    assert num_typos(one, other) == num_typos(other, one) == count
