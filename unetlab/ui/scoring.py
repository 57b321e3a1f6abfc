"""The results page's parts: scores with their meaning, worst pictures first, curves, downloads."""

from typing import Any

import pandas as pd
import streamlit as st

from unetlab.data.dataset import DataSet
from unetlab.errors import DataError
from unetlab.runs.store import Run, score_text, weights_archive
from unetlab.train_options import BEST_BY
from unetlab.ui import charts, overlays, run_charts, state, training
from unetlab.ui.history import best_and_last, history_of
from unetlab.ui.text import plain, shortened, told_apart

SHOWN_AT_ONCE, LISTED = 3, 10  # pictures drawn at first; pictures with an empty mask that are named


def headline(evaluation: dict[str, Any], run: Run) -> None:
    """The scores people compare, each with what it counts."""
    valid, pictures = evaluation["valid"], len(evaluation["pictures"])
    result = run.read("result.json") or {}
    with st.grid(4, min_column_width=150, gap="small", border=True):
        st.metric(
            "Mean Dice",
            score_text(valid["mean_dice"]),
            help=f"Over the classes present, without background; pixel counts pooled over {pictures} pictures.",
        )
        st.metric("Mean IoU", score_text(valid["mean_iou"]), help="The same, intersection over union.")
        st.metric(
            "Pixel accuracy",
            score_text(valid["pixel_accuracy"]),
            help="Share of pixels that are right. Baseline (largest class everywhere): "
            f"{score_text(evaluation['majority_share'])}.",
        )
        st.metric(
            "Best epoch",
            f"{result.get('epochs', '?')} of {run.config.train.epochs}",
            help=f"The epoch with the {BEST_BY[run.config.train.best_score]}. Its weights are scored here.",
        )
    if epochs := history_of(run).epochs:
        st.markdown(f"{best_and_last(epochs, run.config.train.epochs)}.")
    highest = result.get("highest_lr")
    rate = f" Highest learning rate used: {highest:.2e}." if highest else ""
    st.caption(f"{pictures} validation pictures at their own resolution, pixel counts pooled.{rate}")


def dataset_seen(run: Run) -> DataSet | None:
    """The version of the data set that the run saw; None, and a message, if it is gone."""
    try:
        return state.dataset_of(run)
    except DataError as error:
        st.info(
            f"{plain(str(error))} Its scores, curves and model are kept; only the pictures cannot be shown.",
            title="Pictures are gone",
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
        st.caption("Dice in full colour, IoU paler")
    absent = [name for name, value in valid["dice"].items() if value is None]
    if absent:
        st.caption(f"Absent from the validation masks and predictions: {plain(', '.join(absent))}.")
    table = pd.DataFrame({"Dice": valid["dice"], "IoU": valid["iou"]}).round(4)
    with st.expander("As a table", icon=":material/table:"):
        st.dataframe(table, alt="Dice and IoU per class")


def worst_first(run: Run, data: DataSet | None, evaluation: dict[str, Any]) -> None:
    """Validation pictures by their own mean Dice, worst first: truth, prediction, errors. Empty masks are listed."""
    st.subheader("Worst pictures first")
    if data is None:
        _worst_as_kept(run)
        return
    opacity = st.slider("Opacity", 0.0, 1.0, 0.5, 0.05, key="results-opacity", width=260)
    shown = [picture for picture in evaluation["pictures"] if not data.is_empty(picture["index"])]
    pictures = sorted(shown, key=lambda p: (p["mean_dice"] is None, p["mean_dice"] or 0.0))
    count = len(pictures) if st.session_state.get("show-all") else SHOWN_AT_ONCE
    names = told_apart([picture["name"] for picture in pictures[:count]])
    for picture, name in zip(pictures, names, strict=False):
        st.markdown(f"**{plain(name)}** · Dice {score_text(picture['mean_dice'])}")
        overlays.triptych(run, data, picture, opacity)
    overlays.legend(data)
    st.caption("Errors: :orange[missed], :blue[found where nothing is], pink: wrong class, hatched: ignored")
    if len(pictures) > SHOWN_AT_ONCE:
        st.toggle(f"Show all {len(pictures)}", key="show-all")
    _empty_masks(data, [picture for picture in evaluation["pictures"] if data.is_empty(picture["index"])])


def _empty_masks(data: DataSet, pictures: list[dict[str, Any]]) -> None:
    """Pictures with nothing to find: how many were left empty, and what was predicted in the others."""
    if not pictures:
        return
    wrong = {picture["name"]: count for picture in pictures if (count := _found_in_nothing(data, picture))}
    right, one = len(pictures) - len(wrong), len(pictures) == 1
    st.markdown(f"**{len(pictures)} {'picture has an empty mask' if one else 'pictures have an empty mask'}**")
    said = [f"{right} predicted empty too"] * (right > 0) + [f"{len(wrong)} with pixels predicted"] * bool(wrong)
    listed = sorted(wrong.items(), key=lambda item: -item[1])[:LISTED]
    lines = [f"{plain(shortened(name))}: {count:,} px predicted where nothing is" for name, count in listed]
    st.caption("  \n".join([f"{', '.join(said)}. They have no Dice of their own.", *lines]))


def _found_in_nothing(data: DataSet, picture: dict[str, Any]) -> int:
    """Pixels predicted as a class in a picture whose mask is empty: those that are wrong."""
    counted = sum(data.manifest.pairs[picture["index"]].class_pixels)
    accuracy = picture["pixel_accuracy"]
    return 0 if accuracy is None else round((1 - accuracy) * counted)


def _worst_as_kept(run: Run) -> None:
    path = run.folder / "overlay.jpg"
    if path.exists():
        st.image(str(path), width="stretch", alt="The worst picture: itself, truth, prediction, errors")
        st.caption("The worst picture, as drawn when the run ended: picture, truth, prediction, errors")


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
            help="Weight of the past in the moving average. The raw line stays, faint.",
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


def downloads(run: Run) -> None:
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
                help="best.safetensors with its readable card.",
            )
    with st.expander("Configuration", icon=":material/settings:"):
        st.json(run.config.model_dump(mode="json"))
