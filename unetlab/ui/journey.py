"""Home's parts: the steps, the tours that take all of them by themselves, and cards of runs."""

import contextlib
from dataclasses import dataclass

import streamlit as st

from unetlab import lr_curve, schedules
from unetlab.config import RunConfig, option_fields
from unetlab.data.dataset import DataSet, open_dataset
from unetlab.data.samples import create_sample
from unetlab.errors import ConfigError
from unetlab.runs import jobs
from unetlab.runs.store import Run, list_runs, score_text
from unetlab.train_options import BEST_BY
from unetlab.ui import choices, drafts, starts, state, tour, training
from unetlab.ui.history import history_of, measured_pace
from unetlab.ui.text import plain

SAMPLE = "sample"
UNKNOWN_TIME = "How long that takes shows after the first steps."
KINDS = ("lr_find", "train")
DONE, OPEN = ":material/check_circle:", ":material/radio_button_unchecked:"


@dataclass(frozen=True)
class Step:
    """One step of the way: page, icon (ticked when done) and its state in one line."""

    name: str
    page: str
    icon: str
    says: str


def steps(data: DataSet | None) -> list[Step]:
    """The four steps, ticked as far as they are done for the chosen data set."""
    name = data.name if data else None
    sweeps, trainings = (list_runs(state.workspace(), dataset=name, kind=kind) if name else [] for kind in KINDS)
    scored = any(run.has_scores for run in trainings)
    says = (
        f"{len(data.manifest.pairs)} pairs, {data.num_classes} classes" if data else "Upload images and masks",
        f"{len(sweeps)} sweep{'s' if len(sweeps) != 1 else ''}" if sweeps else "Sweep, choose a rate",
        f"{len(trainings)} training run{'s' if len(trainings) != 1 else ''}" if trainings else "Train and watch",
        "Scores, worst pictures first" if scored else "After the first training",
    )
    pages = (
        ("Data", "data", data),
        ("Learning rate", "learning_rate", sweeps),
        ("Train", "train", trainings),
        ("Results", "results", scored),
    )
    return [
        Step(name, f"pages/lab/{page}.py", DONE if done else OPEN, text)
        for (name, page, done), text in zip(pages, says, strict=True)
    ]


def sample_time() -> str:
    """How long the sample takes from its sweep to its scores, at the pace that this machine has shown on it."""
    if SAMPLE not in state.dataset_names():
        return UNKNOWN_TIME
    return _time_of(RunConfig(kind="train", dataset=SAMPLE), open_dataset(state.workspace(), SAMPLE))


def _time_of(config: RunConfig, data: DataSet) -> str:
    pace = measured_pace(state.workspace(), config)
    if pace is None:
        return UNKNOWN_TIME
    steps = config.lr_find.num_steps + training.steps_per_epoch(config, data) * config.train.epochs
    return f"About {state.duration(pace[0] * steps)} at the pace measured here."


def try_sample(key: str) -> None:
    """A callback: makes the sample, and takes all steps on it."""
    manifest = create_sample(state.workspace(), SAMPLE)
    _take_all_steps("sample", key, RunConfig(kind="train", dataset=manifest.name), name="sample")


def all_of_it(data: DataSet, *, is_primary: bool = True) -> None:
    """What a button that takes all steps on this data set would do and how long that lasts, and the button."""
    config = _proposed(data)
    steps = training.steps_per_epoch(config, data) * config.train.epochs
    does = (
        f"a learning rate in {config.lr_find.num_steps} steps, trains {config.train.epochs} epochs ({steps:,} "
        f"steps) with it, and opens the results. {_time_of(config, data)}"
    )
    if is_primary:
        st.write(f"Finds {does}")
    form = f"all-{data.name}"
    key = starts.key_of(form)
    st.button(
        "Run all steps",
        type="primary" if is_primary else "secondary",
        icon=":material/play_arrow:",
        key=f"{form}-{key}",
        on_click=state.attempt,
        args=(_run_all, form, key, data),
        help="Other options are as you left them in the forms.",
    )
    if not is_primary:  # below another button, which the words must not seem to be about
        st.caption(f"**Run all steps** finds {does}")


def _run_all(form: str, key: str, data: DataSet) -> None:
    _take_all_steps(form, key, _proposed(data), name="")


def _proposed(data: DataSet) -> RunConfig:
    """A training with the options of the set's forms as they were left.

    As many epochs as the set's size asks for, unless they were set too.
    """
    config = RunConfig(kind="train", dataset=data.name)
    kept = drafts.read(data.folder, "lr") | drafts.read(data.folder, "train")
    for key in kept.keys() & option_fields().keys():
        with contextlib.suppress(ConfigError):  # kept by a version with other bounds, or changed by hand
            config = config.changed({key: kept[key]})
    if config.train.epochs == kept.get(training.EPOCHS):
        return config
    return config.changed({training.EPOCHS: schedules.proposed_epochs(training.steps_per_epoch(config, data))})


def _take_all_steps(form: str, key: str, config: RunConfig, *, name: str) -> None:
    """For callbacks: starts a sweep and the training behind it, and opens the first page of the tour."""
    sweep = starts.start(form, key, config.changed({}, kind="lr_find"), name=name)
    run = jobs.train_behind(sweep, config, pick=lr_curve.PRESELECTED, name=name)
    tour.begin(sweep, run)


def latest_runs(count: int = 6) -> list[Run]:
    """The newest training runs of all data sets."""
    return list_runs(state.workspace(), kind="train")[:count]


def card(run: Run) -> None:
    """A run as a card: state, score, mean Dice per epoch, newest overlay."""
    history, status, config = history_of(run), run.status, run.config
    with st.container():
        word, icon, color = state.STATE_WORDS[status.state]
        st.markdown(f"**{plain(run.title)}** :{color}-badge[{icon} {word}]")
        best = next((epoch["mean_dice"] for epoch in reversed(history.epochs) if epoch["is_best"]), None)
        dices = [epoch["mean_dice"] for epoch in history.epochs if epoch["mean_dice"] is not None]
        st.metric(
            f"Mean Dice on {plain(config.dataset)}",
            score_text(best) if history.epochs else "–",
            chart_data=_thin(dices) if len(dices) > 1 else None,
            help=f"Of the epoch with the {BEST_BY[config.train.best_score]}.",
        )
        if len(dices) > 1:
            st.caption("Mean Dice per epoch")
        if history.previews:
            newest = run.folder / history.previews[-1]["folder"] / "0.jpg"
            if newest.exists():
                st.image(str(newest), width="stretch", alt=f"Newest overlay of {run.title}")
        st.button("Open", key=f"open-{run.id}", on_click=show, args=(run,))


def show(run: Run) -> None:
    """A callback: opens the page that shows the run best."""
    config = run.config
    if config.kind == "lr_find":
        choices.choose(dataset=config.dataset, sweep=run.id)
        return state.go_to(tour.LEARNING_RATE)
    choices.choose(dataset=config.dataset, run=run.id)
    st.session_state["train-view"] = training.RUN
    return state.go_to(tour.TRAIN if run.status.is_live or not run.has_scores else tour.RESULTS)


def _thin(scores: list[float], points: int = 40) -> list[float]:
    return scores[:: max(len(scores) // points, 1)]
