"""The notes of a run, and for advice and offers the button that follows them."""

import contextlib
import time
from typing import Any

import streamlit as st

from unetlab.config import RunConfig, option_fields
from unetlab.errors import RunError
from unetlab.events import SLOW_STEPS
from unetlab.runs import jobs
from unetlab.runs.store import Run
from unetlab.ui import choices, starts, state
from unetlab.ui.text import plain

PAGE_WORDS = {
    "pages/lab/data.py": "Look at the masks",
    "pages/lab/learning_rate.py": "Measure the learning rate",
}


def draw(run: Run, notes: list[dict[str, Any]]) -> None:
    """The run's notes (events of type note): advice first, the newest on top; then the other notes, in order."""
    told = [(number, note) for number, note in enumerate(notes) if not _is_advice(note)]
    for number, note in reversed(list(enumerate(notes))):
        if _is_advice(note):
            _advice(run, note, key=f"advice-{number}-{run.id}")
    if told:
        st.caption("  \n".join(f"{_clock(note)} · {plain(note['message'])}" for _, note in told))


def changes_text(config: RunConfig, changes: dict[str, Any]) -> str:
    """What would change, by the form's labels: "learning rate (maximum) 0.001 → 0.00033"; empty if nothing would."""
    texts = []
    for key, value in changes.items():
        group, _, name = key.partition(".")
        label, now = option_fields()[key].title or key, getattr(getattr(config, group), name)
        if value != now:
            texts.append(f"{label[0].lower()}{label[1:]} {_value(now)} → {_value(value)}")
    return ", ".join(texts)


def follow(key: str, run: Run, changes: dict[str, Any]) -> None:
    """A callback: ends the run if it is still live, starts one with the changes, and shows it."""
    config = run.config
    source = {"lr_from": None, "lr_source": f"advice of {run.id}"} if "train.max_lr" in changes else {}
    changed = config.changed(changes, kind="train", form_from=run.id, **source)
    if run.status.is_live:
        with contextlib.suppress(RunError):  # it has ended meanwhile: nothing to stop
            jobs.stop(run)
    started = starts.start("advice", key, changed, name=changes_text(config, changes))
    choices.choose(run=started.id)


def _advice(run: Run, note: dict[str, Any], *, key: str) -> None:
    changes, page = note["about"].get("changes") or {}, note["about"].get("page")
    text = changes_text(run.config, changes)
    first, _, rest = note["message"].partition("\n")
    with st.container(border=True, gap="xsmall"):
        st.markdown(f":material/lightbulb: **{plain(first)}**")
        if rest:
            st.markdown(plain(rest))
        if text:
            st.caption(f"{_clock(note)} · proposed: {plain(text)}")
        with st.container(horizontal=True, vertical_alignment="center"):
            if text:
                _button(run, changes, key)
            if _is_offer(note) and run.status.is_live:
                st.button(
                    "Go on with one thread",
                    icon=":material/speed:",
                    key=key,
                    on_click=state.attempt,
                    args=(jobs.use_one_thread, run),
                    disabled=jobs.has_one_thread(run),
                )
            if page:
                choices.link(page, label=PAGE_WORDS[page], icon=":material/arrow_forward:")


def _button(run: Run, changes: dict[str, Any], key: str) -> None:
    is_live, start_key = run.status.is_live, starts.key_of("advice")
    st.button(
        "Stop, and train with these changes" if is_live else "Train with these changes",
        icon=":material/play_arrow:",
        key=f"{key}-{start_key}",
        on_click=state.attempt,
        args=(follow, start_key, run, changes),
        help="This run ends and keeps the model it has." if is_live else None,
    )
    # a click in the panel that polls redraws only the panel; the page must show the new run
    if st.session_state["run"] != run.id:
        st.rerun()


def _is_advice(note: dict[str, Any]) -> bool:
    about = note.get("about") or {}
    return bool(about.get("changes") or about.get("page") or _is_offer(note))


def _is_offer(note: dict[str, Any]) -> bool:
    return (note.get("about") or {}).get("code") == SLOW_STEPS


def _clock(note: dict[str, Any]) -> str:
    return time.strftime("%H:%M", time.localtime(note["time"]))


def _value(value: Any) -> str:
    return f"{value:.2g}" if isinstance(value, float) else str(value)
