"""Starting a job from a button: one press starts one job, however often the browser sends it."""

import secrets

import streamlit as st

from unetlab.config import RunConfig
from unetlab.runs import jobs
from unetlab.runs.store import Run
from unetlab.ui import state


def key_of(form: str) -> str:
    """The key of the form's next start, also part of the key of its button.

    A press on a button that was drawn before the last start thus names that start, and not the next one.
    """
    return st.session_state.setdefault(f"start-of-{form}", secrets.token_hex(8))


def start(form: str, key: str, config: RunConfig, *, name: str = "") -> Run:
    """For callbacks: the run that `key` stands for, started now if it was not started before.

    The second half of a double-click may hit the redrawn button, which has another key. So what this session started
    last is not started again with the same config while it waits or runs.
    """
    last_key, last_config, last_run = st.session_state.get(f"started-{form}", ("", None, None))
    if last_run and last_config == config and jobs.is_live(last_run):
        if key != last_key:
            st.toast("This run is started already. Change an option to start another.", icon=":material/info:")
        return last_run
    run = jobs.start(state.workspace(), config, name=name, key=key)
    st.session_state[f"started-{form}"] = (key, config, run)
    if st.session_state.get(f"start-of-{form}") == key:
        del st.session_state[f"start-of-{form}"]
    return run
