"""A new training: the form's config, how long it is, its schedule, the start."""

import contextlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from unetlab import lr_curve, schedules
from unetlab.config import RunConfig, keys_on, option_fields
from unetlab.data import geometry
from unetlab.data.dataset import DataSet
from unetlab.errors import ConfigError, UnetlabError
from unetlab.runs import devices
from unetlab.runs.store import Run, open_run
from unetlab.train_options import TrainOptions
from unetlab.ui import choices, forms, run_charts, starts, state
from unetlab.ui.history import measured_pace
from unetlab.ui.text import plain

BASIC, ADVANCED = keys_on("train", "basic"), keys_on("train", "advanced")
NEW, RUN = "New training", "Chosen run"
VIEW = "view"  # in the URL while the form is shown
EPOCHS = "train.epochs"
STEPS_DEPEND_ON = ("data.image_size", "data.size_mode", "train.batch_size", "train.accumulate")
SOURCES = {"typed": "typed", "default": "the default, not from a sweep"}
PLANNED = 400  # points that draw a schedule
UNTOUCHED = (TrainOptions().max_lr, "default")  # the rate of an unchanged form, and its source


def base_config(data: DataSet) -> RunConfig:
    """What an untouched form holds: the defaults, and as many epochs as the set needs with the form's other options.

    The field goes along with the proposal until a person, or a run that filled the form, sets it.
    """
    base = RunConfig(kind="train", dataset=data.name)
    asked = {key: forms.value("train", data.name, key, None) for key in STEPS_DEPEND_ON}
    with contextlib.suppress(ConfigError):  # out of bounds: the form says so
        base = base.changed({key: value for key, value in asked.items() if value is not None})
    proposed = schedules.proposed_epochs(steps_per_epoch(base, data))
    if not forms.is_kept("train", data.name, EPOCHS):
        st.session_state[forms.key_of("train", data.name, EPOCHS)] = proposed
    return RunConfig(kind="train", dataset=data.name).changed({EPOCHS: proposed})


def configured(base: RunConfig, values: dict[str, Any]) -> RunConfig | None:
    """The config that the form describes; None, and a word about it, while there is something wrong with it."""
    return forms.configured(base, values, **_origin(base.dataset, values["train.max_lr"]))


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
        f"About {state.duration(max(pace[0] * total, 1))}, at the pace of {plain(pace[1].called('the'))}."
        if pace
        else "The duration is known after the first steps."
    )
    st.caption(
        f"{len(data.indices('train'))} training and {len(data.indices('valid'))} validation pictures · "
        f"{_counted(config.train.epochs, 'epoch')} of {_counted(steps, 'step')} = **{_counted(total, 'step')}** · "
        f"{precision} on {plain(devices.label(device))} · learning rate: {plain(source_text(config))}. {lasts}"
    )
    if others := swept_otherwise(config):
        st.warning(
            f"This learning rate was swept with {', '.join(others)}. Sweep again to be sure of it.",
            icon=":material/query_stats:",
        )
        choices.link("pages/lab/learning_rate.py", label="Find the learning rate", icon=":material/arrow_forward:")
    _few_steps(config, steps)


def _few_steps(config: RunConfig, steps_per_epoch: int) -> None:
    """Before the start: that so few steps teach little, and the number of epochs that the set needs."""
    proposed, total = schedules.proposed_epochs(steps_per_epoch), config.train.epochs * steps_per_epoch
    if not schedules.are_few(total):
        return
    few = f"Only {_counted(total, 'step')}: a U-Net that starts from random weights needs a few hundred."
    st.warning(
        f"{schedules.caution(total, config.train) or few} {proposed} epochs make {proposed * steps_per_epoch} steps.",
        icon=":material/hourglass_empty:",
    )
    st.button(
        f"Set {proposed} epochs",
        icon=":material/update:",
        key="set-epochs",
        on_click=forms.put,
        args=("train", config.dataset, {EPOCHS: proposed}),
    )


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def source_text(config: RunConfig) -> str:
    """Where the learning rate came from, in words: "min gradient, from the learning-rate sweep of 05-04 10:12"."""
    if config.lr_source in SOURCES:
        return SOURCES["default" if config.train.max_lr == UNTOUCHED[0] else config.lr_source]
    what, _, run_id = config.lr_source.removeprefix("the sweep ").rpartition(" of ")
    if config.lr_from is not None:
        what, run_id = lr_curve.LABELS.get(config.lr_from.pick, config.lr_from.pick), config.lr_from.sweep
    try:
        source = open_run(state.workspace(), run_id)
    except UnetlabError:
        return f"{what or config.lr_source}, from a run that was deleted"
    return f"{what or 'chosen'}, from {'' if source.notes.name else 'the '}{source.title}"


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


