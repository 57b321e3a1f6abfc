"""The train page's parts: what will be trained, its schedule, and a run while it learns."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from unetlab import schedules
from unetlab.config import RunConfig, keys_on
from unetlab.data import geometry
from unetlab.data.dataset import DataSet
from unetlab.errors import ConfigError, UnetlabError
from unetlab.runs import devices, jobs
from unetlab.runs.status import Status
from unetlab.runs.store import Notes, Run
from unetlab.ui import advice, forms, live, overlays, run_charts, state
from unetlab.ui.history import history_of, measured_pace
from unetlab.ui.text import plain

BASIC, ADVANCED = keys_on("train", "basic"), keys_on("train", "advanced")
NEW, RUN = "New training", "Chosen run"
PLANNED = 400  # points that draw a schedule
FEW_STEPS = 10  # a one-cycle of fewer steps is hardly a cycle


def configured(base: RunConfig, values: dict[str, Any]) -> RunConfig | None:
    """The config that the form describes; an error is shown where it arises."""
    rate, source = st.session_state.get("lr-source", (None, "typed"))
    try:
        return base.changed(values, lr_source=source if rate == values["train.max_lr"] else "typed")
    except ConfigError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return None


def facts(config: RunConfig, data: DataSet) -> None:
    """What the form will train, where its learning rate came from, on what, and how long it will take."""
    steps = steps_per_epoch(config, data)
    total = steps * config.train.epochs
    device = devices.resolve(config.train.device)
    precision = devices.likely_precision(config.train.precision, device)
    pace = measured_pace(state.workspace(), config)
    lasts = (
        f"About {state.duration(pace[0] * total)}, from the pace of {plain(pace[1].title)}."
        if pace
        else "How long it takes shows after the first steps."
    )
    source = "typed" if config.lr_source == "typed" else config.lr_source.replace(" of ", ", from ")
    st.caption(
        f"{len(data.indices('train'))} training and {len(data.indices('valid'))} validation pictures · "
        f"{steps} steps an epoch, {total} in all · {precision} on {plain(devices.label(device))} · "
        f"learning rate: {plain(source)}. {lasts}"
    )
    if total < FEW_STEPS:
        st.warning(
            f"Only {total} steps: too few for a one-cycle to rise and fall. Train more epochs, or with a "
            "smaller batch.",
            icon=":material/warning:",
        )


def steps_per_epoch(config: RunConfig, data: DataSet) -> int:
    """Optimizer steps an epoch, from the same arithmetic as training."""
    pairs = [data.manifest.pairs[i] for i in data.indices("train")]
    return geometry.steps_per_epoch(
        [(pair.height, pair.width) for pair in pairs],
        image_size=config.data.image_size,
        size_mode=config.data.size_mode,
        batch_size=config.train.pictures_per_step,
    )


def plan(config: RunConfig, total: int) -> pd.DataFrame:
    """Learning rate and momentum over all steps, from the function that training uses: step, lr, momentum.

    At most 400 steps, enough to draw it; first, last and the turn of a cycle are among them.
    """
    turn = config.train.pct_start * total
    # torch's peak stands at pct_start·total - 1, fastai's at pct_start·total; both may fall between two steps
    near_turn = [math.floor(turn) + shift for shift in (-1, 0, 1)]
    steps = np.concatenate([np.linspace(0, total - 1, min(total, PLANNED - len(near_turn))), near_turn])
    steps = np.unique(steps.clip(0, total - 1).astype(int)).tolist()
    rows = [(step, *schedules.planned(step, total, config.train)) for step in steps]
    return pd.DataFrame(rows, columns=["step", "lr", "momentum"])


def view(run: Run | None) -> str:
    """Whether to show the form's plan or the chosen run, at first one that goes on or can be resumed."""
    if run is None:
        return NEW
    if "train-view" not in st.session_state:
        st.session_state["train-view"] = NEW if run.status.state == "finished" else RUN
    return st.segmented_control("Show", [NEW, RUN], key="train-view", required=True, persist_state="session") or NEW


def preview(config: RunConfig, data: DataSet) -> None:
    """Learning rate above momentum over all steps, as this form will train."""
    planned = plan(config, steps_per_epoch(config, data) * config.train.epochs)
    st.markdown("**What the schedule will do**")
    st.vega_lite_chart(
        run_charts.schedule_chart(planned, None, "lr", height=260), alt="Planned learning rate over steps"
    )
    st.vega_lite_chart(
        run_charts.schedule_chart(planned, None, "momentum", height=190), alt="Planned momentum over steps"
    )
    st.caption(
        "One cycle: the rate rises, explores at its peak, and falls far below its start; the momentum goes the "
        "other way. A loss that rises towards the peak is expected."
    )


