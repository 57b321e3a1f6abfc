"""Films and stacks are recognised by their numbers, and cut into blocks that do not depend on the order of names."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unetlab.data.checks.sequences import group_by_sequence, looks_consecutive, neighbours

SLICES = [str(number) for number in range(30)]
CAMVID = [f"0001TP_{number:06d}" for number in (6690, 6780, 6900, 6990, 7080, 7200, 7290, 7410, 7500, 7590)]  # train/


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (SLICES, "30 pictures numbered 0 to 29"),
        (CAMVID, "10 pictures numbered 6690 to 7590"),
        ([f"Scan_{number:03d}_v2" for number in range(5, 12)], "7 pictures numbered 5 to 11"),
        ([f"rat{rat}_z{slice_:02d}" for rat in (1, 7) for slice_ in range(9)], "18 pictures numbered in 2 series"),
        (["cover", *SLICES], "30 pictures numbered 0 to 29"),
        ([str(number) for number in range(40) if number % 7], "34 pictures numbered 1 to 39"),
    ],
)
def test_frames_and_slices_are_told_with_their_numbers(names, told):
    assert looks_consecutive(names) == told
    assert looks_consecutive(names[::-1]) == told


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["1"],
        ["cat", "dog", "bird", "fish"],
        ["1", "2", "3"],  # too few to say
        ["a1", "b1", "c1", "d1", "e1"],  # the number never changes
        ["cell1", "cell01", "cell001", "cell0001"],  # nor here
        ["2007_000032", "2007_000039", "2007_000063", "2007_000068", "2007_000121", "2007_000170"],  # VOC
        ["000000000139", "000000000285", "000000000632", "000000000724", "000000000776", "000000002006"],  # COCO
        [*"abcdefgh", "1", "2", "3", "4"],  # most names bear no number
    ],
)
def test_names_without_even_steps_are_no_sequence(names):
    assert looks_consecutive(names) == ""
    assert group_by_sequence(names) == {}
    assert neighbours(names) == []


def test_a_film_is_cut_into_blocks_of_neighbours():
    groups = group_by_sequence(SLICES)
    assert groups.keys() == set(SLICES)
    assert groups["0"] == groups["3"] == "0 to 3"
    in_order = [groups[name] for name in SLICES]
    assert in_order == sorted(in_order, key=in_order.index)  # each block is one stretch of numbers
    assert set(Counter(in_order).values()) == {4, 5}


@pytest.mark.parametrize("count", range(4, 12))
def test_one_short_film_is_cut_in_two_or_more(count):
    assert len(set(group_by_sequence([f"z{number}" for number in range(count)]).values())) == 2


def test_films_never_share_a_block_and_many_short_films_stay_whole():
    names = [f"film{film:02d}_{frame}" for film in range(20) for frame in range(6)]
    groups = group_by_sequence(names)
    assert len(set(groups.values())) == 20
    assert all(groups[name] == groups[f"{name[:6]}_0"] for name in names)


def test_a_block_is_about_a_tenth_of_all_pictures():
    sizes = Counter(group_by_sequence([f"{number:05d}" for number in range(1003)]).values()).values()
    assert set(sizes) <= set(range(101, 114))


def test_neighbours_follow_one_another_within_their_film():
    names = [f"{film}_{frame}" for film in "ab" for frame in (10, 9, 8, 11)]
    assert neighbours(names) == [(f"{film}_{frame}", f"{film}_{frame + 1}") for film in "ab" for frame in (8, 9, 10)]


@given(
    names=st.lists(
        st.builds("{}{}{}".format, st.sampled_from(["", "a_", "b"]), st.integers(0, 30), st.sampled_from(["", "_x2"])),
        min_size=1,
        max_size=40,
        unique=True,
    ),
    order=st.randoms(use_true_random=False),
)
@settings(deadline=None)
def test_the_order_of_names_does_not_matter_and_there_are_two_groups_or_none(names, order):
    groups = group_by_sequence(names)
    assert group_by_sequence(sorted(names, key=lambda _: order.random())) == groups
    assert groups.keys() <= set(names)
    assert len(set(groups.values())) != 1
    assert bool(groups) == bool(looks_consecutive(names))
