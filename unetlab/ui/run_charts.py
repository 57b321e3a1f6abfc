"""Charts of a run over its steps, which the Train page draws every second: loss, schedule, scores.

Altair takes 30 ms to build and check a chart. So each is kept as text without its data, and a look adds only that: a
Vega-Lite spec for `st.vega_lite_chart`. Every row of a table is a point of its line; History.drawn thins them out.
"""
# pyright: reportArgumentType=false, reportReturnType=false
# (altair types its encodings more narrowly than it accepts them)

import json
import math
from functools import lru_cache
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from unetlab.ui.charts import AXIS_PX, LR, MOMENTUM, TRAIN, VALID, ceiling

Spec = dict[str, Any]
RUNNING = "Dice, running"
ADVICE, NOTE = "#b8485f", "#8899a6"
NOTE_COLUMNS = ["step", "message", "is_advice"]
SLIM_PX, STEP_AXIS_PX = 120, 50  # heights: of rate and momentum below the loss, and of the axis below the lower one
EDGE_MARKS = 8  # stretches of the step axis, each with at most one mark at the upper edge, so that none overlap


def loss_chart(
    steps: pd.DataFrame,
    scores: pd.DataFrame,
    total_steps: int,
    *,
    notes: pd.DataFrame | None = None,
    is_log: bool = False,
    height: int = 280,
) -> Spec:
    """Training loss (raw faint, smoothed) and a dot for the validation loss after each epoch, over steps.

    Where both kinds of BatchNorm statistics were scored, hollow dots on a dotted line are the running ones.
    `steps`: step, loss, smooth, lr, momentum. `scores`: epoch, step, valid_loss, mean_dice, running_valid_loss.
    `notes`: NOTE_COLUMNS; each a mark at its place, red where it is advice.
    """
    # wild losses must not flatten the rest: they are marks at the upper edge, with their value
    top = ceiling(1.3 * steps["smooth"].max())
    spec = _loss_spec(total_steps, top, is_log, height, has_both=has_both(scores))
    beyond = above_axis(steps, scores, math.inf if is_log else top, total_steps)
    notes = pd.DataFrame(columns=NOTE_COLUMNS) if notes is None else notes
    return _with_data(spec, steps=steps, scores=scores, beyond=beyond, notes=notes)


