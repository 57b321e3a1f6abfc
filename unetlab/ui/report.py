"""The report on a data set, stored or not yet: its parts, with the next step at the top."""

import functools

import pandas as pd
import streamlit as st

from unetlab.data.checks.split import share_in_words
from unetlab.data.dataset import DataSet
from unetlab.data.names.name_words import SPLIT_WORDS, Split
from unetlab.ui import (
    augmenting,
    bringing,
    charts,
    class_table,
    findings,
    gallery,
    journey,
    living,
    mask_reading,
    pair_table,
    sizing,
    state,
)
from unetlab.ui.text import plain

MIN_SHARE, MAX_SHARE = 5, 50  # of the pictures that validate, in percent, where they are chosen here
TO_PART = "setTimeout(() => document.querySelector('.st-key-{}').scrollIntoView(), 500)"  # pictures load above
COLORS: dict[Split, str] = {"train": "#3a8fc4", "valid": "#e08214", "test": "#8899a6"}  # of the splits


def draw(data: DataSet) -> None:
    """The whole report: what there is, the next step, findings, pictures, masks, classes, split, pairs."""
    is_stored = bool(data.manifest.created)
    if st.session_state.pop("kept", None) == data.name:
        st.success(f"The data set **{plain(data.name)}** is kept.", icon=":material/check_circle:")
    findings.headline(data)
    if is_stored:
        next_step(data)
    else:
        bringing.decision(data)
    findings.draw(data)
    is_readable = bool(data.manifest.pairs) and data.manifest.reading is not None
    if is_readable:
        gallery.draw(data)
        mask_reading.draw(data)
        class_table.draw(data)
        split(data)
    st.html("<div id='pairs'></div>")  # findings point here
    with st.expander("How each picture was matched", icon=":material/link:", key="pair-table"):
        pair_table.draw(data)
    if is_stored:
        augmenting.draw(data)
        sizing.draw(data)
        living.draw(data)
    if part := st.session_state.pop("to-part", None):
        st.html(f"<script>{TO_PART.format(part)}</script>", unsafe_allow_javascript=True)


def next_step(data: DataSet) -> None:
    """What comes after a stored set, as the primary button, and below it the button that takes all steps."""
    with st.container(key="next-step"):
        st.button(
            "Find its learning rate",
            type="primary",
            icon=":material/arrow_forward:",
            key="to-learning-rate",
            on_click=state.go_to,
            args=("pages/lab/learning_rate.py",),
        )
        if data.indices("train"):
            journey.all_of_it(data, is_primary=False)


def split(data: DataSet) -> None:
    """How many pictures train, validate and test, and the share that validates, which can be changed."""
    manifest = data.manifest
    st.container(key="split").markdown("**Split**")
    counts: dict[Split, int] = {name: len(data.indices(name)) for name in SPLIT_WORDS}
    total = sum(counts.values())
    rows = [(SPLIT_WORDS[name], count / total, COLORS[name]) for name, count in counts.items() if count]
    st.altair_chart(
        charts.share_bar(pd.DataFrame(rows, columns=["name", "share", "color"])),
        alt="Shares of training, validation and test pictures",
    )
    listed = [f"{counts[name]} {SPLIT_WORDS[name]}" for name in SPLIT_WORDS if counts[name]]
    if manifest.is_given_split:
        st.caption(" · ".join([*listed, "as your folders or lists give it"]))
        st.caption("To change it, sort the pictures into other folders, or edit the lists, and add the set again.")
        return
    share = share_in_words(
        [pair.split for pair in manifest.pairs],
        manifest.choices.valid_fraction,
        is_grouped=manifest.choices.grouping == "sequence",
    )
    st.caption(" · ".join([*listed, share]))
    key = f"share-{data.folder.name}"
    st.session_state[key] = min(max(round(100 * manifest.choices.valid_fraction), MIN_SHARE), MAX_SHARE)
    share_of = functools.partial(st.slider, "For validation (%)", MIN_SHARE, MAX_SHARE, step=5, key=key, width=260)
    if not manifest.created:
        share_of(on_change=_split_anew, args=(data, key))
        return
    with st.form(f"split-{data.folder.name}", border=False):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            share_of()
            st.form_submit_button("Change the split", key="change-split", on_click=_split_anew, args=(data, key))
        st.caption("This makes a new version of the set. Runs keep the split that they saw.")


def _split_anew(data: DataSet, key: str) -> None:
    findings.mend(data, {"valid_fraction": st.session_state[key] / 100})
