"""Home: what this is, the five steps, two ways in, the latest runs."""

import streamlit as st

from unetlab.ui import choices, hosting, journey, starts, state

st.title("Teach a U-Net to segment your pictures")
st.markdown(
    "Bring pictures with masks, find a learning rate, train, and watch what the network learns while it learns it. "
    "Nothing leaves the machine that unetlab runs on."
)

sample, own = st.columns(2, gap="medium")
with sample.container(border=True, height="stretch"):
    st.markdown("#### Try it on the sample")
    st.write(
        "Synthetic cell nuclei, made here. Sweeps the learning rate, trains with what it finds, and shows each step. "
        + journey.sample_time()
    )
    key = starts.key_of("sample")
    st.button(
        "Try it on the sample",
        type="primary",
        icon=":material/play_arrow:",
        key=f"try-sample-{key}",
        on_click=state.attempt,
        args=(journey.try_sample, key),
    )
with own.container(border=True, height="stretch"):
    st.markdown("#### Bring my pictures")
    ways = "a folder, a zip or a path on this machine" if hosting.is_own_machine() else "a folder or a zip"
    st.write(f"Pictures and masks as files, {ways}. You see how they were paired before anything is kept.")
    choices.link("pages/lab/data.py", label="Bring my pictures", icon=":material/upload:")

st.subheader("Steps")
data = state.chosen_dataset()
with st.grid(5, min_column_width=150, gap="small", border=True):
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
