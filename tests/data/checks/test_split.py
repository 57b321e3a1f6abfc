"""Properties of the stored split: never empty, near the fraction, groups whole, and nothing moves once it is stored."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from unetlab.data.checks.split import assign, share_in_words
from unetlab.data.names.file_names import Split
from unetlab.errors import DataError

NAMES = st.lists(st.text("abc019", min_size=1, max_size=5), min_size=2, max_size=40, unique=True)
FRACTIONS = st.floats(0.01, 0.99)


@given(names=NAMES, fraction=FRACTIONS, seed=st.integers(0, 100))
@settings(deadline=None)
def test_training_and_validation_are_never_empty_and_near_the_fraction(names, fraction, seed):
    splits = assign(names, valid_fraction=fraction, seed=seed)
    num_valid = splits.count("valid")
    assert 1 <= num_valid <= len(names) - 1
    assert splits.count("train") + num_valid == len(names)
    assert abs(num_valid - fraction * len(names)) <= 1


@given(names=NAMES, more=NAMES, fraction=FRACTIONS)
@settings(deadline=None)
def test_files_added_later_move_nothing(names, more, fraction):
    stored = dict(zip(names, assign(names, valid_fraction=fraction), strict=True))
    grown = list(dict.fromkeys([*more, *names]))
    splits = dict(zip(grown, assign(grown, valid_fraction=fraction, existing=stored), strict=True))
    assert {name: splits[name] for name in names} == stored


@given(names=NAMES, seed=st.integers(0, 100))
@settings(deadline=None)
def test_the_order_of_names_does_not_matter(names, seed):
    forwards = dict(zip(names, assign(names, valid_fraction=0.2, seed=seed), strict=True))
    assert dict(zip(names[::-1], assign(names[::-1], valid_fraction=0.2, seed=seed), strict=True)) == forwards


def test_another_seed_gives_another_split():
    names = [str(number) for number in range(30)]
    assert assign(names, valid_fraction=0.3, seed=0) != assign(names, valid_fraction=0.3, seed=1)


def test_given_folders_are_kept():
    given_splits = ["train", "train", "valid", "test", None]
    assert assign(list("abcde"), valid_fraction=0.2, given=given_splits) == ["train", "train", "valid", "test", "train"]


def test_training_folders_without_validation_give_some_up():
    splits = assign(list("abcdefghijt"), valid_fraction=0.2, given=["train"] * 10 + ["test"])
    assert splits.count("valid") == 2
    assert splits[-1] == "test"


def test_test_exists_only_when_given():
    assert "test" not in assign([str(number) for number in range(50)], valid_fraction=0.5)


def test_a_lonely_pair_beside_test_pictures_is_refused():
    with pytest.raises(DataError, match="at least 2 are needed"):
        assign(list("ab"), valid_fraction=0.2, given=["train", "test"])


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 20])
def test_a_fraction_outside_0_to_1_is_refused(fraction):
    with pytest.raises(DataError, match="share between 0 and 1"):
        assign(list("abc"), valid_fraction=fraction)


GROUPED = st.lists(st.tuples(st.text("abc01", min_size=1, max_size=4), st.sampled_from(" ABCDE")), min_size=2)


def names_and_groups(grouped: list[tuple[str, str]]) -> tuple[list[str], dict[str, str]]:
    """Unique names, and the group of those that have one."""
    groups = dict(grouped)
    return list(groups), {name: group for name, group in groups.items() if group != " "}


@given(grouped=GROUPED, fraction=FRACTIONS, seed=st.integers(0, 100))
@settings(deadline=None)
def test_a_group_stands_on_one_side_and_both_sides_have_something(grouped, fraction, seed):
    names, groups = names_and_groups(grouped)
    assume(len(names) >= 2)
    splits = dict(zip(names, assign(names, valid_fraction=fraction, seed=seed, groups=groups), strict=True))
    assert set(splits.values()) == {"train", "valid"}
    units = {groups.get(name, name) for name in names}
    if len(units) > 1:
        sides = {(groups.get(name, name), split) for name, split in splits.items()}
        assert len(sides) == len(units)


@given(grouped=GROUPED, order=st.randoms(use_true_random=False), seed=st.integers(0, 100))
@settings(deadline=None)
def test_any_order_of_grouped_names_gives_each_name_the_same_split(grouped, order, seed):
    names, groups = names_and_groups(grouped)
    assume(len(names) >= 2)
    splits = dict(zip(names, assign(names, valid_fraction=0.2, seed=seed, groups=groups), strict=True))
    shuffled = sorted(names, key=lambda _: order.random())
    assert dict(zip(shuffled, assign(shuffled, valid_fraction=0.2, seed=seed, groups=groups), strict=True)) == splits


@given(grouped=GROUPED, more=GROUPED, fraction=FRACTIONS)
@settings(deadline=None)
def test_grouped_files_added_later_move_nothing_and_join_their_group(grouped, more, fraction):
    names, groups = names_and_groups(grouped)
    assume(len({groups.get(name, name) for name in names}) >= 2)
    stored = dict(zip(names, assign(names, valid_fraction=fraction, groups=groups), strict=True))
    grown, added = names_and_groups([*more, *grouped])
    splits = dict(
        zip(grown, assign(grown, valid_fraction=fraction, existing=stored, groups={**added, **groups}), strict=True)
    )
    assert {name: splits[name] for name in names} == stored
    for name in grown:
        if name not in stored and added.get(name) in groups.values():
            assert {splits[name]} == {stored[other] for other in names if groups.get(other) == added[name]}


@pytest.mark.parametrize("seed", range(8))
def test_validation_comes_as_near_the_share_as_whole_groups_allow(seed):
    names = [f"{number:03d}" for number in range(100)]
    groups = {name: name[:2] for name in names}  # ten groups of ten
    assert assign(names, valid_fraction=0.2, seed=seed, groups=groups).count("valid") == 20


@pytest.mark.parametrize("seed", range(8))
def test_a_group_much_larger_than_validation_should_be_trains(seed):
    names = [f"film{number}" for number in range(80)] + [f"photo{number}" for number in range(20)]
    groups = dict.fromkeys(names[:80], "film")
    splits = assign(names, valid_fraction=0.2, seed=seed, groups=groups)
    assert splits[:80] == ["train"] * 80
    assert splits[80:] == ["valid"] * 20


@pytest.mark.parametrize("seed", range(8))
def test_validation_never_takes_the_last_group(seed):
    groups = {"a1": "a", "a2": "a", "a3": "a", "b1": "b", "b2": "b", "b3": "b"}
    splits = assign(list(groups), valid_fraction=0.9, seed=seed, groups=groups)
    assert splits in ([*["train"] * 3, *["valid"] * 3], [*["valid"] * 3, *["train"] * 3])


def test_one_group_that_holds_everything_is_divided():
    names = [str(number) for number in range(10)]
    splits = assign(names, valid_fraction=0.2, groups=dict.fromkeys(names, "film"))
    assert splits.count("valid") == 2


@pytest.mark.parametrize("side", ["train", "valid"])
def test_where_only_stored_names_of_one_side_are_left_one_crosses(side):
    splits = assign(list("abc"), valid_fraction=0.2, existing=dict.fromkeys("abc", side))
    assert sorted(splits) == sorted([side, side, "valid" if side == "train" else "train"])


@pytest.mark.parametrize(
    ("valid", "train", "is_grouped", "said"),
    [
        (3, 12, False, "20% for validation"),
        (3, 13, False, "19% for validation (the nearest to 20% of 16 pictures)"),
        (1, 1, False, "50% for validation (the nearest to 20% of 2 pictures)"),
        (4, 12, False, "25% for validation (20% were chosen; pictures keep their side when others come or go)"),
        (4, 12, True, "25% for validation (20% were chosen; neighbouring frames stay together)"),
    ],
)
def test_a_share_that_was_not_chosen_says_why(valid, train, is_grouped, said):
    splits: list[Split] = ["valid"] * valid + ["train"] * train + ["test"] * 5
    assert share_in_words(splits, 0.2, is_grouped=is_grouped) == said
