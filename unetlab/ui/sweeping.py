"""The learning-rate page's parts: start a sweep, draw it, choose a rate, carry it on."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from unetlab import lr_curve
from unetlab.config import RunConfig, keys_on
from unetlab.runs import jobs
from unetlab.runs.status import Status
from unetlab.runs.store import Run, open_run
from unetlab.ui import charts, forms, live, state, training
from unetlab.ui.history import history_of
from unetlab.ui.text import plain

BASIC, ADVANCED = keys_on("learning_rate", "basic"), keys_on("learning_rate", "advanced")
HEIGHT = 360
OWN, OWN_LR = "own", 1e-3  # a rate of one's own, and where its field starts
LABELS = {"min_gradient": "min gradient", "min_loss_tenth": "min loss / 10", OWN: "my own"}


def start(base: RunConfig, values: dict[str, Any]) -> None:
    """A callback: starts a sweep and looks at it."""
    st.session_state["sweep"] = jobs.start(state.workspace(), base.changed(values)).id
    st.session_state.pop("pick", None)


def chosen_sweep(dataset: str) -> Run | None:
    """The sweep to look at: the newest, or an older one chosen here."""
    chosen = state.choose("sweep", "Look at sweep", state.runs_of(dataset, "lr_find"), state.run_titles())
    return open_run(state.workspace(), chosen) if chosen else None


def empty() -> None:
    """Before the first sweep: what will stand here."""
    with st.container(border=True, height=HEIGHT, vertical_alignment="center", horizontal_alignment="center"):
        st.markdown(":material/query_stats: The curve of loss over learning rate will draw itself here.")
        st.caption("A low rate does nothing, a good one makes the loss fall, too high a one makes it explode.")


def curves_of(run: Run) -> tuple[Sequence[pd.DataFrame], dict[str, Any], dict[str, str]]:
    """(tables with lr, loss, smooth for each sweep so far, picks by name, reasons of declined ones)."""
    batches = history_of(run).batches()
    tables = []
    for _, group in batches.groupby("epoch"):
        smoothed = lr_curve.smooth(group["loss"].tolist())
        tables.append(pd.DataFrame({"lr": group["lr"], "loss": group["loss"], "smooth": smoothed}))
    curve = run.read("lr_curve.json") or {"picks": {}, "declined": {}}
    return tables, curve["picks"], curve["declined"]


def draw(run: Run, status: Status) -> None:
    """The state of the sweep and its curve so far."""
    live.face(run, status, keeps="the curve so far")
    tables, picks, _ = curves_of(run)
    if not tables or not len(tables[0]):
        with st.container(border=True, height=HEIGHT, vertical_alignment="center", horizontal_alignment="center"):
            st.markdown(
                ":material/hourglass_top: Starting: the first points come in a few seconds."
                if status.is_live
                else "No point was measured."
            )
        return
    options = run.config.lr_find
    shown = {name: picks.get(name) for name in ("min_gradient", "min_loss_tenth")}
    own = st.session_state.get("own-lr", OWN_LR) if st.session_state.get("pick") == OWN else None
    chart = charts.lr_curve_chart(tables, shown, own, (options.start_lr, options.end_lr), height=HEIGHT)
    alt = "Loss over learning rate, log scale; marks at min gradient and min loss / 10"
    if status.is_live:
        st.altair_chart(chart, height=HEIGHT, alt=alt)
        return
    event = st.altair_chart(chart, height=HEIGHT, alt=alt, key=f"curve-{run.id}", on_select="rerun")
    clicked = event.selection.get("pick") or []
    if clicked and clicked[0].get("lr") != st.session_state.get("clicked-lr"):
        st.session_state.update({"clicked-lr": clicked[0]["lr"], "own-lr": float(clicked[0]["lr"]), "pick": OWN})
        st.rerun()


def choice(run: Run) -> None:
    """Both picks with their definitions, spread or refusal, a rate of one's own, and the way on."""
    curve = run.read("lr_curve.json")
    if not curve:
        return
    _followed(run)
    names = [name for name in ("min_gradient", "min_loss_tenth") if curve["picks"].get(name)] + [OWN]
    if st.session_state.get("pick") not in names:
        st.session_state["pick"] = names[0]
    chosen = st.segmented_control("Train with", names, key="pick", required=True, format_func=LABELS.__getitem__)
    if chosen == OWN:
        st.session_state.setdefault("own-lr", OWN_LR)
        st.number_input(
            "Learning rate", 1e-8, 10.0, step=1e-4, format="%.2e", key="own-lr", help="Or click a point of the curve."
        )
    for name in ("min_gradient", "min_loss_tenth"):
        _explain(name, curve)
    rate = rate_of(run)
    if rate is not None:
        st.button(
            f"Train with {rate:.2g}",
            type="primary",
            icon=":material/arrow_forward:",
            key="train-with",
            on_click=_carry,
            args=(run, rate, LABELS[chosen or OWN]),
        )


def rate_of(run: Run) -> float | None:
    """The rate that is chosen for training; None while there is none."""
    curve = run.read("lr_curve.json")
    if not curve or run.status.is_live:
        return None
    chosen = st.session_state.get("pick")
    if chosen == OWN:
        return st.session_state.get("own-lr")
    pick = curve["picks"].get(chosen or "min_gradient")
    return pick["lr"] if pick else None


def _explain(name: str, curve: dict[str, Any]) -> None:
    pick, rates = curve["picks"].get(name), curve["spread"].get(name, [])
    if not pick:
        st.markdown(f"**{LABELS[name]}**: declined. {plain(curve['declined'][name])}")
        return
    index = pick["index"]
    losses = [sweep["smoothed_losses"][index] for sweep in curve["sweeps"] if index < len(sweep["smoothed_losses"])]
    spread = (
        f"{len(rates)} sweeps: {min(rates):.1e} to {max(rates):.1e}"
        if len(rates) > 1
        else "one sweep: its spread is not known, repeat the sweep to see it"
    )
    loss = f" Smoothed loss there: {losses[0]:.3f}." if losses and losses[0] is not None else ""
    st.markdown(f"**{LABELS[name]}: {pick['lr']:.2e}** ({spread}). {lr_curve.DEFINITIONS[name]}{loss}")
    if name in curve.get("cautions", {}):
        st.markdown(f":orange[:material/warning: {plain(curve['cautions'][name])}]")


def _carry(run: Run, rate: float, label: str) -> None:
    config = run.config.changed({"train.max_lr": rate})
    forms.fill("train", config, training.BASIC + training.ADVANCED)
    st.session_state.update({"lr-source": (rate, f"{label} of {run.id}"), "train-view": training.NEW})
    state.go_to("pages/lab/train.py")


def _sweep_of(training: Run) -> str | None:
    source = training.config.lr_from
    return source.sweep if source else None


def _followed(run: Run) -> None:
    trained = next(
        (r for r in state.runs_of(run.config.dataset, "train") if _sweep_of(open_run(run.workspace, r)) == run.id),
        None,
    )
    if trained is None:
        return
    if st.session_state.get("followed") != run.id:
        st.session_state["followed"] = run.id
        st.session_state["next-run"] = trained
        state.go_to("pages/lab/train.py")
    st.success("A training takes its learning rate from this sweep.", icon=":material/model_training:")
    st.page_link("pages/lab/train.py", label="Watch it learn", icon=":material/arrow_forward:")
