"""Data: bring pictures and masks, see how they fit, look at the set."""

import streamlit as st

from unetlab.ui import bringing, report, state

LOOK, BRING = "Look at it", "Bring pictures"

st.title("Data")
data = state.chosen_dataset()
view = BRING
if data is not None:
    st.session_state.setdefault("data-view", LOOK)
    view = st.segmented_control("Show", [LOOK, BRING], key="data-view", required=True, label_visibility="collapsed")

if view == BRING:
    bringing.drop_zones()
    found = bringing.inspection()
    if found is not None:
        reading = bringing.show_inspection(found)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            name = st.text_input("Name of the data set", bringing.free_name(found), key="new-name", width=260)
            share = st.slider("For validation (%)", 5, 50, 20, 5, key="new-share", width=260)
            st.button("Start over", icon=":material/restart_alt:", on_click=bringing.start_over, key="start-over")
            keeps = st.button("Use this data set", type="primary", icon=":material/check:", key="use-data")
        if keeps:
            bringing.keep(found, name, share / 100, reading)
elif data is not None:
    report.draw(data)
