"""Learning rate: sweep it, see the curve draw itself, choose a point, carry it to training."""

import streamlit as st

from unetlab.config import RunConfig
from unetlab.runs import launching
from unetlab.ui import forms, live, starts, state, sweeping
from unetlab.ui.text import plain

st.title("Learning rate")
data = state.chosen_dataset()
if data is None:
    sweeping.kept(st.session_state["dataset"])
    live.nothing_yet(
        "The sweep needs a data set to train on for a few seconds.",
        "pages/lab/data.py",
        "Upload images, or make the sample",
    )
launching.warm_up(state.workspace())

# on a phone the curve stands above the form as soon as there is one: style.css
has_sweep = bool(state.runs_of(data.name, "lr_find"))
form, curve = st.container(key="sweep-shown" if has_sweep else "no-sweep").columns([1, 2], gap="large")
with form:
    st.caption(
        f"A short training on **{plain(data.name)}** while the learning rate rises from tiny to huge. Its weights are "
        "not kept."
    )
    base = RunConfig(kind="lr_find", dataset=data.name)
    values = forms.options("lr", base, sweeping.BASIC)
    with st.expander("Advanced", icon=":material/tune:"):
        values |= forms.options("lr", base, sweeping.ADVANCED)
    sweep = sweeping.chosen_sweep(data.name)
    is_ready = sweep is not None and sweeping.rate_of(sweep) is not None
    config = forms.configured(base, values)
    key = starts.key_of("lr")
    st.button(
        "Find the learning rate",
        type="secondary" if is_ready else "primary",
        icon=":material/query_stats:",
        key=f"start-sweep-{key}",
        width="stretch",
        disabled=config is None,
        on_click=state.attempt,
        args=(sweeping.start, key, base),
    )

with curve:
    if sweep is None:
        sweeping.empty()
    else:
        live.panel(sweep, sweeping.draw)
        if not sweep.status.is_live:
            sweeping.choice(sweep)
        live.log(sweep)
