"""What a watched run was started with, in one line; how often its pictures change."""

import pytest
import streamlit as st

from tests import tiny
from unetlab.config import RunConfig
from unetlab.runs import devices
from unetlab.runs.store import Notes
from unetlab.ui import overlays, watching
from unetlab.workspace import own_workspace


@pytest.fixture(autouse=True)
def session(monkeypatch: pytest.MonkeyPatch, workspace) -> None:
    monkeypatch.setattr(st, "session_state", {"workspace": own_workspace()})


def started(changes: dict | None = None, **top: object) -> str:
    return watching.summary(RunConfig(kind="train", dataset="cells").changed(changes or {}, **top), "cpu")


def test_it_names_the_basic_options_and_whatever_is_not_the_default():
    basic = "20 epochs · learning rate 0.001 (the default, not from a sweep) · 256 px · batch 8"
    assert started() == f"{basic} · {devices.label('cpu')}"
    assert "learning rate 0.002 (typed)" in started({"train.max_lr": 0.002})
    assert started({"train.loss": "dice", "model.dropout": 0.1}).endswith("loss dice · dropout 0.1")
    assert started({"train.epochs": 1}).startswith("1 epoch ·")
    assert watching.summary(RunConfig(kind="train", dataset="cells"), devices.LANE) == basic


def test_of_a_sweep_it_names_what_a_sweep_reads():
    sweep = started({"train.epochs": 3, "train.max_lr": 0.1, "lr_find.repeats": 3, "model.depth": 2}, kind="lr_find")
    assert sweep == f"100 steps from 1e-07 to 10 · 256 px · batch 8 · {devices.label('cpu')} · depth 2 · repeats 3"


def test_a_rate_that_its_sweep_has_still_to_give_is_no_number():
    source = {"sweep": "2026-01-01T10-00-00_cells_0001", "pick": "min_gradient", "lr": None}
    assert "learning rate from its sweep" in started(lr_from=source)


def test_the_source_of_a_rate_is_said_by_title_and_without_keys():
    sweep = tiny.waiting_run()
    source = {"sweep": sweep.id, "pick": "min_loss_tenth_no_lag", "lr": 0.001}
    words = "min loss / 10 without lag"
    assert f"({words}, from the {sweep.title})" in started(lr_from=source, lr_source=f"{words} of {sweep.id}")
    sweep.write_notes(Notes(name="first sweep"))
    assert f"({words}, from first sweep)" in started(lr_from=source, lr_source=f"{words} of {sweep.id}")
    assert "(my own, from first sweep)" in started(lr_source=f"my own of {sweep.id}")
    assert "(chosen, from first sweep)" in started(lr_source=f"the sweep {sweep.id}")
    assert "(advice, from a run that was deleted)" in started(lr_source="advice of 2026-01-01T10-00-00_cells_0002")


def test_newer_pictures_take_the_place_of_others_every_two_seconds_at_most(monkeypatch):
    run, clock = tiny.waiting_run(), 100.0
    monkeypatch.setattr(overlays.time, "monotonic", lambda: clock)

    def shown(epochs: int, *, is_live: bool = True) -> int:
        return len(overlays.paced(run, [{"epoch": epoch} for epoch in range(epochs)], is_live=is_live))

    assert [shown(0), shown(1)] == [0, 1]  # the first at once
    clock += 1.5
    assert [shown(2), shown(5)] == [1, 1]
    clock += 1
    assert [shown(9), shown(10)] == [9, 9]
    assert shown(4) == 4  # a resume has taken epochs back
    assert shown(6, is_live=False) == 6  # the end of the run
    clock += 60
    assert [shown(6), shown(7), shown(8)] == [6, 7, 7]  # slow epochs are shown as they end
