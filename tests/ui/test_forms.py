"""Widgets made from options. Oracle: the config that comes out of what was chosen or typed."""

import pytest
from streamlit.testing.v1 import AppTest

from unetlab.config import RunConfig, load_config
from unetlab.errors import ConfigError
from unetlab.runs import devices
from unetlab.train_options import TrainOptions
from unetlab.ui import forms

KEY = "train.lr_slice"


def form() -> None:
    import streamlit as st

    from unetlab.config import load_config
    from unetlab.ui import forms, state
    from unetlab.workspace import own_workspace

    state.enter(own_workspace())

    base = load_config({"kind": "train", "dataset": "cells", "train": st.session_state.get("train", {})})
    values = forms.options("form", base, st.session_state.get("keys", ["train.lr_slice"]))
    st.session_state["values"] = values
    st.session_state["config"] = forms.configured(base, values)


def chosen(app: AppTest) -> TrainOptions:
    return load_config({"kind": "train", "dataset": "cells"}).changed(app.session_state["values"]).train


@pytest.mark.parametrize(("kept", "shown"), [("one", "one"), ("tenth", "tenth"), (100, "100"), (2.5, "2.5")])
def test_the_rates_of_the_layers_are_shown_as_the_config_has_them(kept, shown):
    app = AppTest.from_function(form)
    app.session_state["train"] = {"lr_slice": kept}
    app.run()
    assert not app.exception
    assert app.selectbox[0].options[:2] == ["one", "tenth"]
    assert app.selectbox[0].value == shown
    assert chosen(app).lr_slice == kept


@pytest.mark.parametrize(("typed", "taken"), [("tenth", "tenth"), ("100", 100)])
def test_the_rates_of_the_layers_are_chosen_by_name_or_typed_as_a_number(typed, taken):
    app = AppTest.from_function(form)
    app.session_state[f"form:cells:{KEY}"] = typed  # AppTest itself cannot type what is not among the options
    app.run()
    assert not app.exception
    assert chosen(app).lr_slice == taken


def form_of(*keys: str, **train: object) -> AppTest:
    app = AppTest.from_function(form)
    app.session_state["keys"] = list(keys)
    app.session_state["train"] = train
    return app.run()


def said(app: AppTest) -> list[str]:
    assert not app.exception
    return [element.value for element in [*app.markdown, *app.error]]


@pytest.mark.parametrize(
    ("key", "typed", "told"),
    [
        ("train.max_lr", 200.0, "Learning rate (maximum): must be above 0 and at most 100, not 200."),
        ("train.max_lr", 0.0, "Learning rate (maximum): must be above 0 and at most 100, not 0."),
        ("train.batch_size", 0, "Batch size: must be at least 1 and at most 1024, not 0."),
    ],
)
def test_a_number_out_of_bounds_is_told_beside_its_field_and_makes_no_config(key, typed, told):
    app = form_of(key, "train.epochs")
    assert app.session_state["config"] is not None
    assert said(app) == []
    app.number_input(key=f"form:cells:{key}").set_value(typed).run()
    assert said(app) == [f":red[:small[:material/error: {forms.plain(told)}]]", f"Correct first: {told.split(':')[0]}."]
    assert app.session_state["config"] is None
    app.number_input(key=f"form:cells:{key}").set_value(1).run()
    assert said(app) == []
    assert app.session_state["config"].value(key) == 1


def test_numbers_have_no_bounds_of_streamlits_which_would_keep_the_last_good_one():
    for element in form_of("train.epochs", "train.max_lr", "train.ema").number_input:
        assert (element.proto.has_min, element.proto.has_max) == (False, False)


def test_options_that_do_not_go_together_are_told_by_their_labels():
    app = form_of("lr_find.start_lr", "lr_find.end_lr")
    app.number_input(key="form:cells:lr_find.end_lr").set_value(1e-8).run()
    assert said(app) == ["Sweep to is 1e-08, not above Sweep from (1e-07)."]
    assert app.session_state["config"] is None
    with pytest.raises(ConfigError, match=r"^Epochs: must be at least 1 and"):
        forms.checked(RunConfig(kind="train", dataset="cells"), {"train.epochs": 0})


def test_the_device_is_chosen_among_those_that_are_here(monkeypatch):
    monkeypatch.setattr(devices, "offered", lambda: ["auto", "cuda:0", "cpu"])
    monkeypatch.setattr(devices, "label", lambda device: f"label of {device}")
    (box,) = form_of("train.device").selectbox
    assert (box.value, box.options) == ("auto", ["auto", "cuda:0 · label of cuda:0", "cpu · label of cpu"])
    app = form_of("train.device", device="cuda:3")  # of a run from elsewhere
    assert app.selectbox[0].value == "cuda:3"
    assert app.session_state["config"].train.device == "cuda:3"
    app.selectbox[0].set_value("cpu").run()
    assert app.session_state["config"].train.device == "cpu"
    assert "cuda:3 · label of cuda:3" not in app.selectbox[0].options
