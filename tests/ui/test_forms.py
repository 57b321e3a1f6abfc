"""Widgets made from options. Oracle: the config that comes out of what was chosen or typed."""

import pytest
from streamlit.testing.v1 import AppTest

from unetlab.config import load_config
from unetlab.train_options import TrainOptions

KEY = "train.lr_slice"


def form() -> None:
    import streamlit as st

    from unetlab.config import load_config
    from unetlab.ui import forms, state
    from unetlab.workspace import own_workspace

    state.enter(own_workspace())

    base = load_config({"kind": "train", "dataset": "cells", "train": st.session_state.get("train", {})})
    st.session_state["values"] = forms.options("form", base, ["train.lr_slice"])


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
