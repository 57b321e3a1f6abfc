"""The learning-rate page's parts: start a sweep, draw it, choose a rate, carry it to training."""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import pandas as pd
import streamlit as st

from unetlab import lr_curve
from unetlab.config import RunConfig, fault, keys_on
from unetlab.lr_curve import FASTAI, NO_LAG
from unetlab.runs.status import Status
from unetlab.runs.store import Run, open_run
from unetlab.ui import charts, choices, forms, live, starts, state, training, watching
from unetlab.ui.history import history_of
from unetlab.ui.text import plain

BASIC, ADVANCED = keys_on("learning_rate", "basic"), keys_on("learning_rate", "advanced")
RATE = "train.max_lr"
HEIGHT = 360
OWN, OWN_LR = "own", 1e-3  # the user's own rate, and where its field starts
LABELS = {"min_gradient": "min gradient", "min_loss_tenth": "min loss / 10", "valley": "valley", OWN: "my own"}
VALLEY = "valley"
PRESELECTED = lr_curve.PRESELECTED.removesuffix("_no_lag")
TWO_CURVES = ("min_gradient", "min_loss_tenth")  # picks that are read from either curve


def start(key: str, base: RunConfig) -> None:
    """A callback: starts a sweep with what the form holds and shows it."""
    values = forms.held("lr", base.dataset, BASIC + ADVANCED)
    choices.choose(sweep=starts.start("lr", key, forms.checked(base, values)).id)
    st.session_state["to-top"] = True


def chosen_sweep(dataset: str) -> Run | None:
    """The sweep to show: the newest, or an older one chosen here."""
    chosen = choices.select("sweep", "Sweep to show", state.runs_of(dataset, "lr_find"), state.run_titles())
    choices.tell_gone("sweep")
    return open_run(state.workspace(), chosen) if chosen else None


def kept(dataset: str) -> None:
    """The sweeps of a data set that was deleted, to look at."""
    if sweep := chosen_sweep(dataset):
        live.panel(sweep, draw)


def empty() -> None:
    """Before the first sweep: what will appear here."""
    with st.container(border=True, height=HEIGHT, vertical_alignment="center", horizontal_alignment="center"):
        st.markdown(":material/query_stats: The loss over the learning rate will appear here.")
        st.caption("Too low a rate changes nothing, a good one makes the loss fall, too high a one makes it explode.")


def curves_of(run: Run) -> tuple[Sequence[pd.DataFrame], dict[str, Any], dict[str, str]]:
    """(tables with lr, loss, smooth, centred for each sweep so far, picks by name, reasons of declined ones)."""
    batches = history_of(run).batches()
    tables = []
    for _, group in batches.groupby("epoch"):
        losses = group["loss"].tolist()
        curves = {"smooth": lr_curve.smooth(losses), "centred": lr_curve.centre(losses)}
        tables.append(pd.DataFrame({"lr": group["lr"], "loss": group["loss"], **curves}))
    curve = run.read("lr_curve.json") or {"picks": {}, "declined": {}}
    return tables, curve["picks"], curve["declined"]


def draw(run: Run, status: Status) -> None:
    """The state of the sweep, what it was started with and its curve so far."""
    live.face(run, status, keeps="the curve so far")
    st.caption(plain(watching.summary(run.config, status.device)))
    tables, picks, _ = curves_of(run)
    if not tables or not len(tables[0]):
        with st.container(border=True, height=HEIGHT, vertical_alignment="center", horizontal_alignment="center"):
            st.markdown(
                ":material/hourglass_top: The curve will appear here." if status.is_live else "No point was measured."
            )
        return
    options, (base, lagging) = run.config.lr_find, _settled(run, picks)
    shown = {name: picks.get(_on_curve(name, lagging)) for name in TWO_CURVES}
    own = _own_rate(run) if base == OWN else None
    chart = charts.lr_curve_chart(tables, shown, own, (options.start_lr, options.end_lr), height=HEIGHT)
    alt = "Loss over learning rate, log scale; marks at min gradient and min loss / 10"
    grey = (
        f"Grey: the first {lr_curve.TRIM_START} and last {lr_curve.TRIM_END} points, left out of the picks, as fastai "
        "does."
    )
    if status.is_live:
        st.altair_chart(chart, height=HEIGHT, alt=alt)
        st.caption(grey)
        return
    event = st.altair_chart(chart, height=HEIGHT, alt=alt, key=f"curve-{run.id}", on_select="rerun")
    st.caption(f"{grey} Click a point to train with its rate.")
    clicked = event.selection.get("pick") or []
    if clicked and clicked[0].get("lr") != st.session_state.get("clicked-lr"):
        st.session_state["clicked-lr"] = clicked[0]["lr"]
        forms.put("lr", run.config.dataset, {f"pick:{run.id}": OWN, f"own:{run.id}": float(clicked[0]["lr"])})
        st.rerun()


