"""A run's events as tables, read on from where the last read ended, so that polling a long run stays cheap."""

import math
import threading
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from unetlab.config import RunConfig, costs
from unetlab.errors import ConfigError
from unetlab.runs.store import Run, list_runs, read_events, score_text
from unetlab.workspace import Workspace

BATCH_COLUMNS = ("step", "epoch", "loss", "lr", "momentum", "time")
RUNNING_COLUMNS = ("running_valid_loss", "running_mean_dice")  # of runs that score with either kind of statistics
SCORE_COLUMNS = (
    *("epoch", "step", "train_loss", "valid_loss", "mean_dice", "mean_iou", "pixel_accuracy"),
    *RUNNING_COLUMNS,
)
COUNTED = ("epoch", "step")  # whole numbers; the others may be missing
DRAWN = 1000  # points of a line: more than a screen has pixels for
# steps that are taken together, the share of them that is no spike, and how far above it a loss still counts: ours
STRETCH, USUAL_SHARE, SPIKE = 50, 0.9, 2.0
PACE_BYTES = 256 * 1024  # end of events.jsonl that gives the pace: some 1,500 steps


class Columns:
    """Rows of numbers that are added, and cut off, at the end."""

    def __init__(self, names: Sequence[str]):
        self._columns = {name: array("q" if name in COUNTED else "d") for name in names}

    def append(self, event: dict[str, Any]) -> None:
        """One more row; what is missing becomes NaN."""
        for name, column in self._columns.items():
            value = event.get(name) if name in RUNNING_COLUMNS else event[name]
            column.append(math.nan if value is None else value)

    def cut(self, name: str, first: int) -> None:
        """Removes the rows whose `name`, which rises from row to row, is `first` or above."""
        kept = bisect_left(self._columns[name], first)
        for column in self._columns.values():
            del column[kept:]

    def copies(self) -> dict[str, np.ndarray]:
        """A copy of each column."""
        return {name: np.array(column) for name, column in self._columns.items()}


class History:
    """The events of a run so far. `refresh` reads only what is new; one object serves all tabs.

    A run that was killed and resumed has logged some steps twice: the last attempt's events count for a step, and for
    the epochs from there on. `epochs`, `previews` and `notes` are the events themselves, in order; a note's `at_step`
    is the number of steps before it.
    """

    def __init__(self, run: Run):
        self.run = run
        self.epochs: list[dict[str, Any]] = []
        self.previews: list[dict[str, Any]] = []
        self.notes: list[dict[str, Any]] = []
        self._batches, self._scores = Columns(BATCH_COLUMNS), Columns(SCORE_COLUMNS)
        self._last_step = -1
        self._offset, self._lock = 0, threading.Lock()

    def refresh(self) -> "History":
        """Reads the events since the last call."""
        with self._lock:
            found, self._offset = read_events(self.run, self._offset)
            for event in found:
                self._take_in(event)
        return self

    def _take_in(self, event: dict[str, Any]) -> None:
        kind = event.get("type")
        if kind == "batch":
            if event["step"] <= self._last_step:
                self._batches.cut("step", event["step"])
                self._cut_epochs(event["epoch"])
                _cut(self.previews, event["epoch"])
            self._batches.append(event)
            self._last_step = event["step"]
        elif kind == "epoch":
            self._cut_epochs(event["epoch"])
            self.epochs.append(event)
            self._scores.append(event)
        elif kind == "preview":
            _cut(self.previews, event["epoch"])
            self.previews.append(event)
        elif kind == "note":
            self.notes.append(event | {"at_step": (event.get("about") or {}).get("step", self._last_step + 1)})

    def _cut_epochs(self, first: int) -> None:
        _cut(self.epochs, first)
        self._scores.cut("epoch", first)

    def batches(self, beta: float = 0.9) -> pd.DataFrame:
        """One row per step: step, epoch, loss, lr, momentum, time, and `smooth`, a debiased moving average of the loss.

        `beta` in 0..1 is the weight of the past, as in lr_curve.smooth; a spike counts no more than `without_spikes`
        leaves of it. Steps whose loss is not a number are left out.
        """
        return pd.DataFrame(self._smoothed(beta))

    def drawn(self, beta: float = 0.9) -> pd.DataFrame:
        """The rows of `batches` that a chart needs, at most 1000."""
        return _outlined(self._smoothed(beta), "loss")

    def _smoothed(self, beta: float) -> dict[str, np.ndarray]:
        with self._lock:
            columns = self._batches.copies()
        is_known = ~np.isnan(columns["loss"])
        if not is_known.all():
            columns = {name: column[is_known] for name, column in columns.items()}
        return columns | {"smooth": pd.Series(without_spikes(columns["loss"])).ewm(alpha=1 - beta).mean().to_numpy()}

    @property
    def scores(self) -> pd.DataFrame:
        """One row per epoch: epoch, step (the last of it), losses and scores, as SCORE_COLUMNS names them."""
        with self._lock:
            return pd.DataFrame(self._scores.copies())

    @property
    def drawn_scores(self) -> pd.DataFrame:
        """The rows of `scores` that a chart needs, at most 1000."""
        with self._lock:
            return _outlined(self._scores.copies(), "valid_loss")

    def table(self) -> pd.DataFrame:
        """Steps and, at the last step of each epoch, its scores: the whole history as one table."""
        scores = self.scores.drop(columns="epoch").assign(step=lambda frame: frame["step"] - 1)
        return self.batches().drop(columns="smooth").merge(scores, on="step", how="left")