def above_axis(steps: pd.DataFrame, scores: pd.DataFrame, top: float, total_steps: int) -> pd.DataFrame:
    """Losses above `top`, the highest of each stretch of the axis, those of a validation first: step, value, kind."""
    marks: dict[int, tuple[int, float, str]] = {}
    for kind, table, column in (
        ("validation", scores, "valid_loss"),
        ("validation, running", scores, "running_valid_loss"),
        ("training", steps, "loss"),
    ):
        values, places = table[column].to_numpy(), table["step"].to_numpy()
        found: dict[int, tuple[int, float, str]] = {}
        for place in np.flatnonzero(values > top):
            step, value = int(places[place]), float(values[place])
            stretch = min(step * EDGE_MARKS // total_steps, EDGE_MARKS - 1)
            if stretch not in found or value > found[stretch][1]:
                found[stretch] = (step, value, kind)
        marks = found | marks
    return pd.DataFrame([marks[stretch] for stretch in sorted(marks)], columns=["step", "value", "kind"])


def has_both(scores: pd.DataFrame) -> bool:
    """Whether the run scores with running statistics of BatchNorm as well."""
    return bool(scores["running_mean_dice"].notna().any())


@lru_cache(maxsize=64)
def _loss_spec(total_steps: int, top: float, is_log: bool, height: int, *, has_both: bool) -> str:
    domain = (0.0, top)
    base = alt.Chart(alt.NamedData("steps")).encode(x=_x_axis(total_steps))
    faint = base.mark_line(color=TRAIN, opacity=0.25, strokeWidth=1, clip=True)
    smoothed = base.mark_line(color=TRAIN, strokeWidth=2, clip=True)
    told = {"step": "d", "loss": ".4f", "smooth": ".4f", "lr": ".2e", "momentum": ".3f"}
    dots = (
        alt.Chart(alt.NamedData("scores"))
        .mark_point(color=VALID, filled=True, size=55, shape="diamond")
        .encode(
            x=_x_axis(total_steps),
            y=_y_axis("valid_loss", "loss", domain=domain, is_log=is_log),
            tooltip=[
                alt.Tooltip("epoch:Q"),
                alt.Tooltip("valid_loss:Q", format=".4f"),
                alt.Tooltip("mean_dice:Q", format=".4f"),
            ],
        )
    )
    running = alt.Chart(alt.NamedData("scores")).encode(
        x=_x_axis(total_steps), y=_y_axis("running_valid_loss", "loss", domain=domain, is_log=is_log)
    )
    layers = [
        faint.encode(y=_y_axis("loss", "loss", domain=domain, is_log=is_log)),
        smoothed.encode(y=_y_axis("smooth", "loss", domain=domain, is_log=is_log)),
        _hover(base, told),
        dots,
    ]
    layers += [*_edge_marks(total_steps), _note_marks(total_steps)]
    if has_both:
        hollow = running.mark_point(color=VALID, filled=False, size=45, shape="diamond")
        tooltip = ["epoch:Q", alt.Tooltip("running_valid_loss:Q", format=".4f")]
        layers += [_dotted(running), hollow.encode(tooltip=tooltip)]
    return _as_json(alt.layer(*layers).properties(height=height))


def _edge_marks(total_steps: int) -> list[alt.Chart]:
    """Triangles at the upper edge with the values that lie above it."""
    colors = alt.Color(
        "kind:N",
        legend=None,
        scale=alt.Scale(domain=["training", "validation", "validation, running"], range=[TRAIN, VALID, VALID]),
    )
    base = alt.Chart(alt.NamedData("beyond")).encode(x=_x_axis(total_steps), color=colors)
    tooltip = ["step:Q", "kind:N", alt.Tooltip("value:Q", format=".4g")]
    triangles = base.mark_point(filled=True, size=60, shape="triangle-up").encode(y=alt.value(4), tooltip=tooltip)
    words = alt.Chart(alt.NamedData("beyond")).mark_text(baseline="top", fontSize=11, fontWeight=600)
    words = words.encode(
        x=_x_axis(total_steps),
        y=alt.value(10),
        text=alt.Text("value:Q", format=".3~g"),
        color=alt.value("currentColor"),  # the marks' own colours are too pale for words
    )
    return [triangles, words]


def _note_marks(total_steps: int) -> alt.LayerChart:
    """A dotted line and a dot at the step of each note; the dot's tooltip has its words."""
    color = alt.condition("datum.is_advice", alt.value(ADVICE), alt.value(NOTE))
    base = alt.Chart(alt.NamedData("notes")).encode(x=_x_axis(total_steps), color=color)
    line = base.mark_rule(strokeDash=[2, 3], strokeWidth=1)
    dots = base.mark_point(filled=True, size=70).encode(y=alt.value("height"), tooltip=["step:Q", "message:N"])
    return alt.layer(line, dots)


def _dotted(base: alt.Chart) -> alt.Chart:
    return base.mark_line(color=VALID, strokeDash=[2, 3], strokeWidth=1.2, opacity=0.8, clip=True)


def _hover(base: alt.Chart, told: dict[str, str]) -> alt.Chart:
    """Invisible rules, one a step, that show its numbers wherever the pointer is above it."""
    tooltip = [alt.Tooltip(f"{field}:Q", format=form) for field, form in told.items()]
    return base.mark_rule(opacity=0, strokeWidth=8).encode(tooltip=tooltip)


def schedule_chart(
    plan: pd.DataFrame,
    used: pd.DataFrame | None,
    field: str,
    *,
    height: int = 150,
    is_log: bool = False,
    has_step_axis: bool = True,
) -> Spec:
    """`field` ("lr" or "momentum") as planned (thin, dashed) and as used so far (thick), over steps.

    `plan` reaches from the first to the last step. `has_step_axis`: False above a chart that shows the same steps.
    """
    low, high = float(plan[field].min()) if field == "momentum" else 0.0, float(plan[field].max())
    total = int(plan["step"].iloc[-1]) + 1
    spec = _schedule_spec(field, total, (low, high), is_log, height, used is not None, has_step_axis)
    columns = ["step", field]
    return _with_data(spec, plan=plan[columns], **({} if used is None else {"used": used[columns]}))


@lru_cache(maxsize=64)
def _schedule_spec(
    field: str,
    total_steps: int,
    domain: tuple[float, float],
    is_log: bool,
    height: int,
    has_used: bool,
    has_step_axis: bool,
) -> str:
    title, color = ("learning rate", LR) if field == "lr" else ("momentum", MOMENTUM)
    y = _y_axis(field, title, domain=domain, is_log=is_log, format="~e" if field == "lr" else ".2f")
    x = _x_axis(total_steps) if has_step_axis else _x_axis(total_steps).axis(None)
    base = alt.Chart(alt.NamedData("plan")).encode(x=x)
    layers = [base.mark_line(color=color, strokeDash=[4, 3], strokeWidth=1.2, opacity=0.8).encode(y=y)]
    if has_used:
        line = alt.Chart(alt.NamedData("used")).mark_line(color=color, strokeWidth=2.4)
        layers.append(line.encode(x=x, y=y))
    layers.append(_hover(base, {"step": "d", field: ".3e" if field == "lr" else ".3f"}))
    return _as_json(alt.layer(*layers).properties(height=height))


def score_chart(scores: pd.DataFrame, epochs: int, *, height: int = 230) -> Spec:
    """Mean Dice and mean IoU on the validation set after each epoch; solid and dashed, so not by colour alone.

    Also the mean Dice with BatchNorm's running statistics, where both were scored.
    """
    drawn = {"epoch": scores["epoch"] + 1, "mean Dice": scores["mean_dice"], "mean IoU": scores["mean_iou"]}
    if is_both := has_both(scores):
        drawn[RUNNING] = scores["running_mean_dice"]
    return _with_data(_score_spec(epochs, height, has_both=is_both), scores=pd.DataFrame(drawn))


@lru_cache(maxsize=64)
def _score_spec(epochs: int, height: int, *, has_both: bool) -> str:
    names = ["mean Dice", "mean IoU", *([RUNNING] if has_both else [])]
    axis = alt.Axis(tickMinStep=1, grid=False)
    base = (
        alt.Chart(alt.NamedData("scores"))
        .transform_fold(names, as_=["score", "value"])
        .transform_filter("isValid(datum.value)")
        .encode(
            x=alt.X("epoch:Q", title="epoch", scale=alt.Scale(domain=[1, max(epochs, 2)]), axis=axis),
            y=_y_axis("value", "score", domain=(0, 1)),
            color=alt.Color(
                "score:N",
                scale=alt.Scale(domain=names, range=[VALID, MOMENTUM, "#8899a6"][: len(names)]),
                legend=alt.Legend(title=None, orient="bottom"),
            ),
            tooltip=["epoch:Q", "score:N", alt.Tooltip("value:Q", format=".4f")],
        )
    )
    dash = alt.StrokeDash("score:N", legend=None)
    layers = base.mark_line().encode(strokeDash=dash), base.mark_point(filled=True, size=40)
    return _as_json(alt.layer(*layers).properties(height=height))


def _x_axis(total: int) -> alt.X:
    """Up to the number of steps, for the last validation follows the last step."""
    return alt.X(
        "step:Q",
        title="step",
        scale=alt.Scale(domain=[0, total], nice=False),
        axis=alt.Axis(tickMinStep=1, grid=False),
    )


def _y_axis(
    field: str,
    title: str,
    *,
    domain: tuple[float, float] | None = None,
    is_log: bool = False,
    format: str | None = None,
) -> alt.Y:
    scale = alt.Scale(type="log") if is_log else alt.Scale(zero=False, nice=True)
    if domain is not None and not is_log:
        scale = alt.Scale(domain=list(domain), clamp=True)
    axis = alt.Axis(minExtent=AXIS_PX, tickCount=5, **({"format": format} if format else {}))
    return alt.Y(f"{field}:Q", title=title, scale=scale, axis=axis)


def _as_json(chart: alt.LayerChart) -> str:
    """The spec as text, so that nobody can change what is kept; without Altair's own theme: Streamlit's is wanted."""
    spec = chart.to_dict()
    spec.pop("config", None)  # absent while another session draws: the theme belongs to the process
    return json.dumps(spec)


def _with_data(spec: str, **tables: pd.DataFrame) -> Spec:
    return json.loads(spec) | {"datasets": tables}
