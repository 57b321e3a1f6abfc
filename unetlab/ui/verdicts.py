"""The verdict on an ended run as a card: a sentence, its numbers, and the next run or page as the primary button."""

from collections.abc import Callable
from typing import Any

import numpy as np
import streamlit as st

from unetlab.config import option_fields
from unetlab.data.dataset import DataSet
from unetlab.diagnosis.advice import Advice
from unetlab.diagnosis.verdict import ADD_PICTURES, CHANGE_SPLIT, Outcome, verdict
from unetlab.errors import UnetlabError
from unetlab.runs import jobs, sweep_rate
from unetlab.runs.status import RESUMABLE
from unetlab.runs.store import Run, open_run
from unetlab.ui import advice, starts, state, training
from unetlab.ui.history import History, history_of
from unetlab.ui.text import plain

PARTS = {CHANGE_SPLIT: "split", ADD_PICTURES: "adding"}  # of the Data page, by link
PLAY = ":material/play_arrow:"
ICONS = {"good": ":material/check_circle:", "few-pictures": ":material/rule:", "differing-pictures": ":material/rule:"}


def card(run: Run, evaluation: dict[str, Any], data: DataSet | None) -> None:
    """What the numbers say, and one click on: a run with changes, or a page."""
    found = verdict(outcome_of(run, evaluation, data))
    headline, numbers, do = found.message.split("\n")
    with st.container(border=True, gap="small", key="verdict"):
        st.markdown(f"#### {ICONS.get(found.cause, ':material/lightbulb:')} {plain(headline)}")
        st.markdown(plain(numbers))
        st.markdown(plain(do))
        if (text := advice.changes_text(run.config, found.changes)) and training.can_be_repeated(run):
            key = starts.key_of("advice")
            with st.container(horizontal=True, vertical_alignment="center"):
                args = (start_next, key, run, found.changes)
                _primary("Train with these changes", PLAY, f"verdict-{run.id}-{key}", *args)
                st.caption(f"Next run: {plain(text)}")
        elif found.cause == "stopped" and run.status.state in RESUMABLE:
            _primary("Resume and watch", PLAY, f"verdict-resume-{run.id}", _resume, run)
        elif found.page:
            key = f"verdict-page-{run.id}"
            _primary(found.link, ":material/arrow_forward:", key, _open, found.page, found.link)


def tells_the_stop(run: Run, evaluation: dict[str, Any]) -> bool:
    """Whether the card says that the run was stopped, with the button that resumes it."""
    return run.status.state == "stopped" and verdict(outcome_of(run, evaluation, None)).cause == "stopped"


def _primary(label: str, icon: str, key: str, action: Callable[..., None], *args: Any) -> None:
    st.button(label, type="primary", icon=icon, key=key, on_click=state.attempt, args=(action, *args))


def _open(page: str, link: str) -> None:
    """A callback: opens the page, that on the data set at the part that the link names."""
    st.session_state["to-part"] = PARTS.get(link)
    state.go_to(page)


def start_next(key: str, run: Run, changes: dict[str, Any]) -> None:
    """A callback: starts the run with the changes and opens it on the Train page."""
    advice.follow(key, run, changes)
    st.session_state.update({"train-view": training.RUN, "to-top": True})
    state.go_to("pages/lab/train.py")


def _resume(run: Run) -> None:
    jobs.resume(run)
    st.session_state.update({"train-view": training.RUN, "to-top": True})
    state.go_to("pages/lab/train.py")


def outcome_of(run: Run, evaluation: dict[str, Any], data: DataSet | None) -> Outcome:
    """What the run folder and, while it is there, the data set tell of a training."""
    config, history = run.config, history_of(run)
    pixels, names = np.array(evaluation["confusion"]).sum(1), [_one_line(name) for name in evaluation["class_names"]]
    shares = (pixels / max(pixels.sum(), 1)).tolist()
    classes = (run.read("best.json") or {}).get("classes", [])
    note, valid = advice.standing(history.notes, history.epochs), evaluation["valid"]
    return Outcome(
        truth=dict(zip(names, shares, strict=True)),
        background=next((_one_line(entry["name"]) for entry in classes if entry.get("is_background")), None),
        dice=valid["mean_dice"],
        accuracy=valid["pixel_accuracy"] or 0.0,
        num_pictures=len(evaluation["pictures"]),
        picture_dice=[
            picture["mean_dice"]
            for picture in evaluation["pictures"]
            if picture["mean_dice"] is not None and not (data and data.is_empty(picture["index"]))
        ],
        epoch_dice=[epoch["mean_dice"] for epoch in history.epochs],
        steps=history.epochs[-1]["step"] if history.epochs else 0,
        steps_per_epoch=_steps_per_epoch(run, history),
        options={key: config.value(key) for key in option_fields()},
        is_stopped=run.status.state == "stopped",
        is_swept=sweep_rate.was_swept(run),
        is_split_given=data is not None and data.manifest.is_given_split,
        **_earlier(run),
        alarm=Advice(note["about"]["cause"], note["message"], note["about"]["changes"]) if note else None,
    )


def _steps_per_epoch(run: Run, history: History) -> int:
    """As planned; as logged where the data set is gone. A stop may have ended the first epoch early."""
    steps = history.drawn()
    logged = history.epochs[0]["step"] if history.epochs else 1
    planned = training.total_steps(run, steps) // run.config.train.epochs if len(steps) else 1
    return max(planned, logged, 1)


def _one_line(name: str) -> str:
    return " ".join(name.split())  # the lines of a message have a meaning


def _earlier(run: Run) -> dict[str, Any]:
    """What the run reached whose form this one took over; nothing if that is gone or had another data set."""
    try:
        other = open_run(run.workspace, run.config.form_from or "")
        evaluation, config = other.read("evaluation.json"), other.config
    except UnetlabError:
        return {}
    if not evaluation or config.dataset != run.config.dataset:
        return {}
    dice = evaluation["valid"]["mean_dice"] or 0.0
    changed = {key for key in option_fields() if config.value(key) != run.config.value(key)}
    return {"earlier": (config.train.epochs, dice), "other_seed": dice if changed == {"train.seed"} else None}
