"""Will it fit? The memory that the form's training run would need, forecast by a job, against what is free."""

import contextlib
import time
from typing import Any

import pandas as pd
import streamlit as st

from unetlab.config import RunConfig, costs
from unetlab.data.dataset import DataSet
from unetlab.errors import RunError
from unetlab.files import size_text
from unetlab.runs import jobs
from unetlab.runs.store import Run, open_run
from unetlab.ui import charts, forms, hosting, state
from unetlab.ui.text import plain

POLL_S = 0.4
SETTLE_S = 0.6  # a question starts a job only when the form has not changed for this long
MAX_ANSWERS = 200
OTHERS, NEEDED, MARGIN, FREE, MISSING = "#8899a6", "#3a8fc4", "#9cc9e6", "#8899a633", "#d1495b"

Question = tuple[Any, ...]
Answer = dict[str, Any]  # result.json of a forecast (training/forecast.py), or {"failed": why}


def draw(config: RunConfig, data: DataSet) -> None:
    """The forecast for the form as it is: at once if it was asked before, else as soon as a job has made it.

    The job is started by the polling, not by the page's script, which stays quick that way; never two at a time.
    """
    question = question_of(config, data)
    _collect()
    if question in _answers():
        _show(config, question, _answers()[question])
        return

    def look() -> None:
        _collect()
        if question in _answers():
            st.rerun()  # the whole page, whose polling ends with this
        _ask(question, config)
        st.caption(":material/memory: Forecasting the memory that training needs.")
        st.skeleton(height=26)

    state.poll(look, every=POLL_S)


def question_of(config: RunConfig, data: DataSet) -> Question:
    """What determines the memory: two forms with an equal question share one forecast."""
    return str(data.folder), data.manifest.content_hash, data.manifest.version, costs(config, "memory")


@st.cache_resource(show_spinner=False)
def _answers() -> dict[Question, Answer]:
    return {}


def _ask(question: Question, config: RunConfig) -> None:
    """Starts the forecast once the question has been the same for SETTLE_S and no earlier one is in progress."""
    wanted, since = st.session_state.get("fit-wanted", (None, 0.0))
    if wanted != question:
        since = time.monotonic()
        st.session_state["fit-wanted"] = (question, since)
    if "fit-job" not in st.session_state and time.monotonic() - since >= SETTLE_S:
        run = jobs.start(state.workspace(), config.changed({}, kind="forecast", form_from=None))
        st.session_state["fit-job"] = (question, run.id)


def _collect() -> None:
    """Keeps the answer of this session's job once it has ended."""
    question, run_id = st.session_state.get("fit-job", (None, ""))
    if question is None:
        return
    answer: Answer | None = {"failed": "Its run was deleted."}
    with contextlib.suppress(RunError):
        answer = _answer_of(open_run(state.workspace(), run_id))
    if answer is not None:
        _answers()[question] = answer
        while len(_answers()) > MAX_ANSWERS:
            _answers().pop(next(iter(_answers())))
        del st.session_state["fit-job"]


def _answer_of(run: Run) -> Answer | None:
    """None while the run is live."""
    status = run.status
    if status.is_live:
        return None
    return run.read("result.json") if status.state == "finished" else {"failed": hosting.reason_of(status)}


def _show(config: RunConfig, question: Question, answer: Answer) -> None:
    if "failed" in answer:
        st.warning(
            f"{plain(answer['failed'])} You can start training all the same.",
            title="No memory forecast",
            icon=":material/memory:",
        )
        _again(question)
        return
    needs, free = answer["needs"], answer["free"]
    where = "RAM" if answer["device"] in ("cpu", "mps") else answer["label"]
    said = (
        f"Needs about {size_text(needs)} of {size_text(free)} free in {where} (forecast; margin {answer['margin']:.0%})"
    )
    st.altair_chart(charts.share_bar(bar_rows(answer)), alt=f"Memory: {said}")
    if needs <= free:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f":material/check: {plain(said)}.", help=_explained(answer), width="stretch")
            _again(question)
        return
    largest = answer["largest_batch"]
    advice = (
        f"The largest batch that fits is {largest}."
        if largest
        else "No batch size fits: use a smaller image size, width or depth, or free memory."
    )
    st.warning(f"{plain(said)}. {advice}", title="It does not fit", icon=":material/memory:")
    with st.container(horizontal=True):
        if largest:
            st.button(
                f"Set the batch size to {largest}",
                icon=":material/compress:",
                key="fit-batch",
                on_click=_set_batch,
                args=(config, largest),
            )
        _again(question)


def bar_rows(answer: Answer) -> pd.DataFrame:
    """What others use, what training needs, its margin, and what stays free or is missing, for charts.share_bar.

    Shares are of the device's memory, or of everything that is needed if that is more.
    """
    needs, free, total = answer["needs"], answer["free"], answer["total"]
    margin = round(answer["bytes"] * answer["margin"])
    parts = [("used by others", total - free, OTHERS)]
    if needs <= free:
        parts += [("forecast", needs - margin, NEEDED), ("margin", margin, MARGIN), ("stays free", free - needs, FREE)]
    else:
        parts += [("forecast, as far as there is room", free, NEEDED), ("missing", needs - free, MISSING)]
    whole = max(total, total - free + needs)
    rows = [(f"{name}: {size_text(size)}", size / whole, color) for name, size, color in parts]
    return pd.DataFrame(rows, columns=["name", "share", "color"])


def _again(question: Question) -> None:
    st.button(
        "Forecast again",
        icon=":material/refresh:",
        type="tertiary",
        key="fit-again",
        on_click=_forget,
        args=(question,),
        help="Uses the memory that is free now.",
    )


def _forget(question: Question) -> None:
    _answers().pop(question, None)


def _set_batch(config: RunConfig, batch_size: int) -> None:
    forms.put("train", config.dataset, {"train.batch_size": batch_size})


def _explained(answer: Answer) -> str:
    by = ", ".join(f"{name} {size_text(size)}" for name, size in answer["by"].items())
    return (
        f"Tensors at the peak of a step: {by}. The process takes {size_text(answer['outside'])} besides. "
        f"The margin covers temporary buffers and fragmentation. Largest batch: {answer['largest_batch']}. "
        "Memory used by unetlab's own training processes counts as free."
    )
