"""A look at a run costs the same however long the run is. Counted, not timed, but for one ratio with much slack.

benchmarks/page.py has the milliseconds.
"""

import time
from pathlib import Path

import altair as alt
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from tests import tiny
from unetlab import events, files, schedules
from unetlab.data.dataset import open_dataset
from unetlab.runs.status import write_status
from unetlab.runs.store import Run
from unetlab.ui import history, overlays, run_charts, training
from unetlab.workspace import own_workspace

STEPS_AN_EPOCH = 10
SHORT, LONG = 1000, 50_000


def lines_of(steps: range, *, scored: bool = True) -> str:
    """Batch events, and an epoch with its preview after every tenth."""
    said: list[events.Event] = []
    for step in steps:
        epoch = step // STEPS_AN_EPOCH
        said.append(events.Batch(step=step, epoch=epoch, loss=1 + step * 37 % 11, lr=1e-3, momentum=0.9))
        if scored and step % STEPS_AN_EPOCH == STEPS_AN_EPOCH - 1:
            scores = {"mean_dice": 0.5, "mean_iou": 0.4, "pixel_accuracy": 0.9, "dice": {}, "iou": {}}
            losses = {"train_loss": 1.0, "valid_loss": 1 + epoch * 37 % 11}
            said.append(events.Preview(epoch=epoch, folder="previews/epoch_000", names=["a", "b"]))
            said.append(events.Epoch(epoch=epoch, step=step + 1, is_best=True, **losses, **scores))
    return "".join(events.to_line(event, time=0.0, attempt=1) for event in said)


def running(steps: int) -> Run:
    """A run that has logged so many steps and has as many before it."""
    run = tiny.waiting_run(changes={"train.epochs": 10_000, "train.max_lr": 0.01})
    files.write_json(
        run.folder / "environment.json",
        {"content_hash": open_dataset(own_workspace(), tiny.NAME).manifest.content_hash},
    )
    write_status(run.folder, run.status.model_copy(update={"state": "running", "running_since": time.time()}))
    (run.folder / "events.jsonl").write_text(lines_of(range(steps)))
    return run


def grow(run: Run, steps: range) -> None:
    with (run.folder / "events.jsonl").open("a") as file:
        file.write(lines_of(steps, scored=False))


def look(folder: str) -> None:
    """What the Train page's panel does every second."""
    from pathlib import Path

    from unetlab.runs.store import Run
    from unetlab.ui import watching

    run = Run(Path(folder))
    watching.draw(run, run.status)


def watching(run: Run) -> AppTest:
    """A tab that has looked once."""
    app = AppTest.from_function(look, args=(str(run.folder),), default_timeout=30).run()
    assert not app.exception
    return app


def bytes_drawn(app: AppTest) -> int:
    """Rows of all charts, as they go to the browser."""
    drawn = [element.proto for element in app.get("vega_lite_chart") + app.get("arrow_vega_lite_chart")]
    assert len(drawn) == 4
    return sum(len(dataset.data.data) for proto in drawn for dataset in proto.datasets)


@pytest.fixture
def short(tiny_set: Path) -> Run:
    """A run of a thousand steps."""
    return running(SHORT)


def test_a_long_run_sends_the_browser_little_more_than_a_short_one(short):
    few = bytes_drawn(watching(short))
    assert few > 10_000
    assert bytes_drawn(watching(running(LONG))) < 3 * few  # 100 epochs of the short run are 100 points, not 1000


def test_the_scrubber_of_a_long_run_has_no_more_stops_than_can_be_told_apart(short):
    (few,), (many,) = (watching(run).select_slider for run in (short, running(LONG)))
    assert few.options == [*(str(epoch) for epoch in range(1, SHORT // STEPS_AN_EPOCH)), overlays.NEWEST]
    assert many.options[0] == "1"
    assert many.options[-2:] == [str(LONG // STEPS_AN_EPOCH - 1), overlays.NEWEST]
    assert len(many.options) == overlays.SCRUBBER_STOPS + 1


def test_a_look_reads_what_is_new_and_nothing_twice(short, monkeypatch):
    app = watching(short)
    taken = []
    real = history.read_events

    def read(run: Run, offset: int) -> tuple[list[dict], int]:
        found, offset = real(run, offset)
        taken.extend(found)
        return found, offset

    monkeypatch.setattr(history, "read_events", read)
    app.run()
    assert taken == []
    grow(short, range(SHORT, SHORT + 7))
    app.run()
    assert [event["step"] for event in taken] == list(range(SHORT, SHORT + 7))


def test_a_look_works_the_schedule_out_where_it_is_drawn_alone(short, monkeypatch):
    app = watching(short)
    asked = []
    real = schedules.planned
    monkeypatch.setattr(schedules, "planned", lambda *given: asked.append(given[0]) or real(*given))
    app.run()
    assert training.PLANNED / 2 < len(asked) <= training.PLANNED


def test_a_chart_is_built_once_and_then_only_gets_new_data(short, monkeypatch):
    app = watching(short)
    built = []
    real = alt.LayerChart.to_dict
    monkeypatch.setattr(alt.LayerChart, "to_dict", lambda self, *a, **k: built.append(self) or real(self, *a, **k))
    grow(short, range(SHORT, SHORT + 7))
    app.run()
    assert built == []
    run_charts.score_chart(pd.DataFrame(columns=history.SCORE_COLUMNS), epochs=SHORT + 1)
    assert len(built) == 1  # the count would have seen one


def test_a_data_set_is_opened_once_for_all_looks(short, monkeypatch):
    app = watching(short)
    opened = []
    real = training.steps_per_epoch
    monkeypatch.setattr(training, "steps_per_epoch", lambda *given: opened.append(given) or real(*given))
    app.run()
    assert opened == []


def test_a_look_at_a_run_of_fifty_times_the_steps_takes_hardly_longer(short):
    seconds = {}
    for steps, run in ((SHORT, short), (LONG, running(LONG))):
        app, took = watching(run), []
        for number in range(8):
            grow(run, range(steps + number, steps + number + 1))
            began = time.process_time()  # of this process alone: others may be busy
            app.run()
            took.append(time.process_time() - began)
        seconds[steps] = min(took)
    assert seconds[LONG] < 3 * seconds[SHORT]  # it was 4 to 50 times when every look went through all steps


def test_a_chart_is_drawn_while_another_session_draws_with_streamlits_theme():
    plan = pd.DataFrame({"step": range(4), "lr": [0.1, 0.2, 0.3, 0.1], "momentum": [0.9, 0.8, 0.8, 0.9]})
    with alt.theme.enable("none"):  # as st.altair_chart does in any session's thread
        assert "config" not in run_charts.schedule_chart(plan, None, "lr", height=111)