def choice(run: Run) -> None:
    """The picks of both curves with their definitions, doubt or refusal, one's own rate, and the way to training."""
    curve = run.read("lr_curve.json")
    if not curve:
        return
    _followed(run)
    chosen = _choose(run, curve)
    rate, caution = rate_of(run), curve.get("cautions", {}).get(chosen)
    if caution:
        st.warning(plain(caution), icon=":material/warning:")
    if rate is not None:
        st.button(
            f"Train with {rate:.2g}",
            type="primary",
            icon=":material/arrow_forward:",
            key="train-with",
            on_click=_carry,
            args=(run,),
        )
    if chosen == lr_curve.PRESELECTED:
        st.caption(lr_curve.WHY_PRESELECTED)
    for column, is_lagging in zip(st.columns(2, gap="large"), (False, True), strict=True):
        with column:
            st.markdown(f"**{'As fastai' if is_lagging else 'Without lag'}**")
            st.caption(lr_curve.CURVES[FASTAI if is_lagging else NO_LAG])
            for base in (*TWO_CURVES, VALLEY) if is_lagging else TWO_CURVES:
                _explain(base, _on_curve(base, is_lagging), curve)


def _choose(run: Run, curve: dict[str, Any]) -> str:
    """Draws the choice between picks, the switch between curves and the field of one's own rate; what is chosen."""
    dataset, picks = run.config.dataset, curve["picks"]
    st.session_state[forms.key_of("lr", dataset, f"pick:{run.id}")] = _settled(run, picks)[0]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.segmented_control(
            "Train with", _names(picks), required=True, format_func=LABELS.__getitem__, **_kept(run, f"pick:{run.id}")
        )
        base, is_lagging = _settled(run, picks)
        if base in TWO_CURVES:
            curves = [name for name in (NO_LAG, FASTAI) if picks.get(_on_curve(base, name == FASTAI))]
            st.session_state[forms.key_of("lr", dataset, f"curve:{run.id}")] = FASTAI if is_lagging else NO_LAG
            st.segmented_control("Read from", curves, required=True, **_kept(run, f"curve:{run.id}"))
        if base == OWN:
            st.session_state[forms.key_of("lr", dataset, f"own:{run.id}")] = _typed_rate(run)
            st.number_input(
                "Learning rate",
                step=1e-4,
                format="%.2e",
                help="Or click a point of the curve.",
                **_kept(run, f"own:{run.id}"),
            )
    if base == OWN:
        forms.tell_wrong("train.max_lr", _typed_rate(run))
    return _chosen(run, picks)


def rate_of(run: Run) -> float | None:
    """The rate that is chosen for training; None while there is none."""
    curve = run.read("lr_curve.json")
    if not curve or run.status.is_live:
        return None
    chosen = _chosen(run, curve["picks"])
    if chosen == OWN:
        return _own_rate(run)
    pick = curve["picks"].get(chosen)
    return pick["lr"] if pick else None


def _chosen(run: Run, picks: dict[str, Any]) -> str:
    """The name of the pick that is chosen, or OWN; each sweep has its own choice."""
    return _on_curve(*_settled(run, picks))


def _on_curve(base: str, is_lagging: bool) -> str:
    """The pick's name in lr_curve.json: the same definition read from either curve."""
    return base if is_lagging or base not in TWO_CURVES else f"{base}_no_lag"


def _settled(run: Run, picks: dict[str, Any]) -> tuple[str, bool]:
    """(definition or OWN, whether on fastai's curve): what is chosen, or the next that the finished sweep has."""
    dataset = run.config.dataset
    usual = NO_LAG if lr_curve.PRESELECTED in lr_curve.NO_LAG_DEFINITIONS else FASTAI
    base = forms.value("lr", dataset, f"pick:{run.id}", PRESELECTED)
    is_lagging = forms.value("lr", dataset, f"curve:{run.id}", usual) == FASTAI
    if picks:
        names = _names(picks)
        base = next(name for name in (base, PRESELECTED, *names) if name in names)
        is_lagging ^= base in TWO_CURVES and not picks.get(_on_curve(base, is_lagging))
    return base, is_lagging


def _names(picks: dict[str, Any]) -> list[str]:
    """What can be chosen: the definitions that have a rate on either curve, and one's own."""
    on_either = [name for name in TWO_CURVES if picks.get(_on_curve(name, False)) or picks.get(_on_curve(name, True))]
    return [*on_either, OWN]


