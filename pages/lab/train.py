"""Train: the form of a new training with its schedule, or a run over the whole width."""

import streamlit as st

from unetlab.runs import launching
from unetlab.ui import forms, live, memory_forecast, starts, state, training, watching

heading = st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute")
heading.title("Train", width="content")
data = state.chosen_dataset()
run = state.chosen_run()
if data is None and run is None:
    live.nothing_yet(
        "Training needs a data set: pictures, each with its mask.",
        "pages/lab/data.py",
        "Upload images, or make the sample",
    )
launching.warm_up(state.workspace())
with heading:
    shown = training.view(run) if data else training.RUN

if data is None:
    st.caption("The data set of this run was deleted. Training needs another one.")
if run is not None and shown == training.RUN:
    live.panel(run, watching.draw)
    watching.notes_and_log(run)
elif data is not None:
    form, plan = st.columns([1, 1.7], gap="large")
    with form:
        base = training.base_config(data)
        values = forms.options("train", base, training.BASIC)
        with st.expander("Advanced", icon=":material/tune:"):
            values |= forms.options("train", base, training.ADVANCED)
        st.text_input("Name", key="run-name", placeholder="optional: what is new about this run")
    with plan:
        with st.container():  # the button below keeps its place whatever is said here
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
            disabled=config is None,
            on_click=state.attempt,
            args=(training.start, key, base),
        )
        if config:
            training.preview(config, data)
