"""Home: what this is, two ways in, the steps, the latest runs."""

import streamlit as st

from unetlab.ui import choices, hosting, journey, starts, state
from unetlab.ui.text import plain

st.title("Teach a U-Net to segment your pictures")
st.markdown(
    "Upload images with masks, find a learning rate, train, and watch what the model learns. "
    "Nothing leaves the machine that unetlab runs on."
)

data = state.chosen_dataset()
own = data if data and data.name != journey.SAMPLE and data.indices("train") else None
left, right = st.columns(2, gap="medium")
with right.container(border=True, height="stretch"):
    if own:
        st.markdown(f"#### Train on {plain(own.name)}")
        state.in_place(journey.all_of_it, own)
        choices.link("pages/lab/data.py", label="Upload other images", icon=":material/upload:")
    else:
        st.markdown("#### Upload images")
        ways = "a folder, a zip or a path on this machine" if hosting.is_own_machine() else "a folder or a zip"
        st.write(f"Images and masks as files, {ways}. You see how they were paired before anything is kept.")
        choices.link("pages/lab/data.py", label="Upload images", icon=":material/upload:")
with left.container(border=True, height="stretch"):
    st.markdown("#### Try it on the sample")
    st.write(
        "Synthetic cell nuclei, made here. Sweeps the learning rate, trains with it, and opens the results. "
        + journey.sample_time()
    )
    key = starts.key_of("sample")
    st.button(
        "Try it on the sample",
        type="secondary" if own else "primary",
        icon=":material/play_arrow:",
        key=f"try-sample-{key}",
        on_click=state.attempt,
        args=(journey.try_sample, key),
    )

st.subheader("Steps")
with st.grid(4, min_column_width=150, gap="small", border=True):
    for step in journey.steps(data):
        with st.container():
            choices.link(step.page, label=step.name, icon=step.icon)
            st.caption(step.says)

runs = journey.latest_runs()
if runs:
    st.subheader("Latest runs")
    with st.grid(3, min_column_width=220, gap="small", border=True):
        for run in runs:
            journey.card(run)
    choices.link("pages/lab/runs.py", label="All runs", icon=":material/list:")
