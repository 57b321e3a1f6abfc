"""The marks of the LR chart. Oracle: where labels and rules come to lie, from the rows' geometry."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unetlab.ui import charts

RANGE = (1e-7, 10.0)
NAMES = ["min gradient", "min loss / 10", charts.OWN_LABEL]


def rows(*rates: float) -> pd.DataFrame:
    return charts.mark_rows(dict(zip(NAMES, rates, strict=False)), RANGE)


def test_a_rate_on_top_of_another_shares_its_mark():
    found = rows(1e-3, 1e-1, 1.01e-3)
    assert sorted(found["label"]) == ["min gradient = my own", "min loss / 10"]
    assert len(rows(1e-3, 1.2e-3)) == 2


@pytest.mark.parametrize(
    ("rates", "labels", "is_left"),
    [
        ([1e-5, 1.2e-5], ["min gradient", "min loss / 10"], [False, False]),
        ([0.5, 1.0], ["min loss / 10", "min gradient"], [True, True]),  # near the right end they point to the left
        ([1e-6, 1.0, 0.5], ["min gradient", "min loss / 10", "my own"], [False, True, True]),
    ],
)
def test_labels_stand_one_below_the_other_and_point_into_the_chart(rates, labels, is_left):
    found = rows(*rates)
    assert found["label"].tolist() == labels
    assert found["is_left"].tolist() == is_left
    assert found["row"].tolist() == list(range(len(labels)))


@given(st.lists(st.floats(1e-5, 3), min_size=1, max_size=3))
def test_no_label_lies_on_the_rule_of_a_mark_that_points_the_same_way(rates):
    found = rows(*rates)
    for mark in found.itertuples():
        for other in found.itertuples():
            starts_above = other.row < mark.row
            is_ahead = (other.place < mark.place) if mark.is_left else (other.place > mark.place)
            if other.row != mark.row and other.is_left == mark.is_left and is_ahead:
                assert not starts_above, "its rule would cross the label"


def test_a_rule_ends_where_the_plot_does_and_labels_have_the_colour_of_text():
    sweep = pd.DataFrame({"lr": [1e-6, 1.0], "loss": [1.0, 0.5], "smooth": [1.0, 0.5], "centred": [1.0, 0.5]})
    layers = charts.lr_curve_chart([sweep], {"min_gradient": {"lr": 1e-3}}, 1e-2, RANGE).to_dict()["layer"]
    marks = [layer for layer in layers if layer["mark"]["type"] in ("rule", "text")]
    ends = [layer["encoding"]["y2"] for layer in marks if layer["mark"]["type"] == "rule"]
    assert ends == [{"value": "height"}] * 2, "the page fits the chart, axes and legend included, into its height"
    assert [layer["encoding"]["color"] for layer in marks[1::2]] == [{"value": "currentColor"}] * 2
