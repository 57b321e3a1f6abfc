"""The frame around every page: what is chosen, what runs, who uses the memory, and the button that frees it."""

import contextlib
import itertools

import pandas as pd
import streamlit as st
from streamlit.runtime.pages_manager import PagesManager

from unetlab.config import OVER_SOON
from unetlab.files import size_text
from unetlab.runs import devices, freeing, jobs, queue, warm
from unetlab.runs.status import Status
from unetlab.runs.store import Run
from unetlab.ui import charts, choices, hosting, incoming, live, state
from unetlab.ui.text import plain

POLL_S = 5
# the link may be drawn after the script has been run
CLICK_NEXT = """(() => {
    const waiting = setInterval(() => {
        const link = document.querySelector(".st-key-next-page a");
        if (link) { clearInterval(waiting); link.click(); }
    }, 10);
})();"""

_script_runs = itertools.count()


def is_first_session() -> bool:
    """Whether no script has called st.navigation in this process yet. Call once per script run, before it."""
    return next(_script_runs) == 0 and bool(PagesManager.uses_pages_directory)


def mend_deep_link(page: st.Page, *, is_first_session: bool) -> None:
    """Reloads the page if it is the first one that a fresh server shows and is not Home.

    If there is a folder `pages/`, Streamlit looks there first, finds no such page and opens a "Page not found" dialog
    over the right page (1.67); every later session is fine. docs/decisions/0005-pages-folder.md.
    """
    if is_first_session and page.url_path:
        st.html("<script>window.location.reload()</script>", unsafe_allow_javascript=True)
        st.stop()


def open_next() -> bool:
    """Whether a click asked for another page (`state.go_to`): the browser opens it, and nothing else may be drawn.

    `st.switch_page` would open it while the browser still polls the old page: a poll that comes late takes the browser
    back to that page, which is then blank (1.67). docs/decisions/0014-page-changes.md.
    """
    page = st.session_state.pop("next-page", None)
    if page is None:
        return False
    with st.container(key="next-page"):
        choices.link(page, label="Continue", icon=":material/arrow_forward:")
    st.html(f"<script>{CLICK_NEXT}</script>", unsafe_allow_javascript=True)
    return True


def draw(page: str) -> None:
    """The sidebar; above `page` (its URL path) what was chosen and is gone, and a problem from the last click."""
    incoming.sweep(state.workspace())
    choices.open_on(page)
    problem = st.session_state.pop("problem", None)
    with st.sidebar:
        st.markdown("### unetlab")
        dataset = choices.select("dataset", "Data set", state.dataset_names(), str, help="Shown on all pages.")
        if not dataset:
            st.caption("No data set yet. Bring pictures on the Data page, or try the sample on Home.")
        choices.select("run", "Training run", state.runs_of(dataset, "train"), state.run_titles())
        state.poll(_status_card, every=POLL_S)
        _free_button()
    choices.tell_gone("dataset", "run")
    if problem:
        st.error(plain(problem), title="That did not work", icon=":material/error:")


def _status_card() -> None:
    alive = _live()
    shown = [(run, status) for run, status in alive if run.config.kind not in OVER_SOON]
    if not shown:
        st.caption("Nothing is running.")
    for run, status in shown:
        if status.state != "queued":
            _job(run, status, alive)
    turns = [entry.run for entry in queue.read_queue(state.workspace()).order]
    waiting = {run.id: (run, status) for run, status in shown if status.state == "queued"}
    for run_id in sorted(waiting, key=lambda run_id: turns.index(run_id) if run_id in turns else -1):
        _job(*waiting[run_id], alive)
    if queue.read_queue(state.workspace()).is_held:
        st.warning("The queue is held: nothing new starts.", icon=":material/pause_circle:")
        st.button(
            "Release the queue",
            on_click=state.attempt,
            args=(freeing.release, state.workspace()),
            key="release",
            width="stretch",
        )
    ours = {status.pid for _, status in alive if status.pid} | warm.living(state.workspace()).keys()
    for memory in devices.read_memory(list(ours)):
        _memory(memory)


def _live() -> list[tuple[Run, Status]]:
    """Runs that wait or run, oldest first; one that ends while the card is drawn is left out."""
    found = []
    for run in jobs.live_runs(state.workspace()):
        with contextlib.suppress(FileNotFoundError):  # deleted since it was listed
            found.append((run, run.status))
    return [(run, status) for run, status in found if status.is_live]


