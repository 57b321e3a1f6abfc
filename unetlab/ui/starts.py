"""Starting a job from a button: one press starts one job, however often the browser sends it."""

import secrets
import time

import streamlit as st

from unetlab.config import RunConfig
from unetlab.runs import jobs
from unetlab.runs.store import Run
from unetlab.ui import state

SAME_PRESS_S = 1.0  # the second half of a double-click, on the button as it is drawn anew


def key_of(form: str) -> str:
    """The key of the form's next start, also part of the key of its button.

    A press on a button that was drawn before the last start thus names that start, and not the next one.
    """
    return st.session_state.setdefault(f"start-of-{form}", secrets.token_hex(8))


def start(form: str, key: str, config: RunConfig, *, name: str = "") -> Run:
    """For callbacks: the run that `key` stands for, started now if it was not started before."""
    last_key, last_config, last = st.session_state.get(f"started-{form}", ("", None, 0.0))
    if last_config == config and time.monotonic() - last < SAME_PRESS_S:
        key = last_key
    run = jobs.start(state.workspace(), config, name=name, key=key)
    st.session_state[f"started-{form}"] = (key, config, time.monotonic())
    if st.session_state.get(f"start-of-{form}") == key:
        del st.session_state[f"start-of-{form}"]
    return run
