"""Properties of the stored split: never empty, near the fraction, and nothing moves once it is stored."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unetlab.data.split import assign
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
