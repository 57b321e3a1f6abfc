"""The results page's parts: scores with their meaning, worst pictures first, curves, downloads."""

from typing import Any

import pandas as pd
import streamlit as st

from unetlab.data.dataset import DataSet
from unetlab.errors import DataError
from unetlab.runs.store import Run, score_text, weights_archive
from unetlab.train_options import BEST_BY
from unetlab.ui import charts, overlays, run_charts, state, training
from unetlab.ui.history import history_of
from unetlab.ui.text import plain

SHOWN_AT_ONCE = 3


def headline(evaluation: dict[str, Any], run: Run) -> None:
    """The scores people compare, each with what it counts."""
    valid, pictures = evaluation["valid"], len(evaluation["pictures"])
    result = run.read("result.json") or {}
    with st.grid(4, min_column_width=150, gap="small", border=True):
        st.metric(
            "Mean Dice",
            score_text(valid["mean_dice"]),
            help=f"Over classes present, background left out; pixel counts pooled over {pictures} validation pictures.",
        )
        st.metric("Mean IoU", score_text(valid["mean_iou"]), help="The same, intersection over union.")
        st.metric(
            "Pixel accuracy",
            score_text(valid["pixel_accuracy"]),
            help="Share of pixels that are right; always answering with the largest class gives "
            f"{score_text(evaluation['majority_share'])}.",
        )
        st.metric(
            "Best epoch",
            f"{result.get('epochs', '?')} of {result.get('epochs_trained', run.config.train.epochs):g}",
            help=f"The epoch with the {BEST_BY[run.config.train.best_score]}; its weights are the ones scored here.",
        )
    highest = result.get("highest_lr")
    rate = f" The highest learning rate used was {highest:.2e}." if highest else ""
    st.caption(
        f"{pictures} validation pictures, counted at their own resolution and pooled. Always answering with the "
        f"largest class would give a pixel accuracy of {score_text(evaluation['majority_share'])}.{rate}"
    )


def dataset_seen(run: Run) -> DataSet | None:
    """The version of the data set that the run saw; says so if it is gone, and the rest can still be shown."""
    try:
        return state.dataset_of(run)
    except DataError as error:
        st.info(
            f"{plain(str(error))} Scores, curves and the model of this run are all here; only its pictures cannot be "
            "shown.",
            title="Its pictures are gone",
            icon=":material/hide_image:",
        )
        return None


def per_class(evaluation: dict[str, Any], data: DataSet | None) -> None:
    """Dice and IoU of every class as bars; absent ones are listed below."""
    st.subheader("Per class")
    colors = {entry.name: entry.color for entry in data.manifest.classes} if data else {}
    valid = evaluation["valid"]
    rows = [
        {"class": name, "score": score, "value": valid[key][name], "color": colors.get(name, charts.TRAIN)}
        for name in valid["dice"]
        for score, key in (("Dice", "dice"), ("IoU", "iou"))
        if valid[key][name] is not None
    ]
    if rows:
        st.altair_chart(charts.class_bars(pd.DataFrame(rows)), alt="Dice and IoU per class")
        st.caption("Dice in full colour, IoU paler.")
    absent = [name for name, value in valid["dice"].items() if value is None]
    if absent:
        st.caption(f"Absent from the validation pictures and predictions: {plain(', '.join(absent))}.")
    table = pd.DataFrame({"Dice": valid["dice"], "IoU": valid["iou"]}).round(4)
    with st.expander("As a table", icon=":material/table:"):
        st.dataframe(table, alt="Dice and IoU per class")


def worst_first(run: Run, data: DataSet | None, evaluation: dict[str, Any]) -> None:
    """Validation pictures by their own mean Dice, worst first: truth, prediction, errors."""
    st.subheader("Worst pictures first")
    if data is None:
        _worst_as_kept(run)
        return
    opacity = st.slider("Opacity", 0.0, 1.0, 0.5, 0.05, key="results-opacity", width=260)
    pictures = sorted(evaluation["pictures"], key=lambda p: (p["mean_dice"] is None, p["mean_dice"] or 0.0))
    count = len(pictures) if st.session_state.get("show-all") else SHOWN_AT_ONCE
    for picture in pictures[:count]:
        st.markdown(f"**{plain(picture['name'])}** · Dice {score_text(picture['mean_dice'])}")
        overlays.triptych(run, data, picture, opacity)
    overlays.legend(data)
    st.caption("Errors: :orange[missed], :blue[found where nothing is], pink: one class for another; hatched: ignored.")
    if len(pictures) > SHOWN_AT_ONCE:
        st.toggle(f"Show all {len(pictures)}", key="show-all")


def _worst_as_kept(run: Run) -> None:
    path = run.folder / "overlay.jpg"
    if path.exists():
        st.image(str(path), width="stretch", alt="The worst picture: itself, truth, prediction, errors")
        st.caption("The worst one, as it was drawn when the run ended: picture, truth, prediction, errors.")


def curves(run: Run) -> None:
    """Loss, learning rate, momentum and scores over the steps, with smoothing and log axes."""
    st.subheader("Curves")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        beta = st.slider(
            "Smoothing",
            0.0,
            0.99,
            0.9,
            0.01,
            key="smoothing",
            width=260,
            help="Debiased moving average; the raw line stays, faint.",
        )
        is_log = st.toggle("Log loss", key="log-loss")
        is_log_lr = st.toggle("Log learning rate", key="log-lr")
    history = history_of(run)
    steps, scores = history.drawn(beta), history.drawn_scores
    if steps.empty:
        st.caption("No step was logged.")
        return
    total = training.total_steps(run, steps)
    planned = training.plan(run.config, total)
    left, right = st.columns(2, gap="large")
    left.vega_lite_chart(
        run_charts.loss_chart(steps, scores, total, is_log=is_log, height=300),
        alt="Training and validation loss over steps",
    )
    with left:
        training.two_kinds_of_statistics(scores)
    left.vega_lite_chart(
        run_charts.score_chart(scores, run.config.train.epochs), alt="Mean Dice and mean IoU per epoch"
    )
    with left:
        training.two_kinds_of_dice(run.config)
    rate = run_charts.schedule_chart(planned, steps, "lr", is_log=is_log_lr, height=300)
    right.vega_lite_chart(rate, alt="Learning rate over steps")
    momentum = run_charts.schedule_chart(planned, steps, "momentum", height=230)
    right.vega_lite_chart(momentum, alt="Momentum over steps")


def take_away(run: Run) -> None:
    """Downloads: history as CSV, weights with their card."""
    st.subheader("Downloads")
    history = history_of(run)
    with st.container(horizontal=True):
        st.download_button(
            "History (CSV)",
            lambda: history.table().to_csv(index=False).encode(),
            f"{run.id}.csv",
            "text/csv",
            icon=":material/table:",
            on_click="ignore",
        )
        if (run.folder / "best.safetensors").exists():
            st.download_button(
                "Weights (zip)",
                lambda: weights_archive(run),
                f"{run.id}.zip",
                "application/zip",
                icon=":material/download:",
                on_click="ignore",
                help="best.safetensors and the readable card beside it.",
            )
    with st.expander("Configuration", icon=":material/settings:"):
        st.json(run.config.model_dump(mode="json"))
