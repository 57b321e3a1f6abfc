"""A page that draws each hostile text by every kind of call that takes Markdown, for test_text.py."""

import numpy as np
import streamlit as st

from tests.hostile import STRINGS
from unetlab.ui.text import plain

for number, text in enumerate(STRINGS):
    with st.container(key=f"text-{number}"):
        st.markdown(plain(text))
        st.markdown(f"so **{plain(text)}** it")
        st.markdown(f":material/folder_open: :red[:material/error:] {plain(text)} :blue-badge[{plain(text)}]")
        st.markdown(f"- {plain(text)}")
        st.caption(plain(text))
        st.error(plain(text), title=plain(text))
        st.button(plain(text), key=f"button-{number}")
        st.expander(plain(text))
        st.subheader(plain(text), anchor=False)
        st.metric(plain(text), "1")
        st.radio("way", [0], format_func=lambda _, text=text: plain(text), captions=[plain(text)], key=f"way-{number}")
        st.progress(0.5, text=plain(text))
        st.image(np.zeros((8, 8, 3), np.uint8), caption=plain(text))
st.markdown(":smile:")  # loads what reads emoji, so that it reads the texts above as well
st.markdown("All is drawn.")
