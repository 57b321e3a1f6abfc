"""Altair charts. One accent per meaning, the same on every page, safe for colour-blind eyes; axes that do not jump."""
# pyright: reportArgumentType=false, reportReturnType=false
# (altair types its encodings more narrowly than it accepts them)

import math
from collections.abc import Sequence

import altair as alt
import pandas as pd

from unetlab import lr_curve
from unetlab.lr_curve import TRIM_END, TRIM_START

TRAIN, VALID, LR, MOMENTUM = "#3a8fc4", "#e08214", "#2a9d8f", "#a879c4"
CENTRED = "#b8485f"
OUTLINE = "#808080"  # of what has a colour from elsewhere: 3 to 1 and more on the ground of both themes
CURVES = {"smooth": lr_curve.FASTAI, "centred": lr_curve.NO_LAG}
LABEL_SHARE = 0.35  # of the narrowest chart's width that a label takes
SAME_SHARE = 0.004  # of the chart's width: rules that are nearer cannot be told apart
OWN_LABEL = "my own"
AXIS_PX = 56  # every chart keeps the same room for its y axis, so that stacked charts share their x axis by eye
PICK_LABELS = lr_curve.LABELS


def ceiling(value: float) -> float:
    """The next 1, 2 or 5 times a power of ten: an axis that grows in steps instead of with every point."""
    if not value > 0:
        return 1.0
    power = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)


def lr_curve_chart(
    sweeps: Sequence[pd.DataFrame],
    picks: dict[str, dict | None],
    chosen: float | None,
    lr_range: tuple[float, float],
    *,
    height: int = 360,
) -> alt.LayerChart:
    """Loss over learning rate (log): raw points, fastai's moving average and the centred curve, trimmed ends shaded.

    `sweeps`: tables with lr, loss, smooth, centred. `picks`: of one of the curves, marked and labelled. Clicking a
    point selects its rate under the name "pick".
    """
    points = pd.concat([sweep.assign(sweep=i) for i, sweep in enumerate(sweeps)])
    x = alt.X(
        "lr:Q",
        title="learning rate",
        scale=alt.Scale(type="log", domain=list(lr_range)),
        axis=alt.Axis(format="~e", grid=False),
    )
    # set by the first point, so that the axis stands still while the curve draws itself; blow-ups end at its top
    scale = alt.Scale(domain=[0, 1.3 * points["smooth"].iloc[0]], nice=False, clamp=True)
    axis = alt.Axis(minExtent=AXIS_PX)
    kinds = alt.Color(
        "curve:N",
        scale=alt.Scale(domain=list(CURVES.values()), range=[TRAIN, CENTRED]),
        legend=alt.Legend(title=None, orient="bottom"),
    )
    dash = alt.StrokeDash("curve:N", legend=None, scale=alt.Scale(domain=list(CURVES.values()), range=[[1, 0], [6, 3]]))
    raw = (
        alt.Chart(points)
        .mark_circle(color=TRAIN, opacity=0.3, size=18, clip=True)
        .encode(x=x, y=alt.Y("loss:Q", title="loss", scale=scale, axis=axis))
    )
    drawn = points.rename(columns=CURVES)
    lines = (
        alt.Chart(drawn)
        .transform_fold(list(CURVES.values()), as_=["curve", "value"])
        .mark_line(strokeWidth=2.2, clip=True)
        .encode(
            x=x,
            y=alt.Y("value:Q", title="loss", scale=scale, axis=axis),
            detail="sweep:N",
            color=kinds,
            strokeDash=dash,
        )
    )
    click = alt.selection_point(name="pick", fields=["lr"], nearest=True, on="click", empty=False)
    told = CURVES | {"loss": "loss"}
    hover = (
        alt.Chart(points)
        .mark_circle(opacity=0, size=60, clip=True)
        .encode(
            x=x,
            y=alt.Y("centred:Q", title="loss", scale=scale, axis=axis),
            tooltip=[
                alt.Tooltip("lr", format=".2e"),
                *(alt.Tooltip(field, format=".4f", title=title) for field, title in told.items()),
            ],
        )
        .add_params(click)
    )
    layers: list[alt.Chart] = [_trims(sweeps[0], x), raw, lines, hover]
    found = {PICK_LABELS[name]: pick["lr"] for name, pick in picks.items() if pick}
    if chosen is not None:
        found[OWN_LABEL] = chosen
    if found:
        layers += _marks(mark_rows(found, lr_range), x)
    return alt.layer(*layers).properties(height=height).resolve_scale(color="independent", strokeDash="independent")


def _trims(sweep: pd.DataFrame, x: alt.X) -> alt.Chart:
    ends = [(0, min(TRIM_START, len(sweep) - 1)), (max(len(sweep) - TRIM_END, 0), len(sweep) - 1)]
    edges = pd.DataFrame([{"lr": sweep["lr"].iloc[a], "end": sweep["lr"].iloc[b]} for a, b in ends if len(sweep) > 15])
    if edges.empty:
        edges = pd.DataFrame({"lr": [], "end": []})
    return alt.Chart(edges).mark_rect(color="#8899a6", opacity=0.14).encode(x=x, x2="end:Q")


