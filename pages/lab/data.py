"""Data: upload pictures and masks, see how they fit, fix what does not, look at the set."""

import streamlit as st

from unetlab.ui import bringing, dropping, incoming, report, state

st.title("Data")
stored, found = state.chosen_dataset(), incoming.current()
view = incoming.BRING
if stored is not None:
    st.session_state.setdefault("data-view", incoming.BRING if found else incoming.LOOK)
    choices = [incoming.LOOK, incoming.BRING]
    view = st.segmented_control("Show", choices, key="data-view", required=True, label_visibility="collapsed")

if view == incoming.LOOK and stored is not None:
    report.draw(stored)
elif (staged := incoming.report()) is not None and not bringing.lacks_the_other_box(staged):
    report.draw(staged)
    with st.expander("Upload more images, or another set", icon=":material/add_photo_alternate:"):
        bringing.drop_zones()
else:
    bringing.drop_zones()
    if staged is not None:
        bringing.ask_for_the_other_box(staged)
    elif found is not None:
        bringing.watch(found)
    else:
        bringing.offer()
dropping.settle(found)
