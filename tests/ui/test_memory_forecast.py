"""The bar of the Train form: pending, fits, does not fit, failed; and how often a forecast is started."""

from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from tests import tiny
from unetlab.config import RunConfig
from unetlab.data.dataset import open_dataset
from unetlab.files import write_json
from unetlab.runs import devices, jobs, store
from unetlab.runs.status import StatusKeeper
from unetlab.runs.store import Run
from unetlab.ui import memory_forecast
from unetlab.workspace import Workspace, own_workspace

GB = 10**9
BY = {"weights": GB // 10, "optimizer": GB // 5, "gradients": 0, "activations": 2 * GB, "batch": GB // 10}
FITS = {
    "bytes": 2_400_000_000,
    "by": BY,
    "margin": 0.15,
    "outside": 340_000_000,
    "needs": 3_100_000_000,
    "batch_size": 8,
    "largest_batch": 31,
    "device": "cuda:0",
    "label": "NVIDIA H200",
    "free": 12_400_000_000,
    "total": 16 * GB,
}
TOO_LARGE = FITS | {"needs": 15 * GB, "largest_batch": 6}
NONE_FITS = FITS | {"needs": 15 * GB, "largest_batch": 0}


def script(dataset: str) -> None:
    """The form's part of the Train page: two numbers and the bar."""
    from unetlab.config import RunConfig
    from unetlab.data.dataset import open_dataset
    from unetlab.ui import forms, memory_forecast, state
    from unetlab.workspace import own_workspace

    state.enter(own_workspace())
    base = RunConfig(kind="train", dataset=dataset)
    values = forms.options("train", base, ["train.batch_size", "train.max_lr"])
    memory_forecast.draw(base.changed(values), open_dataset(state.workspace(), dataset))


@pytest.fixture
def started(tiny_set: Path, monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """Every forecast that was started, newest last; none of them has a worker."""
    runs: list[Run] = []

    def start(workspace: Workspace, config: RunConfig, **more: object) -> Run:
        assert config.kind == "forecast"
        runs.append(store.create_run(workspace, config, device=devices.LANE))
        return runs[-1]

    monkeypatch.setattr(jobs, "start", start)
    monkeypatch.setattr(memory_forecast, "SETTLE_S", 0.0)
    st.cache_resource.clear()
    return runs


def open_form() -> AppTest:
    app = AppTest.from_function(script, args=(tiny.NAME,), default_timeout=30)
    return app.run()


def finish(run: Run, result: dict | None, *, reason: str = "") -> None:
    """Ends the forecast as its worker would."""
    if result is not None:
        write_json(run.folder / "result.json", result)
    StatusKeeper(run.folder).end("failed" if result is None else "finished", reason)


def words(app: AppTest) -> str:
    assert not app.exception
    read = [str(element.value) for element in [*app.caption, *app.warning, *app.markdown]]
    read += [str(element.proto.title) for element in app.get("warning")]
    return "\n".join([*read, *(button.label for button in app.button)])


def test_while_the_job_runs_the_form_says_so_and_starts_no_other(started: list[Run]):
    app = open_form()
    assert "Forecasting the memory" in words(app)
    assert len(started) == 1
    app.run().run()
    assert "Forecasting the memory" in words(app)
    assert len(started) == 1
    assert not app.get("vega_lite_chart")


def test_what_fits_is_told_with_a_bar_against_what_is_free(started: list[Run]):
    app = open_form()
    finish(started[0], FITS)
    app.run()
    said = words(app)
    assert "Needs about 3.1 GB of 12.4 GB free in NVIDIA H200 (forecast; margin 15%)" in said
    assert "Forecasting" not in said
    assert "does not fit" not in said
    assert len(app.get("vega_lite_chart")) == 1


def test_what_does_not_fit_names_the_largest_batch_and_one_click_sets_it(started: list[Run]):
    app = open_form()
    finish(started[0], TOO_LARGE)
    app.run()
    assert "It does not fit" in words(app)
    assert "Needs about 15.0 GB of 12.4 GB free" in words(app)
    app.button(key="fit-batch").click().run()
    assert app.number_input(key=f"train:{tiny.NAME}:train.batch_size").value == 6
    assert "Forecasting the memory" in words(app)
    assert [run.config.train.batch_size for run in started] == [8, 6]


def test_where_no_batch_fits_it_says_what_to_change_instead(started: list[Run]):
    app = open_form()
    finish(started[0], NONE_FITS)
    app.run()
    assert "No batch size fits: use a smaller image size" in words(app)
    assert [button.key for button in app.button] == ["fit-again"]


def test_in_a_computers_own_memory_it_speaks_of_ram(started: list[Run]):
    app = open_form()
    finish(started[0], FITS | {"device": "cpu", "label": "this CPU (2 cores)"})
    app.run()
    assert "of 12.4 GB free in RAM" in words(app)


def test_a_failed_forecast_says_why_is_not_repeated_and_can_be_asked_again(started: list[Run]):
    app = open_form()
    finish(started[0], None, reason="The memory cannot be forecast with this torch.")
    app.run().run()
    said = words(app)
    assert "No memory forecast" in said
    assert "The memory cannot be forecast with this torch. You can start training all the same." in said
    assert len(started) == 1
    app.button(key="fit-again").click().run()
    assert "Forecasting the memory" in words(app)
    assert len(started) == 2


def test_a_forecast_whose_run_is_gone_ends_the_waiting(started: list[Run]):
    app = open_form()
    (started[0].folder / "status.json").unlink()
    app.run()
    assert "Its run was deleted" in words(app)


def test_only_what_changes_the_memory_asks_anew_and_an_old_question_has_its_answer(started: list[Run]):
    app = open_form()
    finish(started[0], FITS)
    app.run()
    app.number_input(key=f"train:{tiny.NAME}:train.max_lr").set_value(0.02).run()
    assert "Needs about 3.1" in words(app)
    assert len(started) == 1
    app.number_input(key=f"train:{tiny.NAME}:train.batch_size").set_value(16).run()
    assert "Forecasting" in words(app)
    finish(started[1], TOO_LARGE | {"largest_batch": 9})
    app.run()
    app.number_input(key=f"train:{tiny.NAME}:train.batch_size").set_value(8).run()
    assert "Needs about 3.1" in words(app)
    other_tab = open_form()
    assert "Needs about 3.1" in words(other_tab)
    assert len(started) == 2


def test_a_form_that_changes_while_a_forecast_runs_waits_for_its_end_with_the_last_change_only(started: list[Run]):
    app = open_form()
    for batch_size in (9, 10, 11):
        app.number_input(key=f"train:{tiny.NAME}:train.batch_size").set_value(batch_size).run()
    assert len(started) == 1
    finish(started[0], FITS)
    app.run()
    assert [run.config.train.batch_size for run in started] == [8, 11]


def test_a_question_starts_a_forecast_only_once_it_has_stood_a_while(started: list[Run], monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(memory_forecast, "SETTLE_S", 0.6)
    monkeypatch.setattr(memory_forecast.time, "monotonic", lambda: clock[0])
    app = open_form()
    clock[0] += 0.5
    app.number_input(key=f"train:{tiny.NAME}:train.batch_size").set_value(9).run()
    clock[0] += 0.5
    app.run()
    assert started == []
    clock[0] += 0.2
    app.run()
    assert [run.config.train.batch_size for run in started] == [9]


def test_the_same_question_is_the_same_but_for_what_memory_does_not_depend_on(tiny_set: Path):
    data, base = open_dataset(own_workspace(), tiny.NAME), RunConfig(kind="train", dataset=tiny.NAME)

    def question(changes: dict) -> memory_forecast.Question:
        return memory_forecast.question_of(base.changed(changes), data)

    same = [
        {"train.epochs": 3},
        {"train.max_lr": 1.0},
        {"train.seed": 4},
        {"train.schedule": "flat"},
        {"train.class_weights": "balanced"},
    ]
    other = [
        {"data.image_size": 64},
        {"data.size_mode": "crop"},
        {"model.depth": 2},
        {"model.base_width": 8},
        {"model.skip": "none"},
        {"train.batch_size": 3},
        {"train.accumulate": 2},
        {"train.precision": "fp32"},
        {"train.device": "cpu"},
        {"train.ema": 0.9},
        {"train.loss": "dice"},
        {"train.augment": "none"},
    ]
    assert {question(changes) for changes in same} == {question({})}
    assert len({question(changes) for changes in [{}, *other]}) == 1 + len(other)
    assert question({"train.ema": 0.9}) == question({"train.ema": 0.99})
    assert question({"model.dropout": 0.1}) == question({"model.dropout": 0.5}) != question({})


@pytest.mark.parametrize(("answer", "last"), [(FITS, "stays free: 9.3 GB"), (TOO_LARGE, "missing: 2.6 GB")])
def test_the_bar_fills_the_device_or_what_is_asked_of_it(answer: dict, last: str):
    rows = memory_forecast.bar_rows(answer)
    assert sum(rows["share"].tolist()) == pytest.approx(1)
    assert min(rows["share"].tolist()) > 0
    assert rows["name"].iloc[0] == "used by others: 3.6 GB"
    assert rows["name"].iloc[-1] == last