def start(config: RunConfig, name: str) -> None:
    """A callback: starts the training and looks at it."""
    run = jobs.start(state.workspace(), config, name=name.strip())
    st.session_state.update({"run": run.id, "train-view": RUN, "run-name": ""})


def again(run: Run, is_elsewhere: bool) -> None:
    """A callback: fills the form from a run, and goes to it where it is on another page."""
    forms.fill("train", run.config, BASIC + ADVANCED)
    source = (run.config.train.max_lr, run.config.lr_source)
    st.session_state.update({"train-view": NEW, "lr-source": source})
    if is_elsewhere:
        state.go_to("pages/lab/train.py")


def draw(run: Run, status: Status) -> None:
    """The run as it is now: progress, loss over rate over momentum, scores, the same pictures each epoch."""
    live.face(run, status, keeps="the model as it is then, with its scores")
    history, config = history_of(run), run.config
    advice.draw(run, history.notes)
    steps, scores = history.drawn(), history.drawn_scores
    if steps.empty:
        if status.is_live:
            st.skeleton(height=420)
        return
    total = total_steps(run, steps)
    planned = plan(config, total)
    st.container(key="live-loss").vega_lite_chart(
        run_charts.loss_chart(steps, scores, total),
        alt="Training loss, raw and smoothed, and validation loss per epoch, over steps",
    )
    st.caption(
        f":blue[line] training loss, smoothed over the faint raw one · :orange[diamonds] validation loss · "
        f"dashed: planned. {_note(steps, planned)}"
    )
    st.vega_lite_chart(run_charts.schedule_chart(planned, steps, "lr"), alt="Learning rate over steps")
    st.vega_lite_chart(run_charts.schedule_chart(planned, steps, "momentum"), alt="Momentum over steps")
    if len(scores):
        last = scores.iloc[-1]
        dice = "absent" if pd.isna(last["mean_dice"]) else f"{last['mean_dice']:.3f}"
        st.markdown(
            f"**Mean Dice {dice}** on the validation set after epoch {int(last['epoch']) + 1} "
            "(pixel counts pooled, background left out)"
        )
        st.vega_lite_chart(run_charts.score_chart(scores, config.train.epochs), alt="Mean Dice and mean IoU per epoch")
    if history.previews:
        overlays.previews(run, history.previews)


def total_steps(run: Run, steps: pd.DataFrame) -> int:
    """Steps that the run planned; those it took when the data set it saw is gone."""
    try:
        return _planned_steps(str(run.folder), (run.read("environment.json") or {}).get("content_hash"))
    except UnetlabError:
        return int(steps["step"].iloc[-1]) + 1


@st.cache_data(max_entries=64, show_spinner=False)  # a large data set takes long to open, and versions stay as they are
def _planned_steps(folder: str, version: str | None) -> int:
    run = Run(Path(folder))
    return steps_per_epoch(run.config, state.dataset_of(run)) * run.config.train.epochs


def _note(steps: pd.DataFrame, planned: pd.DataFrame) -> str:
    peak, step = int(planned["step"].iloc[planned["lr"].to_numpy().argmax()]), int(steps["step"].iloc[-1])
    if step < peak:
        return f"The rate rises until step {peak}; a loss that rises with it is expected."
    return f"The rate peaked at step {peak} and falls since: this is where the loss settles."


def next_step(run: Run, *, is_results: bool = False) -> None:
    """Where to go once the run has ended."""
    if run.status.is_live:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        if run.has_scores and not is_results:
            st.page_link("pages/lab/results.py", label="See the results", icon=":material/arrow_forward:")
        st.button(
            "Train again with changes",
            icon=":material/replay:",
            key="again",
            on_click=again,
            args=(run, is_results),
        )


def notes_and_log(run: Run) -> None:
    """Name and remarks, editable at any time, and the worker's log."""
    with st.expander("Name and remarks", icon=":material/edit_note:"):
        notes = run.notes
        name = st.text_input("Run name", notes.name, key=f"name-{run.id}")
        remarks = st.text_area("Remarks", notes.remarks, key=f"remarks-{run.id}")
        if (name, remarks) != (notes.name, notes.remarks):
            run.write_notes(Notes(name=name, tags=notes.tags, remarks=remarks))
    live.log(run)
