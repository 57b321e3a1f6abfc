"""A run's events as tables, read on where the last look ended, so that polling a long run stays cheap."""

import threading
from typing import Any

import pandas as pd
import streamlit as st

from unetlab.config import RunConfig
from unetlab.lr_curve import smooth
from unetlab.runs.store import Run, list_runs, open_run, read_events

BATCH_COLUMNS = ("step", "epoch", "loss", "lr", "momentum", "time")


class History:
    """What a run has said so far. `refresh` reads only what is new; one object serves all tabs."""

    def __init__(self, run: Run):
        self.run = run
        self.epochs: list[dict[str, Any]] = []
        self.previews: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self._batches: list[tuple[Any, ...]] = []
        self._offset, self._lock = 0, threading.Lock()

    def refresh(self) -> "History":
        """Takes in the events since the last call."""
        with self._lock:
            found, self._offset = read_events(self.run, self._offset)
            for event in found:
                kind = event.get("type")
                if kind == "batch":
                    self._batches.append(tuple(event[name] for name in BATCH_COLUMNS))
                elif kind == "epoch":
                    self.epochs.append(event)
                elif kind == "preview":
                    self.previews.append(event)
                elif kind == "note":
                    self.notes.append(event["message"])
        return self

    def batches(self, beta: float = 0.9) -> pd.DataFrame:
        """One row a step: step, epoch, loss, lr, momentum, time, and `smooth`, the debiased moving average of the loss.

        `beta` in 0..1 is the weight of the past; steps whose loss is not a number are left out.
        """
        frame = pd.DataFrame(self._batches, columns=list(BATCH_COLUMNS)).dropna()
        return frame.assign(smooth=smooth(frame["loss"].tolist(), beta=beta))

    @property
    def seconds_per_step(self) -> float | None:
        """Wall time per step so far, pauses for validation included; None before five steps."""
        if len(self._batches) < 5:
            return None
        first, last = self._batches[1], self._batches[-1]  # the very first step warms up
        return (last[-1] - first[-1]) / max(last[0] - first[0], 1)

    @property
    def scores(self) -> pd.DataFrame:
        """One row an epoch: epoch, step (the last of it), losses, mean_dice, mean_iou, pixel_accuracy."""
        columns = ["epoch", "step", "train_loss", "valid_loss", "mean_dice", "mean_iou", "pixel_accuracy"]
        return pd.DataFrame([{name: event[name] for name in columns} for event in self.epochs], columns=columns)

    def table(self) -> pd.DataFrame:
        """Steps and, at the last step of each epoch, its scores: the whole history as one table."""
        scores = self.scores.drop(columns="epoch").assign(step=lambda frame: frame["step"] - 1)
        return self.batches().drop(columns="smooth").merge(scores, on="step", how="left")


@st.cache_resource(max_entries=16, show_spinner=False)
def _history(run_id: str, created: float) -> History:
    return History(open_run(run_id))


def history_of(run: Run) -> History:
    """The run's history, brought up to date."""
    return _history(run.id, run.status.created).refresh()


def measured_pace(config: RunConfig) -> tuple[float, Run] | None:
    """(seconds per step, the run it was measured in): the newest run with the same pictures, model and device."""
    for run in list_runs(dataset=config.dataset):
        other = run.config
        same = [(c.data, c.model, c.train.batch_size, c.train.precision, c.train.device) for c in (config, other)]
        has_steps = other.kind in ("lr_find", "train")
        pace = history_of(run).seconds_per_step if same[0] == same[1] and has_steps else None
        if pace:
            return pace, run
    return None


def decimate(frame: pd.DataFrame, column: str, limit: int = 1000) -> pd.DataFrame:
    """At most `limit` rows that look the same drawn: lowest and highest per stretch, first and last kept."""
    if len(frame) <= limit:
        return frame
    stretch = pd.Series(range(len(frame)), index=frame.index) * (limit // 2 - 1) // len(frame)
    groups = frame.groupby(stretch.to_numpy())[column]
    kept = {frame.index[0], frame.index[-1], *groups.idxmin(), *groups.idxmax()}
    return frame.loc[sorted(kept)]
