"""The notes of a run, and for advice and offers that still hold the button that follows them."""

import contextlib
import math
import time
from typing import Any

import streamlit as st

from unetlab.config import RunConfig, option_fields
from unetlab.diagnosis.advice import DATA_PAGE, LR_PAGE
from unetlab.diagnosis.black_mask import LASTING, is_black_by
from unetlab.errors import RunError
from unetlab.events import BLACK_MASK, BLACK_MASK_GONE, SLOW_STEPS
from unetlab.runs import jobs, sweep_rate
from unetlab.runs.store import Run
from unetlab.ui import choices, starts, state
from unetlab.ui.history import history_of
from unetlab.ui.text import plain

PAGE_WORDS = {
    DATA_PAGE: "Check the masks",
    LR_PAGE: "Find the learning rate",
}


def draw(run: Run, notes: list[dict[str, Any]]) -> None:
    """Those of the run's notes (events of type note) that advise something and still hold, the newest on top."""
    epochs = history_of(run).epochs
    for number, note in reversed(list(enumerate(notes))):
        if holds(note, notes, epochs):
            _advice(run, note, key=f"advice-{number}-{run.id}")


def holds(note: dict[str, Any], notes: list[dict[str, Any]], epochs: list[dict[str, Any]]) -> bool:
    """Whether the note advises something that has not been taken back."""
    return _is_advice(note) and not taken_back(note, notes, epochs)


def told(run: Run, notes: list[dict[str, Any]]) -> None:
    """The other notes, in order, each with its step. Advice that no longer holds says since when."""
    epochs, lines = history_of(run).epochs, []
    for note in notes:
        gone = taken_back(note, notes, epochs)
        if (gone or not _is_advice(note)) and _code(note) != BLACK_MASK_GONE:
            lines.append(f"{_clock(note)}, step {note['at_step']} · {plain(gone or note['message'])}")
    if lines:
        st.caption("  \n".join(lines))


def standing(notes: list[dict[str, Any]], epochs: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The newest note that names the cause of a black mask and still holds."""
    held = (note for note in reversed(notes) if _code(note) == BLACK_MASK and not taken_back(note, notes, epochs))
    return next((note for note in held if _is_advice(note)), None)


def taken_back(note: dict[str, Any], notes: list[dict[str, Any]], epochs: list[dict[str, Any]]) -> str:
    """What is left to say of a note of a black mask that holds no more: what was seen, and when; else nothing.

    A later note has taken it back, or, in runs without such notes, the scores of the last epoch have.
    """
    if _code(note) != BLACK_MASK or note["about"].get("cause") in LASTING:
        return ""
    later = [epoch for epoch in epochs if epoch["time"] >= note["time"]]  # the first of them is the epoch it speaks of
    backs = [each["time"] for each in notes if _code(each) == BLACK_MASK_GONE and each["time"] > note["time"]]
    fine_since = backs[0] if backs else math.inf
    for epoch in reversed(later[1:]):
        if is_black_by(epoch["dice"]):
            break
        fine_since = min(fine_since, epoch["time"])
    since = next((epoch["epoch"] for epoch in later if epoch["time"] >= fine_since), None)
    if since is None:
        return ""
    seen = note["message"].partition("\n")[0].rstrip(".")
    return f"Epoch {later[0]['epoch'] + 1}: {seen}; gone since epoch {since + 1}."


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
            if page and not (page == LR_PAGE and sweep_rate.was_swept(run)):  # it has been there
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
    return _code(note) == SLOW_STEPS


def _code(note: dict[str, Any]) -> str | None:
    return (note.get("about") or {}).get("code")


def _clock(note: dict[str, Any]) -> str:
    return time.strftime("%H:%M", time.localtime(note["time"]))


def _value(value: Any) -> str:
    return f"{value:.2g}" if isinstance(value, float) else str(value)
