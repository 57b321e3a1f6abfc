"""A training run while it learns and after: progress, masks beside the loss, rate and momentum, scores, film."""

from typing import Any

import pandas as pd
import streamlit as st

from unetlab.config import RunConfig, about, option_fields
from unetlab.option_field import Page
from unetlab.runs import devices
from unetlab.runs.status import Status
from unetlab.runs.store import Notes, Run
from unetlab.ui import advice, choices, live, overlays, run_charts, state, training
from unetlab.ui.history import History, best_and_last, history_of
from unetlab.ui.text import plain

MASKS, CURVES = 1, 1.7  # widths of the two columns
LOSS_PX, SCORE_PX = 310, 190


def draw(run: Run, status: Status) -> None:
    """The run as it is now; on a phone its parts stand in the order progress, masks, loss."""
    live.face(run, status, keeps="the model so far, with its scores", then=_see_results)
    started_with(run, status)
    history, config = history_of(run), run.config
    advice.draw(run, history.notes)
    steps, scores = history.drawn(), history.drawn_scores
    if steps.empty:
        if status.is_live:
            _placeholders()
        advice.told(run, history.notes)
        return
    total = training.total_steps(run, steps)
    masks, curves = st.columns([MASKS, CURVES], gap="medium")
    previews = overlays.paced(run, history.previews, is_live=status.is_live)
    with masks:
        if previews:
            overlays.masks(run, previews)
        elif status.is_live:
            st.caption("The first masks appear after the first epoch.")
            st.skeleton(height=LOSS_PX)
    planned = training.plan(config, total)
    with curves:
        _loss(run, status, history, steps, scores, planned)
    below, pair = st.columns([MASKS, CURVES], gap="medium")
    with pair:
        _rate_and_momentum(steps, planned)
    with below:
        _scores(history, scores, config)
    if len(previews) > 1:
        overlays.film(run, previews)
    advice.told(run, history.notes)


