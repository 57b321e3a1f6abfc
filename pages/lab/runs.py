"""Runs: all of them in a table, to find, open, tag and delete."""

import streamlit as st

from unetlab.ui import run_table

st.title("Runs")
run_table.draw()