def open_as_in_url() -> None:
    """In a session that begins on the Train page: shows the run that the URL names, or the form where it says so."""
    if "run" in st.query_params:
        st.session_state["train-view"] = NEW if VIEW in st.query_params else RUN


def view(run: Run | None) -> str:
    """Whether to show the form or the chosen run: at first the run, unless it has finished; later what was chosen.

    Another run that was chosen in the sidebar is shown. The URL says that the form is shown, for a reload.
    """
    if run is None:
        return NEW
    seen = st.session_state.get("train-view-of")
    if "train-view" not in st.session_state or (seen and seen[0] != run.config.dataset):
        st.session_state["train-view"] = NEW if run.status.state == "finished" else RUN
    elif seen and seen[1] != run.id:
        st.session_state["train-view"] = RUN
    st.session_state["train-view-of"] = (run.config.dataset, run.id)
    box = choices.box_key("train-view")
    st.segmented_control(
        "Show",
        [NEW, RUN],
        default=st.session_state["train-view"],
        key=box,
        label_visibility="collapsed",
        required=True,
        on_change=choices.take_over,
        args=("train-view", box, (NEW, RUN)),
    )
    if st.session_state["train-view"] == NEW:
        st.query_params[VIEW] = "new"
    elif VIEW in st.query_params:
        del st.query_params[VIEW]
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
    config = forms.checked(base, values, **_origin(base.dataset, values["train.max_lr"]))
    run = starts.start("train", key, config, name=st.session_state["run-name"].strip())
    choices.choose(run=run.id)
    st.session_state.update({"train-view": RUN, "run-name": "", "to-top": True})


def again(run: Run, is_elsewhere: bool) -> None:
    """A callback: fills the form from a run, and opens its page if it is another one."""
    take_up(run.config.changed({}, form_from=run.id))
    st.session_state["to-top"] = True
    if is_elsewhere:
        state.go_to("pages/lab/train.py")


def take_up(config: RunConfig, keys: Sequence[str] = (*BASIC, *ADVANCED)) -> None:
    """For callbacks: fills these fields of the data set's form from the config, and where its rate came from."""
    forms.fill("train", config, list(keys))
    lr_from = config.lr_from.model_dump() if config.lr_from and config.lr_from.lr is not None else None
    origin = {"lr_source": [config.train.max_lr, config.lr_source], "lr_from": lr_from, "form_from": config.form_from}
    forms.put("train", config.dataset, origin)
    st.session_state["train-view"] = NEW
    st.session_state.pop("train-view-of", None)  # a run chosen elsewhere meanwhile does not take the form's place


def two_kinds_of_statistics(scores: pd.DataFrame) -> None:
    """Below the loss of a run that is scored with running statistics too: which marks these are, why they differ."""
    if run_charts.has_both(scores):
        st.caption(
            "Hollow diamonds: the same weights with BatchNorm's running averages. They lag behind weights that move "
            "fast: while the rate is high they show a model that is not there any more."
        )


def two_kinds_of_dice(config: RunConfig) -> None:
    """How the Dice in the training loss differs from the score of that name; nothing where the loss has none."""
    if config.train.loss != "cross_entropy":
        st.caption(
            "Not the Dice of the training loss: that one is soft, from the probabilities for one augmented batch. "
            "This score counts pixels over the whole validation set. The two need not move together."
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


def next_step(run: Run) -> None:
    """On Results: once more with changes."""
    st.button(
        "Train again with changes",
        icon=":material/replay:",
        key="again",
        on_click=again,
        args=(run, True),
        disabled=not can_be_repeated(run),
    )


def can_be_repeated(run: Run) -> bool:
    """Whether its data set is still there."""
    return (run.workspace.datasets / run.config.dataset / "manifest.json").exists()
