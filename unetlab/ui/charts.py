"""Altair charts. One accent per meaning, the same on every page, safe for colour-blind eyes; axes that do not jump."""
# pyright: reportArgumentType=false, reportReturnType=false
# (altair types its encodings more narrowly than it accepts them)

import math
from collections.abc import Sequence

import altair as alt
import pandas as pd

from unetlab.lr_curve import TRIM_END, TRIM_START
from unetlab.ui.history import decimate

TRAIN, VALID, LR, MOMENTUM = "#3a8fc4", "#e08214", "#2a9d8f", "#a879c4"
AXIS_PX = 56  # every chart keeps the same room for its y axis, so that stacked charts share their x axis by eye
PICK_LABELS = {"min_gradient": "min gradient", "min_loss_tenth": "min loss / 10", "valley": "valley"}


def _x_axis(total: int) -> alt.X:
    return alt.X(
        "step:Q",
        title="step",
        scale=alt.Scale(domain=[0, max(total - 1, 1)], nice=False),
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


def ceiling(value: float) -> float:
    """The next 1, 2 or 5 times a power of ten: an axis that grows in steps instead of with every point."""
    if not value > 0:
        return 1.0
    power = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)


def loss_chart(
    batches: pd.DataFrame, scores: pd.DataFrame, total_steps: int, *, is_log: bool = False, height: int = 280
) -> alt.LayerChart:
    """Training loss (raw faint, smoothed) and a dot for the validation loss after each epoch, over steps."""
    raw = decimate(batches, "loss")
    # wild validation losses must not flatten the rest: they are drawn at the upper edge, their tooltip tells the number
    top = ceiling(1.3 * batches["smooth"].max())
    y = _y_axis("loss", "loss", domain=(0, top), is_log=is_log)
    base = alt.Chart(raw).encode(x=_x_axis(total_steps))
    faint = base.mark_line(color=TRAIN, opacity=0.25, strokeWidth=1, clip=True).encode(y=y)
    smoothed = base.mark_line(color=TRAIN, strokeWidth=2, clip=True).encode(
        y=_y_axis("smooth", "loss", domain=(0, top), is_log=is_log)
    )
    told = {"step": "", "loss": ".4f", "smooth": ".4f", "lr": ".2e", "momentum": ".3f"}
    dots = (
        alt.Chart(scores)
        .mark_point(color=VALID, filled=True, size=55, shape="diamond", clip=True)
        .encode(
            x=_x_axis(total_steps),
            y=_y_axis("valid_loss", "loss", domain=(0, top), is_log=is_log),
            tooltip=[
                alt.Tooltip("epoch"),
                alt.Tooltip("valid_loss", format=".4f"),
                alt.Tooltip("mean_dice", format=".4f"),
            ],
        )
    )
    return alt.layer(faint, smoothed, _hover(base, told), dots).properties(height=height)


def _hover(base: alt.Chart, told: dict[str, str]) -> alt.Chart:
    """Invisible rules, one a step, that show its numbers wherever the pointer is above it."""
    tooltip = [alt.Tooltip(field, **({"format": form} if form else {})) for field, form in told.items()]
    return base.mark_rule(opacity=0, strokeWidth=8).encode(tooltip=tooltip)


def schedule_chart(
    plan: pd.DataFrame, used: pd.DataFrame | None, field: str, *, height: int = 150, is_log: bool = False
) -> alt.LayerChart:
    """`field` ("lr" or "momentum") as planned (thin, dashed) and as used so far (thick), over steps."""
    total = len(plan)
    title, color = ("learning rate", LR) if field == "lr" else ("momentum", MOMENTUM)
    format_ = "~e" if field == "lr" else ".2f"
    domain = None if is_log else (plan[field].min() if field == "momentum" else 0, plan[field].max())
    y = _y_axis(field, title, is_log=is_log, domain=domain, format=format_)
    base = alt.Chart(decimate(plan, field)).encode(x=_x_axis(total))
    layers = [base.mark_line(color=color, strokeDash=[4, 3], strokeWidth=1.2, opacity=0.8).encode(y=y)]
    if used is not None:
        line = alt.Chart(decimate(used, field)).mark_line(color=color, strokeWidth=2.4)
        layers.append(line.encode(x=_x_axis(total), y=y))
    layers.append(_hover(base, {"step": "", field: ".3e" if field == "lr" else ".3f"}))
    return alt.layer(*layers).properties(height=height)


def score_chart(scores: pd.DataFrame, epochs: int) -> alt.LayerChart:
    """Mean Dice and mean IoU on the validation set after each epoch; solid and dashed, so not by colour alone."""
    names = {"mean_dice": "mean Dice", "mean_iou": "mean IoU"}
    long = scores.melt("epoch", list(names), "score", "value").dropna().replace({"score": names})
    long["epoch"] += 1
    axis = alt.Axis(tickMinStep=1, grid=False)
    base = alt.Chart(long).encode(
        x=alt.X("epoch:Q", title="epoch", scale=alt.Scale(domain=[1, max(epochs, 2)]), axis=axis),
        y=_y_axis("value", "score", domain=(0, 1)),
        color=alt.Color(
            "score:N",
            scale=alt.Scale(domain=list(names.values()), range=[VALID, MOMENTUM]),
            legend=alt.Legend(title=None, orient="bottom"),
        ),
        tooltip=["epoch", "score", alt.Tooltip("value", format=".4f")],
    )
    dash = alt.StrokeDash("score:N", legend=None)
    return alt.layer(base.mark_line().encode(strokeDash=dash), base.mark_point(filled=True, size=40)).properties(
        height=230
    )


