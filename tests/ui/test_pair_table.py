"""The pair table: which decisions turn the table that was shown into the table as it was edited."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unetlab.data.manifest import Pair
from unetlab.errors import DataError
from unetlab.ui.pair_table import Row, as_frame, changes_of, rows_of

A, B, C = Row("a.png", "a_mask.png"), Row("b.png", "b_mask.png"), Row("c.png", "c_mask.png")
MADE = Row("d.png", "../made/d.png")


def with_mask(row: Row, mask: str | None) -> Row:
    return row._replace(mask=mask)


def unused(row: Row) -> Row:
    return row._replace(is_used=False)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ([A, B, C], {}),
        ([A, unused(B), C], {"excluded": ["b.png"]}),
        ([with_mask(A, "lost.png"), B, C], {"pairs": [("a.png", "lost.png")]}),
        ([with_mask(A, None), B, C], {"apart": [("a.png", "a_mask.png")]}),
        (
            [with_mask(A, "b_mask.png"), with_mask(B, "a_mask.png"), C],
            {"pairs": [("a.png", "b_mask.png"), ("b.png", "a_mask.png")]},
        ),
        (
            [with_mask(A, "b_mask.png"), with_mask(B, None), unused(C)],
            {"pairs": [("a.png", "b_mask.png")], "apart": [("b.png", "b_mask.png")], "excluded": ["c.png"]},
        ),
        ([with_mask(A, "b_mask.png"), unused(B), C], {"pairs": [("a.png", "b_mask.png")], "excluded": ["b.png"]}),
    ],
)
def test_each_edit_becomes_the_decision_that_it_means(after, expected):
    assert changes_of([A, B, C], after) == expected


def test_an_unticked_picture_is_left_out_whatever_its_mask_cell_says():
    assert changes_of([A], [Row("a.png", "other.png", is_used=False)]) == {"excluded": ["a.png"]}


def test_a_cleared_mask_that_was_made_of_several_files_leaves_its_picture_out():
    assert changes_of([MADE], [with_mask(MADE, None)]) == {"excluded": ["d.png"]}


def test_pages_of_one_file_make_one_decision():
    pages = [Row("stack.tif", "stack_mask.tif")] * 3
    assert changes_of(pages, [unused(page) for page in pages]) == {"excluded": ["stack.tif"]}
    assert changes_of(pages, [with_mask(page, "other.tif") for page in pages]) == {
        "pairs": [("stack.tif", "other.tif")]
    }


def test_a_mask_given_to_a_second_picture_is_refused_with_both_names():
    with pytest.raises(DataError, match=r"b_mask\.png is the mask of a\.png and b\.png now"):
        changes_of([A, B], [with_mask(A, "b_mask.png"), B])


rows = st.lists(st.sampled_from("abcdefgh"), unique=True, min_size=1).map(
    lambda names: [Row(f"{name}.png", f"{name}_mask.png") for name in names]
)


@given(before=rows, edits=st.data())
def test_decisions_name_exactly_the_rows_that_were_edited(before, edits):
    kinds = [edits.draw(st.sampled_from(["keep", "clear", "untick", "new"])) for _ in before]
    edit = {
        "keep": lambda row: row,
        "clear": lambda row: with_mask(row, None),
        "untick": unused,
        "new": lambda row: with_mask(row, f"new_{row.picture}"),
    }
    change = changes_of(before, [edit[kind](row) for kind, row in zip(kinds, before, strict=True)])
    named = {kind: [row for row, chosen in zip(before, kinds, strict=True) if chosen == kind] for kind in edit}
    assert change.get("excluded", []) == [row.picture for row in named["untick"]]
    assert change.get("apart", []) == [(row.picture, row.mask) for row in named["clear"]]
    assert change.get("pairs", []) == [(row.picture, f"new_{row.picture}") for row in named["new"]]


def test_an_untouched_table_changes_nothing_and_an_emptied_cell_is_no_mask():
    pairs = [Pair(name=n, image=f"{n}.png", mask=f"{n}_mask.png", matched_by="same name") for n in "ab"]
    table = as_frame(pairs)
    before = rows_of(table)
    assert before == [A, B]
    for emptied in (None, "", np.nan, pd.NA):
        table["mask"] = table["mask"].astype(object)
        table.loc[0, "mask"] = emptied
        assert rows_of(table)[0] == with_mask(A, None)
