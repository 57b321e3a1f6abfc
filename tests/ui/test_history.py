"""A run's history as the pages read it. Oracles: lr_curve.smooth; a history read in one go; lines counted by hand."""

import json
import math
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import tiny
from unetlab import schedules
from unetlab.events import Batch, Epoch, Note, Preview
from unetlab.lr_curve import smooth
from unetlab.runs.store import EventWriter, Run
from unetlab.ui import history, run_charts, training
from unetlab.ui.history import DRAWN, History, measured_pace, outline, seconds_per_step
from unetlab.workspace import own_workspace

STEPS_AN_EPOCH = 10


def batch(step: int, loss: float = 1.0) -> Batch:
    return Batch(step=step, epoch=step // STEPS_AN_EPOCH, loss=loss, lr=1e-3, momentum=0.9)


def epoch(number: int, loss: float = 1.0) -> Epoch:
    return Epoch(
        epoch=number,
        step=(number + 1) * STEPS_AN_EPOCH,
        train_loss=loss,
        valid_loss=loss,
        mean_dice=None,
        mean_iou=0.5,
        pixel_accuracy=0.9,
        dice={},
        iou={},
        is_best=True,
    )


def preview(number: int, folder: str = "") -> Preview:
    return Preview(epoch=number, folder=folder or f"previews/epoch_{number:03d}", names=["a"])


def log(run: Run, *said, attempt: int = 1) -> None:
    writer = EventWriter(run, attempt=attempt)
    for event in said:
        writer.write(event)
    writer.close()


def log_steps(run: Run, steps: range, *, loss: float, attempt: int) -> None:
    """Steps with the epochs and previews that end among them."""
    for step in steps:
        log(run, batch(step, loss), attempt=attempt)
        if step % STEPS_AN_EPOCH == STEPS_AN_EPOCH - 1:
            done = step // STEPS_AN_EPOCH
            log(run, preview(done, f"attempt {attempt}"), epoch(done, loss), attempt=attempt)


@pytest.fixture
def run(workspace) -> Run:
    return tiny.waiting_run()


@pytest.mark.parametrize(("running", "is_both"), [((3.5, 0.25), True), ((None, None), False), ("missing", False)])
def test_scores_with_running_statistics_are_drawn_beside_the_others_where_there_are_any(run, running, is_both):
    log(run, *(batch(step) for step in range(STEPS_AN_EPOCH)))
    if running == "missing":  # an event of an earlier version
        said = {key: value for key, value in asdict(epoch(0)).items() if not key.startswith("running")}
        with (run.folder / "events.jsonl").open("a") as file:
            file.write(json.dumps({**said, "time": 0.0, "attempt": 1}) + "\n")
    else:
        log(run, replace(epoch(0), running_valid_loss=running[0], running_mean_dice=running[1]))
    read = History(run).refresh()
    (row,) = read.scores.to_dict("records")
    assert (row["running_valid_loss"], row["running_mean_dice"]) == (
        running if is_both else (pytest.approx(math.nan, nan_ok=True),) * 2
    )
    specs = [
        run_charts.loss_chart(read.drawn(), read.drawn_scores, STEPS_AN_EPOCH),
        run_charts.score_chart(read.drawn_scores, 1),
    ]
    layers = [json.dumps(spec["layer"]) + json.dumps(spec.get("transform", "")) for spec in specs]
    assert ["running_valid_loss" in layers[0], run_charts.RUNNING in layers[1]] == [is_both, is_both]


def test_the_validation_after_the_last_step_is_drawn_wholly(run):
    log_steps(run, range(2 * STEPS_AN_EPOCH), loss=1.0, attempt=1)
    read = History(run).refresh()
    assert read.drawn_scores["step"].max() == 2 * STEPS_AN_EPOCH  # counted after the last batch's, which counts from 0
    for is_log in (False, True):
        spec = run_charts.loss_chart(read.drawn(), read.drawn_scores, 2 * STEPS_AN_EPOCH, is_log=is_log)
        layers = [inner for layer in spec["layer"] for inner in layer.get("layer", [layer])]
        ends = {tuple(layer["encoding"]["x"]["scale"]["domain"]) for layer in layers}
        (dots,) = [layer["mark"] for layer in layers if layer["mark"].get("shape") == "diamond"]
        assert ends == {(0, 2 * STEPS_AN_EPOCH)}
        assert not dots.get("clip")


@pytest.mark.parametrize("looks", ["after each attempt", "once"])
def test_of_a_step_logged_twice_the_last_attempt_holds(run, looks):
    read = History(run)
    log_steps(run, range(58), loss=1.0, attempt=1)
    if looks == "after each attempt":
        read.refresh()
    log_steps(run, range(40, 65), loss=2.0, attempt=2)
    read.refresh()
    table = read.batches()
    assert table["step"].tolist() == list(range(65))
    assert table["loss"].tolist() == [1.0] * 40 + [2.0] * 25
    assert [event["epoch"] for event in read.epochs] == [0, 1, 2, 3, 4, 5]
    assert read.scores["valid_loss"].tolist() == [1.0] * 4 + [2.0] * 2
    assert [event["folder"] for event in read.previews] == ["attempt 1"] * 4 + ["attempt 2"] * 2


def test_epochs_that_the_last_attempt_has_not_reached_again_are_gone(run):
    log_steps(run, range(58), loss=1.0, attempt=1)
    log_steps(run, range(25, 27), loss=2.0, attempt=2)
    read = History(run).refresh()
    assert read.batches()["step"].iloc[-1] == 26
    assert [event["epoch"] for event in read.epochs] == [0, 1]
    assert read.scores["epoch"].tolist() == [0, 1]
    assert len(read.previews) == 2


def test_an_epoch_validated_again_after_a_resume_counts_once(run):
    log_steps(run, range(20), loss=1.0, attempt=1)
    log(run, preview(1, "again"), epoch(1, 3.0), attempt=2)
    log_steps(run, range(20, 23), loss=1.0, attempt=2)
    read = History(run).refresh()
    assert read.scores["valid_loss"].tolist() == [1.0, 3.0]
    assert [event["valid_loss"] for event in read.epochs] == [1.0, 3.0]
    assert read.previews[-1]["folder"] == "again"
    assert len(read.previews) == 2
    assert len(read.batches()) == 23


@given(st.data())
def test_looking_at_any_time_shows_what_one_look_at_the_end_shows(data):
    """Attempts that begin anywhere, read after any of them."""
    with pytest.MonkeyPatch.context() as patch:
        lines: list[dict] = []
        patch.setattr(history, "read_events", lambda run, offset: (lines[offset:], len(lines)))
        often, reached = History(Run(tiny.ROOT)), 0
        for attempt in range(data.draw(st.integers(1, 4))):
            start = data.draw(st.integers(0, reached))
            count = data.draw(st.integers(0, 15))
            for step in range(start, start + count):
                lines.append({**vars(batch(step, attempt)), "time": 0.0})
                if data.draw(st.booleans()):
                    often.refresh()
            reached = max(start + count, start) if count else reached
        once = History(Run(tiny.ROOT)).refresh()
        pd.testing.assert_frame_equal(often.refresh().batches(), once.batches())
        assert once.batches()["step"].tolist() == list(range(reached))


def test_repeated_sweeps_are_kept_whole(run):
    steps = [Batch(step=step, epoch=step // 30, loss=1.0, lr=1e-3, momentum=0.9) for step in range(90)]
    log(run, *steps)
    counts = History(run).refresh().batches().groupby("epoch").size()
    assert counts.tolist() == [30, 30, 30]


def test_a_skipped_step_is_left_out_and_takes_none_with_it(run):
    log(run, batch(0, 3.0), batch(1, math.nan), batch(2, 5.0))
    read = History(run).refresh()
    assert read.batches()["step"].tolist() == [0, 2]
    log(run, batch(3, 7.0))
    assert read.refresh().batches()["step"].tolist() == [0, 2, 3]


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.9, 0.99])
def test_the_smoothed_loss_is_that_of_the_sweeps(run, beta):
    losses = np.random.default_rng(0).uniform(0.1, 2, 300).tolist()
    log(run, *(batch(step, loss) for step, loss in enumerate(losses)))
    table = History(run).refresh().batches(beta)
    np.testing.assert_allclose(table["smooth"], smooth(losses, beta=beta), rtol=1e-12)


@pytest.mark.parametrize("at", [3, 60, 130])
def test_a_spike_neither_sets_the_axis_nor_is_carried_along_and_the_start_and_the_spike_are_seen(run, at):
    losses = 0.4 + 0.7 * np.exp(-np.arange(200) / 20) + np.random.default_rng(0).uniform(-0.1, 0.1, 200)
    losses[at] = 60.0
    log(run, *(batch(step, loss) for step, loss in enumerate(losses)), epoch(0, 0.4))
    read = History(run).refresh()
    spec = run_charts.loss_chart(read.drawn(), read.drawn_scores, 200)
    assert spec["layer"][0]["encoding"]["y"]["scale"]["domain"] == [0, 2]
    assert spec["datasets"]["beyond"]["value"].tolist() == [60.0]
    assert read.drawn()["loss"].max() == 60.0
    calm = losses.copy()
    calm[at] = losses[at - 1]
    assert np.abs(read.batches()["smooth"] - smooth(calm.tolist(), beta=0.9))[at + 10 :].max() < 0.1


def test_a_loss_that_stays_high_is_followed():
    losses = np.r_[np.full(100, 0.4), np.full(100, 60.0)]
    assert history.without_spikes(losses)[[99, 100, 149, 150]].tolist() == pytest.approx([0.4, 0.8, 0.8, 60])
    assert history.without_spikes(np.array([])).tolist() == []
    assert history.without_spikes(np.r_[60.0, np.full(9, 0.4)])[0] == 60


def test_notes_are_the_events_with_what_they_are_about(run):
    log(run, Note("Halved the batch.", about={"code": "memory", "changes": {"train.batch_size": 4}}))
    (note,) = History(run).refresh().notes
    assert note["message"] == "Halved the batch."
    assert note["about"]["changes"] == {"train.batch_size": 4}
    assert note["time"] > 0


def test_the_table_to_take_away_has_each_epochs_scores_at_its_last_step(run):
    log_steps(run, range(20), loss=1.0, attempt=1)
    table = History(run).refresh().table()
    assert table["step"].tolist() == list(range(20))
    assert table.loc[table["mean_iou"].notna(), "step"].tolist() == [9, 19]


@given(st.integers(1, 5000), st.integers(0, 2**32 - 1))
def test_an_outline_keeps_the_ends_the_extremes_and_no_wide_gap(count, seed):
    values = np.random.default_rng(seed).normal(size=count)
    places = outline(values, limit=100)
    assert len(places) <= 100
    assert (np.diff(places) > 0).all()
    assert (places[0], places[-1]) == (0, count - 1)
    assert (values[places].min(), values[places].max()) == (values.min(), values.max())
    kept = np.append(places, count)
    if count > 100:  # no gap between kept ones is longer than two stretches
        assert np.diff(kept).max() <= 2 * np.ceil(count / 49)


def test_a_chart_gets_no_more_points_from_a_longer_run(run):
    read, rng = History(run), np.random.default_rng(0)
    sizes = []
    for steps in (range(800), range(800, 4000)):
        log(run, *(batch(step, rng.uniform()) for step in steps))
        sizes.append(len(read.refresh().drawn()))
    assert sizes[0] == 800
    assert 0.9 * DRAWN < sizes[1] <= DRAWN
    assert read.drawn()["step"].iloc[[0, -1]].tolist() == [0, 3999]


@pytest.mark.parametrize("total", [1, 2, 3, 10, 399, 400, 401, 1234, 25_001])
@pytest.mark.parametrize("schedule", ["one_cycle", "fastai_one_cycle", "flat"])
def test_the_drawn_plan_has_the_ends_and_the_peak_of_the_whole_one(total, schedule):
    config = tiny.config().changed({"train.schedule": schedule})
    planned = training.plan(config, total)
    assert len(planned) <= 400
    assert planned["step"].is_unique
    assert planned["step"].iloc[[0, -1]].tolist() == [0, total - 1]
    whole = [schedules.planned(step, total, config.train) for step in range(total)]
    assert planned["lr"].max() == max(lr for lr, _ in whole)
    assert planned["momentum"].min() == min(momentum for _, momentum in whole)
    assert planned["lr"].tolist() == [whole[step][0] for step in planned["step"]]


def timed(monkeypatch, run: Run, steps: range, *, every_s: float, since: float, attempt: int = 1) -> None:
    """Steps logged by a clock of the test's own."""
    for step in steps:
        monkeypatch.setattr("unetlab.runs.store.time.time", lambda step=step: since + every_s * step)
        log(run, batch(step), attempt=attempt)


def test_the_pace_is_that_of_the_last_attempt_without_the_time_in_between(run, monkeypatch):
    timed(monkeypatch, run, range(4), every_s=2.0, since=0.0)
    assert seconds_per_step(run) is None
    timed(monkeypatch, run, range(4, 10), every_s=2.0, since=0.0)
    assert seconds_per_step(run) == pytest.approx(2.0)
    timed(monkeypatch, run, range(10, 13), every_s=0.5, since=10_000.0, attempt=2)
    assert seconds_per_step(run) is None
    timed(monkeypatch, run, range(13, 20), every_s=0.5, since=10_000.0, attempt=2)
    assert seconds_per_step(run) == pytest.approx(0.5)


def test_the_pace_is_read_from_the_end_of_a_long_run_alone(run, monkeypatch):
    monkeypatch.setattr(history, "PACE_BYTES", 2000)
    timed(monkeypatch, run, range(100), every_s=9.0, since=0.0)
    timed(monkeypatch, run, range(100, 140), every_s=3.0, since=5000.0)
    assert seconds_per_step(run) == pytest.approx(3.0)


def test_a_pace_is_taken_only_from_a_run_that_did_the_same_work_each_step(workspace, monkeypatch):
    config = tiny.config()
    assert measured_pace(own_workspace(), config) is None
    timed(monkeypatch, tiny.waiting_run(changes={"train.accumulate": 4}), range(20), every_s=8.0, since=0.0)
    timed(monkeypatch, tiny.waiting_run(changes={"model.depth": 1}), range(20), every_s=4.0, since=0.0)
    assert measured_pace(own_workspace(), config) is None
    twin = tiny.waiting_run(changes={"train.max_lr": 0.5, "train.epochs": 7, "model.dropout": 0.5, "train.ema": 0.9})
    timed(monkeypatch, twin, range(20), every_s=2.0, since=0.0)
    found = measured_pace(own_workspace(), config)
    assert found is not None
    assert found == (pytest.approx(2.0), twin)


def test_the_best_epoch_and_the_last_are_told_apart():
    def event(epoch: int, dice: float | None, *, is_best: bool) -> dict:
        return {"epoch": epoch, "mean_dice": dice, "is_best": is_best}

    epochs = [event(0, 0.05, is_best=True), event(1, 0.115, is_best=True)]
    assert history.best_and_last(epochs, 20) == "Best epoch 2 of 20, the last one: mean Dice 0.115"
    epochs.append(event(2, 0.0, is_best=False))
    assert history.best_and_last(epochs, 20) == "Best epoch 2 of 20: mean Dice 0.115; the last epoch: 0.000"
    epochs.append(event(3, None, is_best=False))
    assert history.best_and_last(epochs, 3).endswith("the last epoch: absent")


def test_losses_above_the_axis_are_marks_one_a_stretch_and_a_validation_first():
    steps = pd.DataFrame({"step": range(80), "loss": [0.5] * 80})
    steps.loc[[3, 5, 70], "loss"] = [7.0, 9.0, 8.0]
    scores = pd.DataFrame({"step": [20, 75, 80], "valid_loss": [700.0, 3.0, 2.5], "running_valid_loss": math.nan})
    marks = run_charts.above_axis(steps, scores, 2.0, 80)
    assert marks.to_dict("split")["data"] == [[5, 9.0, "training"], [20, 700.0, "validation"], [75, 3.0, "validation"]]
    assert run_charts.above_axis(steps, scores, math.inf, 80).empty
    scores["running_valid_loss"] = [900.0, 5.0, math.nan]
    assert run_charts.above_axis(steps, scores, 2.0, 80)["value"].tolist() == [9.0, 700.0, 3.0]


def test_the_value_of_a_loss_above_the_axis_is_a_plain_number(run):
    log_steps(run, range(5), loss=1.0, attempt=1)
    read = History(run).refresh()
    spec = run_charts.loss_chart(read.drawn(), read.drawn_scores, 5)
    (words,) = [layer["encoding"]["text"] for layer in spec["layer"] if "text" in layer.get("encoding", {})]
    assert words["format"] == ".3~g"  # 0.646; with ~s it is 646m


def test_a_note_has_the_number_of_steps_before_it(run):
    log_steps(run, range(5), loss=1.0, attempt=1)
    with (run.folder / "events.jsonl").open("a") as file:
        for about in ({}, {"step": 2}):
            file.write(json.dumps({"type": "note", "message": "!", "about": about, "time": 0, "attempt": 1}) + "\n")
    assert [note["at_step"] for note in History(run).refresh().notes] == [5, 2]
