"""The train page's parts: what will be trained, its schedule, and a run while it learns."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from unetlab import schedules
from unetlab.config import RunConfig, keys_on, option_fields
from unetlab.data import geometry
from unetlab.data.dataset import DataSet
from unetlab.errors import ConfigError, UnetlabError
from unetlab.runs import devices
from unetlab.runs.status import Status
from unetlab.runs.store import Notes, Run, open_run, score_text
from unetlab.train_options import TrainOptions
from unetlab.ui import advice, choices, forms, live, overlays, run_charts, starts, state
from unetlab.ui.history import history_of, measured_pace
from unetlab.ui.text import plain

BASIC, ADVANCED = keys_on("train", "basic"), keys_on("train", "advanced")
NEW, RUN = "New training", "Chosen run"
SOURCES = {"typed": "typed", "default": "the default, not measured yet"}
PLANNED = 400  # points that draw a schedule
UNTOUCHED = (TrainOptions().max_lr, "default")  # the rate of an unchanged form, and its source


def configured(base: RunConfig, values: dict[str, Any]) -> RunConfig | None:
    """The config that the form describes; an error is shown where it arises."""
    try:
        return base.changed(values, **_origin(base.dataset, values["train.max_lr"]))
    except ConfigError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return None


def _origin(dataset: str, rate: float) -> dict[str, Any]:
    """Where the form's options and its rate come from, as fields of the config."""
    known, source = forms.value("train", dataset, "lr_source", UNTOUCHED)
    form_from = forms.value("train", dataset, "form_from", None)
    if rate != known:
        return {"form_from": form_from, "lr_source": "typed", "lr_from": None}
    return {"form_from": form_from, "lr_source": source, "lr_from": forms.value("train", dataset, "lr_from", None)}


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
        else "The duration is known after the first steps."
    )
    source = SOURCES.get(config.lr_source) or config.lr_source.replace(" of ", ", from ")
    st.caption(
        f"{len(data.indices('train'))} training and {len(data.indices('valid'))} validation pictures · "
        f"{steps} {'step' if steps == 1 else 'steps'} per epoch, {total} in all · {precision} on "
        f"{plain(devices.label(device))} · learning rate: {plain(source)}. {lasts}"
    )
    if others := swept_otherwise(config):
        st.warning(
            f"This learning rate was swept with {', '.join(others)}. Sweep again to be sure of it.",
            icon=":material/query_stats:",
        )
        choices.link("pages/lab/learning_rate.py", label="Find the learning rate", icon=":material/arrow_forward:")
    if text := schedules.caution(total, config.train):
        st.warning(text, icon=":material/warning:")


def swept_otherwise(config: RunConfig) -> list[str]:
    """Where the sweep that gave the rate differs from the form: data set, size, model, pictures per step."""
    try:
        swept = open_run(state.workspace(), config.lr_source.rpartition(" of ")[2]).config
    except UnetlabError:  # typed, or its sweep was deleted or is from a newer version
        return []
    if swept.kind != "lr_find":
        return []
    pairs: list[tuple[str, Any, Any]] = [("data set", swept.dataset, config.dataset)]
    for key, field in option_fields().items():
        if key.startswith(("data.", "model.")):
            label = f"{field.title[0].lower()}{field.title[1:]}"
            pairs.append((label, forms.value_in(swept, key), forms.value_in(config, key)))
    pairs.append(("pictures per step", swept.train.pictures_per_step, config.train.pictures_per_step))
    return [f"{label} {plain(str(then))} (here {plain(str(now))})" for label, then, now in pairs if then != now]


def steps_per_epoch(config: RunConfig, data: DataSet) -> int:
    """Optimizer steps per epoch, from the same arithmetic as training."""
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
    turn = schedules.warm_up(config.train) * total
    # torch's peak is at pct_start·total - 1, fastai's at pct_start·total; both may fall between two steps
    near_turn = [math.floor(turn) + shift for shift in (-1, 0, 1)]
    steps = np.concatenate([np.linspace(0, total - 1, min(total, PLANNED - len(near_turn))), near_turn])
    steps = np.unique(steps.clip(0, total - 1).astype(int)).tolist()
    rows = [(step, *schedules.planned(step, total, config.train)) for step in steps]
    return pd.DataFrame(rows, columns=["step", "lr", "momentum"])