def _cut(said: list[dict[str, Any]], first_epoch: int) -> None:
    del said[bisect_left(said, first_epoch, key=itemgetter("epoch")) :]


def best_and_last(epochs: list[dict[str, Any]], planned: int) -> str:
    """The best epoch so far and the last one: "Best epoch 6 of 20: mean Dice 0.115; the last epoch: 0.000".

    `epochs`: at least one event of type epoch, in order. `planned`: how many were asked for.
    """
    last = epochs[-1]
    best = next((event for event in reversed(epochs) if event["is_best"]), last)
    which, dice = f"Best epoch {best['epoch'] + 1} of {max(planned, len(epochs))}", score_text(best["mean_dice"])
    if best is last:
        return f"{which}, the last one: mean Dice {dice}"
    return f"{which}: mean Dice {dice}; the last epoch: {score_text(last['mean_dice'])}"


@st.cache_resource(max_entries=16, show_spinner=False)
def _history(folder: str) -> History:
    return History(Run(Path(folder)))


def history_of(run: Run) -> History:
    """The run's history, brought up to date."""
    return _history(str(run.folder)).refresh()


def measured_pace(workspace: Workspace, config: RunConfig) -> tuple[float, Run] | None:
    """(seconds per step, the run it was measured in): the newest run whose steps cost the same."""
    for run in list_runs(workspace, dataset=config.dataset):
        other = _config_of(str(run.folder))
        if other is None or other.kind not in ("lr_find", "train") or costs(other, "speed") != costs(config, "speed"):
            continue
        seconds = seconds_per_step(run)
        if seconds:
            return seconds, run
    return None


@st.cache_resource(max_entries=1000, show_spinner=False)  # written once, before the run starts
def _config_of(folder: str) -> RunConfig | None:
    """None for a run that a newer unetlab made: the form does without its pace."""
    try:
        return Run(Path(folder)).config
    except ConfigError:
        return None


def seconds_per_step(run: Run) -> float | None:
    """Wall time per step near the end of the run, validation included; None before five steps of its last attempt."""
    path = run.folder / "events.jsonl"
    size = path.stat().st_size if path.exists() else 0
    found, _ = read_events(run, max(size - PACE_BYTES, 0))  # a line that this cuts in two is skipped
    steps = [event for event in found if event["type"] == "batch"]
    steps = [event for event in steps if event["attempt"] == steps[-1]["attempt"]]
    if len(steps) < 5:
        return None
    first, last = steps[1], steps[-1]  # the very first step warms up
    return (last["time"] - first["time"]) / (last["step"] - first["step"])


def _outlined(columns: dict[str, np.ndarray], by: str) -> pd.DataFrame:
    rows = outline(columns[by])
    return pd.DataFrame({name: column[rows] for name, column in columns.items()})


def without_spikes(losses: np.ndarray) -> np.ndarray:
    """The losses (S,) with those far above the stretch of steps before lowered to SPIKE times what is usual there.

    A moving average would carry a spike along for dozens of steps, as a decay that never was. A loss that stays high
    is usual one stretch later. The first loss is always usual, so that the start is seen.
    """
    if not len(losses):
        return losses
    whole = losses[: len(losses) // STRETCH * STRETCH].reshape(-1, STRETCH)
    begun = max(losses[0], np.quantile(losses[:STRETCH], USUAL_SHARE, method="lower"))
    usual = np.concatenate([[begun], np.quantile(whole, USUAL_SHARE, axis=1, method="lower")])
    return np.minimum(losses, SPIKE * np.repeat(usual, STRETCH)[: len(losses)])


def outline(values: np.ndarray, limit: int = DRAWN) -> np.ndarray:
    """Places of at most `limit` values that look like all when drawn: first, last, lowest and highest per stretch."""
    count = len(values)
    if count <= limit:
        return np.arange(count)
    starts = np.linspace(0, count, limit // 2 - 1, endpoint=False).astype(int).tolist()
    kept = {0, count - 1}
    for start, end in zip(starts, [*starts[1:], count], strict=True):
        stretch = values[start:end]
        kept |= {start + int(stretch.argmin()), start + int(stretch.argmax())}
    return np.array(sorted(kept))
