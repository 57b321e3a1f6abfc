"""The job `train` in this process: what result.json and the notes say of a training. Oracle: its own events."""

from pathlib import Path

import pytest

from tests import tiny
from unetlab.console import train_lines
from unetlab.data.dataset import DataSet
from unetlab.events import Batch, Epoch, Event, Note, Progress
from unetlab.runs import store
from unetlab.runs.store import Run
from unetlab.training import alarm, artifacts, learner
from unetlab.training.train_job import train
from unetlab.workspace import own_workspace


def trained_here(changes: dict, *, stop_after: int | None = None) -> tuple[Run, list[Event]]:
    """A training of the tiny set and what it reported; `stop_after`: the number of steps before it is stopped."""
    config = tiny.config(changes=changes)
    run, told = store.create_run(own_workspace(), config, device="cpu"), []

    def should_stop() -> bool:
        return stop_after is not None and sum(isinstance(event, Batch) for event in told) >= stop_after

    train(run, config, "cpu", on_event=told.append, should_stop=should_stop)
    return run, told


def test_the_best_epoch_and_the_epochs_trained_are_two_numbers(tiny_set: Path, monkeypatch: pytest.MonkeyPatch):
    ranks = iter([(0.5, 0.0), (0.7, 0.0), (0.6, 0.0), (0.1, 0.0)])
    monkeypatch.setattr(learner, "rank_of", lambda evaluation, best_score: next(ranks))
    run, told = trained_here({"train.epochs": 9, "train.patience": 2})
    assert [event.is_best for event in told if isinstance(event, Epoch)] == [True, True, False, False]
    result = run.read("result.json")
    assert (result["best_epoch"], result["epochs"], result["epochs_trained"]) == (2, 2, 4)


def test_the_picture_that_is_drawn_as_the_worst_is_one_with_a_mask_that_shows_something(tiny_set, monkeypatch):
    drawn, first = [], []
    monkeypatch.setattr(artifacts, "write_overlay", lambda data, index, *paths: drawn.append(index))
    monkeypatch.setattr(DataSet, "is_empty", lambda data, index: index in first)
    for _ in range(2):
        trained_here({"train.epochs": 1})
        first.append(drawn[-1])
    assert len(set(drawn)) == 2, "as good as empty, the worst of before is passed over"


@pytest.mark.parametrize("is_swept", [False, True])
def test_the_alarm_knows_whether_there_was_a_sweep(is_swept: bool, tiny_set: Path, monkeypatch: pytest.MonkeyPatch):
    told = []
    monkeypatch.setattr(alarm, "look", lambda *_, is_swept, **__: told.append(is_swept))
    if is_swept:
        tiny.finished_sweep()
    trained_here({"train.epochs": 1})
    assert told == [is_swept]


def test_an_epoch_that_a_stop_ended_early_counts_by_its_steps(tiny_set: Path):
    run, told = trained_here({"train.epochs": 3}, stop_after=3)
    assert sum(isinstance(event, Batch) for event in told) == 3
    assert run.read("result.json")["epochs_trained"] == pytest.approx(1.5)


@pytest.mark.parametrize("stop_after", [None, 5])
def test_the_highest_rate_is_that_of_the_steps_taken_not_the_one_asked_for(tiny_set: Path, stop_after: int | None):
    run, told = trained_here({"train.epochs": 10, "train.max_lr": 0.01}, stop_after=stop_after)
    rates = [event.lr for event in told if isinstance(event, Batch)]
    result = run.read("result.json")
    assert (result["highest_lr"], result["max_lr"]) == (max(rates), 0.01)
    assert (result["highest_lr"] < 0.01) == (stop_after is not None)


def test_a_training_of_one_step_says_that_it_never_came_near_the_rate(tiny_set: Path):
    run, told = trained_here({"train.epochs": 1, "train.batch_size": 8, "train.max_lr": 1e-3})
    (said,) = (event.message for event in told if isinstance(event, Note) and event.about.get("code") == "few-steps")
    assert "Only 1 step: too few for a one-cycle" in said
    assert "The highest rate is 4.0e-09; 1.0e-03 was asked for." in said
    assert run.read("result.json")["highest_lr"] == pytest.approx(4e-9)
    (lines,) = (line for line in train_lines(run) if "learning rate" in line)
    assert "highest learning rate used 4.00e-09" in lines


def test_progress_says_how_far_a_validation_is_and_how_long_the_training_lasts(tiny_set: Path):
    _, told = trained_here({"train.epochs": 3, "train.batch_size": 1})
    progress = [event for event in told if isinstance(event, Progress) and event.phase == "training"]
    details = [event.detail for event in progress]
    assert [detail for detail in details if detail][:2] == [
        "validating, 0 of 2 pictures",
        "validating, 1 of 2 pictures",
    ]
    assert [event.time_left is None for event in progress[:3]] == [True, True, False]
    assert 0 < progress[-2].time_left < progress[5].time_left


@pytest.mark.parametrize("stop_after", [None, 5])
def test_the_scoring_at_the_end_does_not_begin_the_progress_anew(tiny_set: Path, stop_after: int | None):
    _, told = trained_here({"train.epochs": 3, "train.batch_size": 1}, stop_after=stop_after)
    progress = [event for event in told if isinstance(event, Progress)]
    assert {(event.phase, event.total) for event in progress} == {("training", 18)}
    steps = [event.done for event in progress]
    assert steps == sorted(steps)
    assert steps[-1] == (stop_after or 18)
    assert [event.detail for event in progress[-3:]] == [
        f"scoring the best weights, {done} of 2 pictures" for done in range(3)
    ]
    lefts = [event.time_left for event in progress[-3:]]
    assert lefts == [lefts[0], pytest.approx(lefts[0] / 2), 0]


def test_two_ways_of_validating_are_one_progress(tiny_set: Path):
    _, told = trained_here({"train.epochs": 1, "train.batch_size": 3, "train.norm_statistics": "both"})
    details = [event.detail for event in told if isinstance(event, Progress) and "validating" in event.detail]
    assert details == [f"validating, {done} of 4 pictures" for done in (0, 2, 4)]
