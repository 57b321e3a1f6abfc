"""Events as lines. Oracle: what was written is what is read, and JSON has no NaN."""

import json
import math
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unetlab.events import Batch, Epoch, Event, Note, Preview, Progress, from_lines, to_line

EPOCH = Epoch(
    epoch=2,
    step=30,
    train_loss=0.5,
    valid_loss=0.25,
    mean_dice=0.75,
    mean_iou=0.6,
    pixel_accuracy=None,
    dice={"background": 0.9, "nucleus": None},
    iou={"background": 0.8, "nucleus": None},
    is_best=True,
)
EVENTS: list[Event] = [
    Batch(step=7, epoch=1, loss=0.125, lr=1e-3, momentum=0.9),
    EPOCH,
    Preview(epoch=0, folder="previews/epoch_000", names=["zellë 1", "cell\n2"]),
    Progress("training", 3, 10),
    Note("Trained in fp32.", about={"precision": "fp32"}),
]


def nothing_but_json(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_an_event_comes_back_as_it_was_with_its_time_and_attempt(event):
    line = to_line(event, time=12.3456, attempt=2)
    assert line.endswith("\n")
    assert line.count("\n") == 1
    assert from_lines([line]) == [{**asdict(event), "time": 12.346, "attempt": 2}]


def test_the_types_are_those_that_readers_rely_on():
    assert [event.type for event in EVENTS] == ["batch", "epoch", "preview", "progress", "note"]


@given(loss=st.floats(), lr=st.floats(), momentum=st.floats(0, 1))
def test_numbers_come_back_to_the_bit_and_what_is_not_finite_as_null(loss, lr, momentum):
    line = to_line(Batch(step=0, epoch=0, loss=loss, lr=lr, momentum=momentum), time=0, attempt=1)
    value = json.loads(line, parse_constant=nothing_but_json)
    for name, number in (("loss", loss), ("lr", lr), ("momentum", momentum)):
        assert value[name] == (number if math.isfinite(number) else None)


def test_nan_becomes_null_at_every_depth():
    about = {"scores": {"dice": math.nan}, "losses": [1.0, math.inf, [math.nan]]}
    (value,) = from_lines([to_line(Note("done", about=about), time=0, attempt=1)])
    assert value["about"] == {"scores": {"dice": None}, "losses": [1.0, None, [None]]}


@given(st.data())
def test_a_line_torn_anywhere_is_passed_over_and_its_neighbours_are_kept(data):
    lines = [to_line(event, time=1.0, attempt=1) for event in EVENTS]
    torn = data.draw(st.integers(0, len(lines) - 1))
    length = data.draw(st.integers(0, len(lines[torn]) - 2))  # at least the closing brace is missing
    lines[torn] = lines[torn][:length]
    assert [value["type"] for value in from_lines(lines)] == [e.type for i, e in enumerate(EVENTS) if i != torn]


@pytest.mark.parametrize("line", ["", "\n", "null", "3", "[1]", '"text"', "\x00\x00", "{}}"])
def test_a_line_that_is_no_event_is_passed_over(line):
    assert from_lines([line]) == []