def lr_curve_chart(
    sweeps: Sequence[pd.DataFrame],
    picks: dict[str, dict | None],
    chosen: float | None,
    lr_range: tuple[float, float],
    *,
    height: int = 360,
) -> alt.LayerChart:
    """Loss over learning rate (log): raw points faint, smoothed line, trimmed ends shaded, picks marked and labelled.

    `sweeps`: tables with lr, loss, smooth. Clicking a point selects its rate under the name "pick".
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
    y = alt.Y("smooth:Q", title="loss", scale=scale, axis=alt.Axis(minExtent=AXIS_PX))
    raw = (
        alt.Chart(points)
        .mark_circle(color=TRAIN, opacity=0.3, size=18, clip=True)
        .encode(x=x, y=alt.Y("loss:Q", title="loss", scale=scale))
    )
    click = alt.selection_point(name="pick", fields=["lr"], nearest=True, on="click", empty=False)
    line = (
        alt.Chart(points)
        .mark_line(color=TRAIN, strokeWidth=2.5, clip=True, point=alt.OverlayMarkDef(opacity=0, size=60))
        .encode(
            x=x,
            y=y,
            detail="sweep:N",
            tooltip=[
                alt.Tooltip("lr", format=".2e"),
                alt.Tooltip("smooth", format=".4f", title="smoothed loss"),
                alt.Tooltip("loss", format=".4f"),
            ],
        )
        .add_params(click)
    )
    layers: list[alt.Chart] = [_trims(sweeps[0], x), raw, line]
    found = [{"lr": pick["lr"], "name": PICK_LABELS[name]} for name, pick in picks.items() if pick]
    if chosen is not None:
        found.append({"lr": chosen, "name": "chosen"})
    if found:
        # labels stay inside: right of the middle they stand to the left of their line
        layers += _marks(pd.DataFrame(found), x, math.sqrt(math.prod(lr_range)))
    return alt.layer(*layers).properties(height=height)


def _trims(sweep: pd.DataFrame, x: alt.X) -> alt.Chart:
    ends = [(0, min(TRIM_START, len(sweep) - 1)), (max(len(sweep) - TRIM_END, 0), len(sweep) - 1)]
    edges = pd.DataFrame([{"lr": sweep["lr"].iloc[a], "end": sweep["lr"].iloc[b]} for a, b in ends if len(sweep) > 15])
    if edges.empty:
        edges = pd.DataFrame({"lr": [], "end": []})
    return alt.Chart(edges).mark_rect(color="#8899a6", opacity=0.14).encode(x=x, x2="end:Q")


def _marks(found: pd.DataFrame, x: alt.X, middle: float) -> list[alt.Chart]:
    found = found.assign(row=range(len(found)))
    names = [*PICK_LABELS.values(), "chosen"]
    color = alt.Color("name:N", legend=None, scale=alt.Scale(domain=names, range=[VALID, LR, "#8899a6", "#c4457c"]))
    dash = alt.StrokeDash("name:N", legend=None, scale=alt.Scale(domain=names, range=[[1, 0], [6, 3], [2, 3], [1, 0]]))
    base = alt.Chart(found)
    labels = [
        alt.Chart(found[found["row"] == row])
        .mark_text(
            align="left" if rate < middle else "right",
            dx=5 if rate < middle else -5,
            dy=8 + 15 * row,
            baseline="top",
            fontSize=12,
            fontWeight=600,
        )
        .encode(x=x, y=alt.value(0), text="name:N", color=color)
        for row, rate in zip(found["row"], found["lr"], strict=True)
    ]
    return [base.mark_rule(strokeWidth=1.8).encode(x=x, color=color, strokeDash=dash), *labels]


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
        .mark_bar(height=14)
        .encode(
            x=alt.X("share:Q", stack="zero", axis=None, scale=alt.Scale(domain=[0, 1])),
            color=alt.Color("color:N", scale=None),
            order="order:Q",
            tooltip=["name", alt.Tooltip("share", format=".1%")],
        )
        .properties(height=26)
    )


def value_bars(rows: pd.DataFrame) -> alt.LayerChart:
    """Pixels of each mask value as bars on a log axis, in the colour of the class it becomes, which stands beside it.

    `rows`, in order: value, becomes, color, pixels, share (0..1), masks.
    """
    rows = rows.assign(start=0.5)  # a log axis has no 0
    top = 3 * ceiling(float(rows["pixels"].max()))  # room for the words beside the longest bar
    base = alt.Chart(rows).encode(
        y=alt.Y("value:N", sort=None, title="mask value", axis=alt.Axis(labelLimit=140, minExtent=AXIS_PX)),
        x=alt.X(
            "pixels:Q",
            title="pixels (log)",
            scale=alt.Scale(type="log", domain=[0.5, top], nice=False),
            axis=alt.Axis(format="~s", tickCount=4, grid=False),
        ),
        tooltip=[
            "value",
            "becomes",
            alt.Tooltip("pixels", format=","),
            alt.Tooltip("share", format=".3%"),
            alt.Tooltip("masks", title="in masks"),
        ],
    )
    bars = base.mark_bar(stroke="#8899a6", strokeWidth=0.5).encode(x2="start:Q", color=alt.Color("color:N", scale=None))
    words = base.mark_text(align="left", dx=5, color="#8899a6").encode(text="becomes:N")
    return alt.layer(bars, words).properties(height=alt.Step(22))
