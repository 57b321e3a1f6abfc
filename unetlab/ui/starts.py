"""Starting a job from a button: one press starts one job, however often the browser sends it."""

import secrets
import time

import streamlit as st

from unetlab.config import RunConfig
from unetlab.runs import jobs
from unetlab.runs.store import Run
from unetlab.ui import state

SAME_PRESS_S = 2.0  # so long a second press on a button that was just drawn anew belongs to the first one


def key_of(form: str) -> str:
    """The key of the form's next start, also part of the key of its button.

    A press on a button that was drawn before the last start thus names that start, and not the next one.
    """
    if f"start-of-{form}" not in st.session_state:
        st.session_state[f"start-of-{form}"] = secrets.token_hex(8)
        st.session_state[f"drawn-{form}"] = time.monotonic()
    return st.session_state[f"start-of-{form}"]


def start(form: str, key: str, config: RunConfig, *, name: str = "") -> Run:
    """For callbacks: the run that `key` stands for, started now if it was not started before.

    The second half of a double-click hits the redrawn button, on a busy machine long after the first half. So the time
    between them counts from that drawing.
    """
    last_key, last_config = st.session_state.get(f"started-{form}", ("", None))
    if last_config == config and time.monotonic() - st.session_state.get(f"drawn-{form}", 0.0) < SAME_PRESS_S:
        key, st.session_state[f"drawn-{form}"] = last_key, time.monotonic()
    run = jobs.start(state.workspace(), config, name=name, key=key)
    st.session_state[f"started-{form}"] = (key, config)
    if st.session_state.get(f"start-of-{form}") == key:
        del st.session_state[f"start-of-{form}"]
    return run