def _own_rate(run: Run) -> float | None:
    """The user's own rate; None while training cannot take it."""
    rate = _typed_rate(run)
    return None if fault("train.max_lr", rate) else rate


def _typed_rate(run: Run) -> float:
    return forms.value("lr", run.config.dataset, f"own:{run.id}", OWN_LR)


def _kept(run: Run, name: str) -> dict[str, Any]:
    """The arguments that make a widget a field of the set's form, so that its value stays."""
    dataset = run.config.dataset
    return {
        "key": forms.key_of("lr", dataset, name),
        "persist_state": "session",
        "on_change": forms.keep,
        "args": ("lr", dataset, name),
    }


def _explain(base: str, name: str, curve: dict[str, Any]) -> None:
    if name not in curve["picks"]:
        st.markdown(f"**{LABELS[base]}**: not known: this sweep is from an earlier version. Sweep again to see it.")
        return
    pick, rates = curve["picks"][name], curve["spread"].get(name, [])
    if not pick:
        st.markdown(f"**{LABELS[base]}**: declined. {plain(curve['declined'][name])}")
        return
    interval = curve.get("intervals", {}).get(name)
    doubt = "one sweep; repeat it to see the spread"
    if len(rates) > 1:
        doubt = f"{len(rates)} sweeps: {min(rates):.1e} to {max(rates):.1e}"
    elif interval:
        doubt = f"{lr_curve.how_often(name)} another sweep gives {interval[0]:.1e} to {interval[1]:.1e}"
    losses = "smoothed_losses" if name in lr_curve.DEFINITIONS else "centred_losses"
    loss = _loss_at(pick["lr"], curve["sweeps"], losses)
    told = "" if loss is None else f" Smoothed loss at this rate: {loss:.3f}."
    st.markdown(f"**{LABELS[base]}: {pick['lr']:.2e}** ({doubt}). {lr_curve.PICKS[name]}{told}")
    if name in curve.get("cautions", {}):
        st.markdown(f":orange[:material/warning: {plain(curve['cautions'][name])}]")


def _loss_at(rate: float, sweeps: Sequence[dict[str, Any]], kind: str) -> float | None:
    """Mean smoothed loss (`kind`: its field) of the sweeps at their point nearest to `rate`; None if none is near.

    A pick's `index` is no such point: for min loss / 10 it is that of the lowest loss, at ten times the rate.
    """
    lrs = max((sweep["lrs"] for sweep in sweeps), key=len, default=[])
    if not lrs:
        return None
    near = min(range(len(lrs)), key=lambda index: abs(math.log(lrs[index] / rate)))
    reached = [sweep[kind][near] for sweep in sweeps if near < len(sweep.get(kind, []))]
    losses = [loss for loss in reached if loss is not None]
    return sum(losses) / len(losses) if losses else None


def _carry(run: Run) -> None:
    """Takes what is chosen now: a click on a pick and one on the button may reach the server together."""
    rate, curve = rate_of(run), run.read("lr_curve.json")
    if rate is None or not curve:
        return
    pick = _chosen(run, curve["picks"])
    source = {"sweep": run.id, "pick": pick, "lr": rate} if pick != OWN else None
    words = f"{charts.PICK_LABELS.get(pick, LABELS[OWN])} of {run.id}"
    training.take_up(
        run.config.changed({"train.max_lr": rate}, kind="train", form_from=None, lr_from=source, lr_source=words),
        [RATE, *(key for key in BASIC + ADVANCED if key in training.BASIC + training.ADVANCED)],
    )
    st.session_state["to-top"] = True
    state.go_to("pages/lab/train.py")


@lru_cache(4096)  # config.json is written once
def _sweep_of(training: Run) -> str | None:
    source = training.config.lr_from
    return source.sweep if source else None


def _followed(run: Run) -> None:
    trainings = (open_run(run.workspace, name) for name in state.runs_of(run.config.dataset, "train"))
    trained = next((each.id for each in trainings if _sweep_of(each) == run.id and _is_training(each, run)), None)
    if trained is None:
        return
    st.success("A training run uses this sweep's learning rate.", icon=":material/model_training:")
    st.button("Watch it learn", icon=":material/arrow_forward:", key="watch", on_click=_watch, args=(trained,))


def _is_training(training: Run, sweep: Run) -> bool:
    """Whether it has trained or will: not one that got no rate from the sweep."""
    is_waiting = training.status.is_live and sweep.status.state == "finished"
    return is_waiting or not history_of(training).batches().empty


def _watch(trained: str) -> None:
    choices.choose(run=trained)
    st.session_state["train-view"] = training.RUN
    state.go_to("pages/lab/train.py")