def view(run: Run | None) -> str:
    """Whether to show the form's plan or the chosen run; at first the run, unless it has finished."""
    if run is None:
        return NEW
    if "train-view" not in st.session_state:
        st.session_state["train-view"] = NEW if run.status.state == "finished" else RUN
    box = choices.box_key("train-view")
    st.segmented_control(
        "Show",
        [NEW, RUN],
        default=st.session_state["train-view"],
        key=box,
        required=True,
        on_change=choices.take_over,
        args=("train-view", box, (NEW, RUN)),
    )
    return st.session_state["train-view"]


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
        "Flat: the same rate and the same momentum in every step. There is no warm-up, and no fall in which the loss "
        "settles."
        if config.train.schedule == "flat"
        else "One cycle: the rate rises, explores at its peak, and falls far below its start; the momentum goes the "
        "other way. A loss that rises towards the peak is expected."
    )


def start(key: str, base: RunConfig) -> None:
    """A callback: starts training with what the form holds and shows the run."""
    values = forms.held("train", base.dataset, BASIC + ADVANCED)
    config = base.changed(values, **_origin(base.dataset, values["train.max_lr"]))
    run = starts.start("train", key, config, name=st.session_state["run-name"].strip())
    choices.choose(run=run.id)
    st.session_state.update({"train-view": RUN, "run-name": ""})


def again(run: Run, is_elsewhere: bool) -> None:
    """A callback: fills the form from a run, and opens its page if it is another one."""
    take_up(run.config.changed({}, form_from=run.id))
    if is_elsewhere:
        state.go_to("pages/lab/train.py")


def take_up(config: RunConfig) -> None:
    """For callbacks: fills the form of the config's data set with it, and where its learning rate came from."""
    forms.fill("train", config, BASIC + ADVANCED)
    lr_from = config.lr_from.model_dump() if config.lr_from and config.lr_from.lr is not None else None
    origin = {"lr_source": [config.train.max_lr, config.lr_source], "lr_from": lr_from, "form_from": config.form_from}
    forms.put("train", config.dataset, origin)
    st.session_state["train-view"] = NEW


def draw(run: Run, status: Status) -> None:
    """The run as it is now: progress, loss over rate over momentum, scores, the same pictures each epoch."""
    live.face(run, status, keeps="the model so far, with its scores")
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
        f"dashed: planned. {_note(config, steps, planned)}"
    )
    two_kinds_of_statistics(scores)
    st.vega_lite_chart(run_charts.schedule_chart(planned, steps, "lr"), alt="Learning rate over steps")
    st.vega_lite_chart(run_charts.schedule_chart(planned, steps, "momentum"), alt="Momentum over steps")
    if len(scores):
        last = scores.iloc[-1]
        dice = score_text(last["mean_dice"])
        st.markdown(
            f"**Mean Dice {dice}** on the validation set after epoch {int(last['epoch']) + 1} "
            "(pixel counts pooled, background left out)"
        )
        st.vega_lite_chart(run_charts.score_chart(scores, config.train.epochs), alt="Mean Dice and mean IoU per epoch")
        two_kinds_of_dice(config)
    if history.previews:
        overlays.previews(run, history.previews)


def two_kinds_of_statistics(scores: pd.DataFrame) -> None:
    """Below the loss of a run that is scored with running statistics too: which marks these are, why they differ."""
    if run_charts.has_both(scores):
        st.caption(
            "Hollow diamonds: the same weights with BatchNorm's running averages. They lag behind weights that move "
            "fast: while the rate is high they show a network that is not there any more."
        )


def two_kinds_of_dice(config: RunConfig) -> None:
    """How the Dice in the training loss differs from the score of that name; nothing where the loss has none."""
    if config.train.loss != "cross_entropy":
        st.caption(
            "The Dice in the training loss is another number than this score. There it is soft: from the probabilities "
            "that the network gives, over the augmented pictures of one batch. The score is hard: from counts of the "
            "pixels it decides on, pooled over the whole validation set at the original size, not augmented. So the "
            "two need not move together."
        )


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


def _note(config: RunConfig, steps: pd.DataFrame, planned: pd.DataFrame) -> str:
    if config.train.schedule == "flat":
        return "The rate is the same throughout."
    peak, step = int(planned["step"].iloc[planned["lr"].to_numpy().argmax()]), int(steps["step"].iloc[-1])
    if step < peak:
        return f"The rate rises until step {peak}; a loss that rises with it is expected."
    return f"The rate peaked at step {peak} and has been falling since: now the loss settles."


def next_step(run: Run, *, is_results: bool = False) -> None:
    """Where to go once the run has ended."""
    if run.status.is_live:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        if run.has_scores and not is_results:
            choices.link("pages/lab/results.py", label="See the results", icon=":material/arrow_forward:")
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
