"""The way through the lab: its five steps, the guided tour on the sample, and cards of runs."""

from dataclasses import dataclass

import streamlit as st

from unetlab import lr_curve
from unetlab.config import RunConfig
from unetlab.data.dataset import DataSet, open_dataset
from unetlab.data.samples import create_sample
from unetlab.runs import jobs
from unetlab.runs.store import Run, list_runs, open_run, score_text
from unetlab.train_options import BEST_BY
from unetlab.ui import choices, starts, state, training
from unetlab.ui.history import history_of, measured_pace
from unetlab.ui.text import plain

SAMPLE = "sample"
DONE, OPEN = ":material/check_circle:", ":material/radio_button_unchecked:"


@dataclass(frozen=True)
class Step:
    """One step of the way: page, icon (ticked when done) and its state in one line."""

    name: str
    page: str
    icon: str
    says: str


def steps(data: DataSet | None) -> list[Step]:
    """The five steps, ticked as far as they are done for the chosen data set."""
    name = data.name if data else None
    sweeps, trainings = state.runs_of(name, "lr_find"), state.runs_of(name, "train")
    scored = [run for run in trainings if open_run(state.workspace(), run).has_scores]
    says = (
        f"{len(data.manifest.pairs)} pairs, {data.num_classes} classes" if data else "Bring pictures and masks",
        f"{len(sweeps)} sweep{'s' if len(sweeps) != 1 else ''}" if sweeps else "Sweep it, choose a point",
        f"{len(trainings)} training run{'s' if len(trainings) != 1 else ''}" if trainings else "Train and watch",
        "Scores, worst pictures first" if scored else "After the first training run",
    )
    pages = (
        ("Data", "data", data),
        ("Learning rate", "learning_rate", sweeps),
        ("Train", "train", trainings),
        ("Results", "results", scored),
    )
    first = Step("Home", "pages/lab/home.py", DONE, "You are here")
    return [first] + [
        Step(name, f"pages/lab/{page}.py", DONE if done else OPEN, text)
        for (name, page, done), text in zip(pages, says, strict=True)
    ]


def sample_time() -> str:
    """How long the sample takes from its sweep to its scores, at the pace that this machine has shown on it."""
    config = RunConfig(kind="train", dataset=SAMPLE)
    pace = measured_pace(state.workspace(), config)
    if pace is None or SAMPLE not in state.dataset_names():
        return "How long that takes shows after the first steps."
    steps = training.steps_per_epoch(config, open_dataset(state.workspace(), SAMPLE)) * config.train.epochs
    return f"About {state.duration(pace[0] * (config.lr_find.num_steps + steps))} at the pace measured here."


def try_sample(key: str) -> None:
    """A callback: makes the sample, starts a sweep and a training run with its pick, and opens the sweep."""
    manifest = create_sample(state.workspace(), SAMPLE)
    config = RunConfig(kind="train", dataset=manifest.name)
    sweep = starts.start("sample", key, config.changed({}, kind="lr_find"), name="sample")
    jobs.train_behind(sweep, config, pick=lr_curve.PRESELECTED, name="sample")
    choices.choose(dataset=manifest.name, sweep=sweep.id)
    state.go_to("pages/lab/learning_rate.py")


def latest_runs(count: int = 6) -> list[Run]:
    """The newest training runs of all data sets."""
    return list_runs(state.workspace(), kind="train")[:count]


def card(run: Run) -> None:
    """A run as a card: state, score, loss curve, newest overlay."""
    history, status, config = history_of(run), run.status, run.config
    with st.container():
        word, icon, color = state.STATE_WORDS[status.state]
        st.markdown(f"**{plain(run.notes.name or config.dataset)}** :{color}-badge[{icon} {word}]")
        best = next((epoch["mean_dice"] for epoch in reversed(history.epochs) if epoch["is_best"]), None)
        losses = history.batches()["smooth"].tolist()
        st.metric(
            f"mean Dice on {plain(config.dataset)}",
            score_text(best) if history.epochs else "no score yet",
            chart_data=_thin(losses) if len(losses) > 1 else None,
            help=f"Of the epoch with the {BEST_BY[config.train.best_score]}; the line is the training loss.",
        )
        if history.previews:
            newest = run.folder / history.previews[-1]["folder"] / "0.jpg"
            if newest.exists():
                st.image(str(newest), width="stretch", alt=f"Newest overlay of {run.title}")
        st.button("Open", key=f"open-{run.id}", on_click=_open, args=(run, config.dataset))


def _open(run: Run, dataset: str) -> None:
    choices.choose(dataset=dataset, run=run.id)
    state.go_to("pages/lab/train.py" if run.status.is_live else "pages/lab/results.py")


def _thin(losses: list[float], points: int = 40) -> list[float]:
    return losses[:: max(len(losses) // points, 1)]