def mark_rows(rates: dict[str, float], lr_range: tuple[float, float]) -> pd.DataFrame:
    """A row for each mark of the chart: lr, name, label, row (from the top) and is_left, where its label points.

    A rate that is drawn at the place of another one shares its label. A rule begins at its label's row, so that no
    label lies on a rule or on another label.
    """
    low, high = map(math.log, lr_range)
    marks: list[dict] = []
    for name, rate in rates.items():
        place = (math.log(rate) - low) / (high - low)
        if near := next((mark for mark in marks if abs(mark["place"] - place) < SAME_SHARE), None):
            near["label"] += f" = {name}"
        else:
            marks.append({"lr": rate, "name": name, "label": name, "place": place})
    is_end_near = max(mark["place"] for mark in marks) > 1 - LABEL_SHARE
    for mark in marks:
        mark["is_left"] = is_end_near and mark["place"] > LABEL_SHARE
    marks.sort(key=lambda mark: (mark["is_left"], -mark["place"] if mark["is_left"] else mark["place"]))
    return pd.DataFrame(marks).assign(row=range(len(marks)))


def _marks(found: pd.DataFrame, x: alt.X) -> list[alt.Chart]:
    """A rule for each rate, with its label at the rule's upper end."""
    names = [*map(PICK_LABELS.__getitem__, lr_curve.DEFINITIONS), OWN_LABEL]
    color = alt.Color("name:N", legend=None, scale=alt.Scale(domain=names, range=[VALID, LR, "#8899a6", "#c4457c"]))
    dash = alt.StrokeDash("name:N", legend=None, scale=alt.Scale(domain=names, range=[[1, 0], [6, 3], [2, 3], [1, 0]]))
    drawn = []
    for row, mark in found.groupby("row"):
        side, top = -1 if mark["is_left"].iloc[0] else 1, 4 + 16 * int(row)
        rule = alt.Chart(mark).mark_rule(strokeWidth=1.8)
        label = alt.Chart(mark).mark_text(
            align="right" if side < 0 else "left", dx=5 * side, baseline="top", fontSize=12, fontWeight=600
        )
        drawn += [
            rule.encode(x=x, y=alt.value(top), y2=alt.value("height"), color=color, strokeDash=dash),
            # the words' own colour, dark or light as the theme is: those of the rules are too pale to read
            label.encode(x=x, y=alt.value(top), text="label:N", color=alt.value("currentColor")),
        ]
    return drawn


def class_bars(rows: pd.DataFrame) -> alt.Chart:
    """Dice and IoU per class as bars. `rows`: class, score, value, color."""
    names = list(dict.fromkeys(rows["class"]))
    return (
        alt.Chart(rows)
        .mark_bar()
        .encode(
            y=alt.Y("class:N", sort=names, title=None, axis=alt.Axis(labelLimit=140)),
            yOffset=alt.YOffset("score:N", sort=["Dice", "IoU"]),
            x=alt.X("value:Q", scale=alt.Scale(domain=[0, 1]), title="score, pixel counts pooled"),
            color=alt.Color("color:N", scale=None),
            opacity=alt.Opacity("score:N", scale=alt.Scale(domain=["Dice", "IoU"], range=[1.0, 0.55]), legend=None),
            tooltip=["class", "score", alt.Tooltip("value", format=".4f")],
        )
        .properties(height=70 + 36 * len(names))
    )


def share_bar(rows: pd.DataFrame) -> alt.Chart:
    """One stacked bar of shares. `rows`: name, share (0..1), color, in order."""
    rows = rows.assign(order=range(len(rows)))
    return (
        alt.Chart(rows)
        .mark_bar(height=14, stroke=OUTLINE, strokeWidth=1)
        .encode(
            x=alt.X("share:Q", stack="zero", axis=None, scale=alt.Scale(domain=[0, 1])),
            color=alt.Color("color:N", scale=None),
            order="order:Q",
            tooltip=["name", alt.Tooltip("share", format=".1%")],
        )
        .properties(height=26)
    )


def value_bars(rows: pd.DataFrame) -> alt.Chart:
    """Pixels of each mask value as bars on a log axis, in the colour of the class it becomes, which is named before it.

    `rows`, in order: value, becomes, color, pixels, share (0..1), masks.
    """
    rows = rows.assign(start=0.5, label=rows["value"] + " → " + rows["becomes"])  # a log axis has no 0
    top = ceiling(float(rows["pixels"].max()))
    return (
        alt.Chart(rows)
        .mark_bar(stroke=OUTLINE, strokeWidth=1)
        .encode(
            y=alt.Y("label:N", sort=None, title=None, axis=alt.Axis(labelLimit=160, minExtent=AXIS_PX)),
            x=alt.X(
                "pixels:Q",
                title="pixels (log)",
                scale=alt.Scale(type="log", domain=[0.5, top], nice=False),
                axis=alt.Axis(format="~s", tickCount=4, grid=False),
            ),
            x2="start:Q",
            color=alt.Color("color:N", scale=None),
            tooltip=[
                "value",
                "becomes",
                alt.Tooltip("pixels", format=","),
                alt.Tooltip("share", format=".3%"),
                alt.Tooltip("masks", title="in masks"),
            ],
        )
        .properties(height=alt.Step(22))
    )