def _job(run: Run, status: Status, others: list[tuple[Run, Status]]) -> None:
    word, icon, color = state.STATE_WORDS[status.state]
    st.markdown(f"{icon} **{run.kind_word.capitalize()}** {plain(run.notes.name)} :{color}-badge[{word}]")
    if status.state == "queued":
        waits = jobs.waits_for(run, status, others, names_processes=hosting.is_own_machine())
        st.caption(f"{waits[0].upper()}{plain(waits[1:])}.")
    elif not status.is_responding:
        st.caption("Not responding; still alive. Stop it, or wait.")
    else:
        st.progress(state.fraction(status), text=plain(state.progress_text(status)))
    with st.container(horizontal=True, gap="xsmall"):  # three buttons in a line of 224 px
        live.stop_button(run, status, key=f"stop-{run.id}", keeps="what it has")
        if status.state == "queued":
            _movers(run)


def _movers(run: Run) -> None:
    """Buttons that move a waiting run in the queue; none if no other run waits for its device."""
    line = queue.line_of(run)
    if len(line) < 2 or run.id not in line:
        return
    for place, label, end in (("up", "Earlier", 0), ("down", "Later", -1)):
        st.button(
            label,
            key=f"{place}-{run.id}",
            disabled=line[end] == run.id,
            on_click=state.attempt,
            args=(queue.move, run, place),
        )


def _memory(memory: devices.Memory) -> None:
    ours = memory.ours or 0
    others, free = max(memory.used - ours, 0), memory.total - memory.used
    rows = pd.DataFrame(
        [
            ("used by unetlab", ours / memory.total, "#e08214"),
            ("used by others", others / memory.total, "#7d8a93"),
            ("free", free / memory.total, "#c9d2d8"),
        ],
        columns=["name", "share", "color"],
    )
    st.altair_chart(charts.share_bar(rows), alt=f"{memory.label}: share used by unetlab, by others, free")
    of_ours = "unetlab's share is unknown" if memory.ours is None else f"{size_text(ours)} by unetlab (orange)"
    st.caption(f"{plain(memory.label)}: {size_text(memory.used)} of {size_text(memory.total)} used, {of_ours}")


def _free_button() -> None:
    name = "Free GPU memory" if devices.has_gpu() else "Free memory"
    says = "Ends unetlab's worker processes: only that frees all of their memory. Training runs can be resumed."
    if st.button(name, icon=":material/memory:", width="stretch", key="free", help=says):
        running = [run for run, status in _live() if status.state == "running" and run.config.kind not in OVER_SOON]
        if running:
            st.session_state["asks-to-free"] = running
        else:
            _free()
    # opened anew by each script run: a live panel reruns the page, which would close a dialog in use
    if "asks-to-free" in st.session_state:
        _ask_first(st.session_state["asks-to-free"])
    if "receipt" in st.session_state:
        with st.container(border=True, key="receipt-box"):
            _receipt(st.session_state["receipt"])


@st.dialog("Free memory", icon=":material/memory:", on_dismiss=lambda: st.session_state.pop("asks-to-free", None))
def _ask_first(running: list[Run]) -> None:
    names = ", ".join(run.title for run in running)
    st.write(f"This ends **{plain(names)}**.")
    st.write(
        "A training run keeps what it has and can be resumed. A learning-rate sweep keeps its curve so far. "
        "An import is cancelled. Runs that wait in the queue keep their places."
    )
    if st.button("Stop it and free the memory", type="primary", key="free-now"):
        del st.session_state["asks-to-free"]
        _free()
        st.rerun()


def _free() -> None:
    with st.spinner("Ending the workers", show_time=True):
        st.session_state["receipt"] = freeing.free_memory(state.workspace())


def _receipt(receipt: freeing.Receipt) -> None:
    if receipt.processes:
        rows = [
            {
                "process": f"{row.pid} ({row.state})",
                "before": _held(row.ram_before, row.gpu_before),
                "after": _held(row.ram_after, row.gpu_after),
            }
            for row in receipt.processes
        ]
        st.dataframe(pd.DataFrame(rows), hide_index=True, alt="Memory of each process before and after")
    else:
        st.write("No worker of unetlab was running, so there was nothing to free.")
    for before, after in zip(receipt.before, receipt.after, strict=True):
        st.write(f"{plain(after.label)}: {size_text(before.used)} used before, **{size_text(after.used)}** after.")
    if not receipt.is_complete:
        st.error("A worker did not end. Look for unetlab.worker among the processes of this machine.")
    if queue.read_queue(state.workspace()).is_held:
        st.caption("Runs are waiting in the queue, which is held so that the memory stays free.")
    st.button("Close", key="close-receipt", on_click=lambda: st.session_state.pop("receipt"))


def _held(ram: int, gpu: int | None) -> str:
    return size_text(ram) + ("" if gpu is None else f", GPU {size_text(gpu)}")