def started_with(run: Run, status: Status) -> None:
    """What the run was started with, in one line; the button fills the form with it."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption(plain(summary(run.config, status.device)), width="content")
        st.button(
            "Train again with changes",
            icon=":material/replay:",
            type="tertiary",
            key="again",
            on_click=training.again,
            args=(run, False),
            disabled=not training.can_be_repeated(run),
        )


def summary(config: RunConfig, device: str) -> str:
    """Epochs and the rate with where it came from, of a sweep its steps and rates; size, batch and device.

    Then every other option that is not the default.
    """
    train, sweep, start = config.train, config.lr_find, RunConfig(kind="train", dataset=config.dataset)
    page: Page = "train"
    told = [
        f"{train.epochs} {'epoch' if train.epochs == 1 else 'epochs'}",
        "learning rate from its sweep" if config.lr_from and config.lr_from.lr is None else _rate(config),
    ]
    if config.kind == "lr_find":
        page, told = "learning_rate", [f"{sweep.num_steps} steps from {sweep.start_lr:.2g} to {sweep.end_lr:.2g}"]
    told += [f"{config.data.image_size} px", f"batch {train.batch_size}"]
    if device != devices.LANE:
        told.append(devices.label(device))
    said = {"train.epochs", "train.max_lr", "train.batch_size", "data.image_size", "train.device"}
    said |= {"lr_find.num_steps", "lr_find.start_lr", "lr_find.end_lr"}
    for key, field in option_fields().items():
        if page in about(key).pages and key not in said and config.value(key) != start.value(key):
            label = field.title or key
            told.append(f"{label[0].lower()}{label[1:]} {config.value(key)}")
    return " · ".join(told)


def _rate(config: RunConfig) -> str:
    return f"learning rate {config.train.max_lr:.2g} ({training.source_text(config)})"


def _placeholders() -> None:
    """Room for what comes, so that nothing jumps."""
    masks, curves = st.columns([MASKS, CURVES], gap="medium")
    masks.skeleton(height=LOSS_PX)
    curves.skeleton(height=LOSS_PX)


def _loss(
    run: Run, status: Status, history: History, steps: pd.DataFrame, scores: pd.DataFrame, planned: pd.DataFrame
) -> None:
    total, notes = int(planned["step"].iloc[-1]) + 1, _marked(history)
    st.container(key="live-loss").vega_lite_chart(
        run_charts.loss_chart(steps, scores, total, notes=notes, height=LOSS_PX),
        alt="Training loss, raw and smoothed, and validation loss per epoch, over steps",
    )
    st.caption(
        ":blue[line] training loss, smoothed over the faint raw one · :orange[diamonds] validation loss · "
        f"triangles: losses above the axis{'' if notes.empty else ' · dotted line: a note, which its dot tells'}. "
        f"{_phase(run.config, steps, planned, is_live=status.is_live)}"
    )
    training.two_kinds_of_statistics(scores)


def _marked(history: History) -> pd.DataFrame:
    """The notes as marks of the loss chart."""
    rows = [
        (note["at_step"], note["message"].partition("\n")[0], advice.holds(note, history.notes, history.epochs))
        for note in history.notes
        if note["at_step"] > 0
    ]
    return pd.DataFrame(rows, columns=run_charts.NOTE_COLUMNS)


def _rate_and_momentum(steps: pd.DataFrame, planned: pd.DataFrame) -> None:
    rate = run_charts.schedule_chart(planned, steps, "lr", height=run_charts.SLIM_PX, has_step_axis=False)
    st.vega_lite_chart(rate, alt="Learning rate over steps")
    height = run_charts.SLIM_PX + run_charts.STEP_AXIS_PX
    momentum = run_charts.schedule_chart(planned, steps, "momentum", height=height)
    st.vega_lite_chart(momentum, alt="Momentum over steps")


def _scores(history: History, scores: pd.DataFrame, config: RunConfig) -> None:
    if scores.empty:
        return
    st.markdown(f"**{best_and_last(history.epochs, config.train.epochs)}**")
    st.vega_lite_chart(
        run_charts.score_chart(scores, config.train.epochs, height=SCORE_PX), alt="Mean Dice and mean IoU per epoch"
    )
    st.caption("On the validation pictures: pixel counts pooled, background left out.")
    training.two_kinds_of_dice(config)


def _phase(config: RunConfig, steps: pd.DataFrame, planned: pd.DataFrame, *, is_live: bool) -> str:
    """What the schedule does at this step, and what that means for the loss; of an ended run, what it did."""
    if config.train.schedule == "flat":
        return "The rate is the same throughout."
    peak, step = int(planned["step"].iloc[planned["lr"].to_numpy().argmax()]), int(steps["step"].iloc[-1])
    if not is_live:
        return f"The rate {f'peaked at step {peak} and fell' if step >= peak else 'rose'} until the run ended."
    if step < peak:
        return f"The rate rises until step {peak}; a loss that rises with it is expected."
    return f"The rate peaked at step {peak} and has been falling since: now the loss settles."


def _see_results(run: Run) -> None:
    """The next step of a run that has scores."""
    if run.has_scores:
        st.button(
            "See the results",
            type="primary",
            icon=":material/arrow_forward:",
            key="see-results",
            on_click=_open_results,
            args=(run,),
        )


def _open_results(run: Run) -> None:
    choices.choose(run=run.id)
    state.go_to("pages/lab/results.py")


def notes_and_log(run: Run) -> None:
    """Name and remarks, editable at any time, and the worker's log."""
    with st.expander("Name and remarks", icon=":material/edit_note:"):
        shared: dict[str, Any] = {"on_change": _write_notes, "args": (run,)}
        st.text_input("Run name", run.notes.name, key=f"name-{run.id}", **shared)
        st.text_area("Remarks", run.notes.remarks, key=f"remarks-{run.id}", **shared)
    live.log(run)


def _write_notes(run: Run) -> None:
    """A callback, so that the page that follows has the new name everywhere."""
    name, remarks = (st.session_state[f"{field}-{run.id}"] for field in ("name", "remarks"))
    run.write_notes(Notes(name=name.strip(), tags=run.notes.tags, remarks=remarks))
