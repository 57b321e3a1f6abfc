"""Train: the form, what the schedule will do, and the run while it learns."""

import streamlit as st

from unetlab.config import RunConfig
from unetlab.runs import launching
from unetlab.ui import forms, live, memory_forecast, starts, state, training

st.title("Train")
data = state.chosen_dataset()
if data is None:
    live.nothing_yet(
        "Training needs a data set: pictures, each with its mask.",
        "pages/lab/data.py",
        "Bring pictures, or make the sample",
    )
run = state.chosen_run()
launching.warm_up(state.workspace())

form, view = st.columns([1, 2.4], gap="large")
with form:
    base = RunConfig(kind="train", dataset=data.name)
    values = forms.options("train", base, training.BASIC)
    with st.expander("Advanced", icon=":material/tune:"):
        values |= forms.options("train", base, training.ADVANCED)
    st.text_input("Name", key="run-name", placeholder="optional: what is new about this run")
    config = training.configured(base, values)
    if config:
        training.facts(config, data)
        memory_forecast.draw(config, data)
    key = starts.key_of("train")
    st.button(
        "Start training",
        type="primary",
        icon=":material/play_arrow:",
        key=f"start-training-{key}",
        width="stretch",
        disabled=config is None,
        on_click=state.attempt,
        args=(training.start, key, base),
    )

with view:
    shown = training.view(run)
    if shown == training.NEW or run is None:
        if config:
            training.preview(config, data)
    else:
        training.next_step(run)
        live.panel(run, training.draw)
        training.notes_and_log(run)
